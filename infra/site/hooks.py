"""What `make docs` adds to MkDocs: pages from outside docs/, a reference from the code, a check for network addresses.

Links are written for a code host. On the site, one to a file of the repository that is no page becomes plain text.
"""

from __future__ import annotations

import ast
import importlib.metadata
import posixpath
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "infra/README.md": "infra.md",
    "backbones/README.md": "backbones.md",
}
"""Pages outside docs/: their place in the repository, and on the site."""
SOURCES = {page: source for source, page in PAGES.items()}
PYTHON = "reference/python.md"
BEGINS = re.compile(r"[-*] |\d+\. |\|")
INSIDE = re.compile(r"[-*] |\d+\. |\||#|\s")
"""A line that begins a list or a table, and one that a list or table may follow."""
CODE_OR_LINK = re.compile(r"^```.*?^```|`[^`\n]+`|\[((?:`[^`\n]*`|[^\[\]])*)\]\(([^)\s#]*)(#[^)\s]*)?\)", re.M | re.S)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Refuse to document a package that is not installed: its commands would be missing."""
    if not importlib.metadata.entry_points(group="persondays.commands"):
        raise PluginError("persondays is not installed in this environment: pip install -e '.[docs]'")
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of other folders and those generated from the code."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text()))
    files.append(File.generated(config, "reference/command-line.md", content=command_line()))
    files.append(File.generated(config, PYTHON, content=python()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn the Markdown of a code host into that of the site."""
    return spaced(relink(markdown, page.file.src_uri, {file.src_uri for file in files}))


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Make docstrings readable as HTML: links to pages, and a line for each `name: text`."""
    return docstrings(html, {file.src_uri for file in files}) if page.file.src_uri == PYTHON else html


def on_post_build(config: MkDocsConfig) -> None:
    """Refuse a page that loads a script, a style, a font or a picture from elsewhere."""
    site = Path(config.site_dir)
    wrong = [f"{path.relative_to(site)}: {address}" for path in sorted(site.rglob("*.html")) for address in loads(path)]
    wrong += [
        f"{path.relative_to(site)}: {address}"
        for path in sorted(site.rglob("*.css"))
        for address in re.findall(r"(?:url\(|@import )['\"]?((?:https?:)?//[^'\")]+)", path.read_text())
    ]
    if wrong:
        raise PluginError("pages of the site load from the network: " + ", ".join(wrong[:5]))


def relink(markdown: str, page: str, pages: set[str]) -> str:
    """Return the page of the site, with links that were written for the repository.

    `page` is its place on the site, `pages` are all files there.
    """
    folder = posixpath.dirname(SOURCES.get(page, f"docs/{page}"))

    def replace(match: re.Match[str]) -> str:
        label, path, anchor = match[1], match[2], match[3] or ""
        if label is None or not path or re.match(r"\w+:", path):
            return match[0]
        target = posixpath.normpath(posixpath.join(folder, path))
        place = PAGES.get(target, target.removeprefix("docs/"))
        if place in pages and (target in PAGES or target.startswith("docs/")):
            return f"[{label}]({posixpath.relpath(place, posixpath.dirname(page) or '.')}{anchor})"
        return label if (ROOT / target).exists() else match[0]

    return CODE_OR_LINK.sub(replace, markdown)


def docstrings(html: str, pages: set[str]) -> str:
    """Return the page of docstrings, which name other pages by their path in docs/, and fields as `name: text`."""

    def link(match: re.Match[str]) -> str:
        page, anchor = match[1], match[2] or ""
        return f'<a href="../{page}.html{anchor}">{page}</a>' if f"{page}.md" in pages else match[0]

    return re.sub(r"\bdocs/([\w/-]+)\.md(#[\w-]+)?", link, re.sub(r"\n(?=\w+: )", "<br>\n", html))


def spaced(markdown: str) -> str:
    """Return the page with an empty line before every list and table: code hosts need none, Python-Markdown does."""
    lines: list[str] = []
    in_code = False
    for line in markdown.split("\n"):
        before = lines[-1] if lines else ""
        if not in_code and BEGINS.match(line) and before.strip() and not INSIDE.match(before):
            lines.append("")
        in_code ^= line.startswith("```")
        lines.append(line)
    return "\n".join(lines)


def command_line() -> str:
    """Every command's help as Markdown."""
    from typer.cli import get_docs_for_click

    from pipeline.cli import application

    command = typer.main.get_command(application())
    context = typer.Context(command, info_name="persondays")
    text: str = get_docs_for_click(obj=command, ctx=context, name="persondays", title="Command line")
    return linked(text.replace("```console\n$ ", "```\n"), command, "persondays")


def linked(text: str, group: Any, path: str) -> str:
    """Return the help with links in the lists of commands, and what they do in full: typer cuts it to 45 characters."""
    for name, command in group.commands.items():
        link = f"[`{name}`](#{path}-{name}): {command.get_short_help_str(limit=200)}"
        text = text.replace(f"* `{name}`: {command.get_short_help_str()}\n", f"* {link}\n")
        if hasattr(command, "commands"):
            text = linked(text, command, f"{path}-{name}")
    return text


def python() -> str:
    """A section for every package that names its public objects in `__all__`; mkdocstrings fills them in."""
    lines = ["# Python", "The public names of each package, from the code. [Glossary](../glossary.md) has the terms."]
    for package in public_packages():
        lines += [f"## {package}", f"::: {package}"]
    return "\n\n".join(lines)


def public_packages() -> Iterator[str]:
    """The packages whose `__init__.py` has an `__all__`, those nearest to the top first."""
    found = []
    for half in ("pipeline", "ingest", "train"):
        for file in sorted((ROOT / half).rglob("__init__.py")):
            names = [
                target.id
                for node in ast.parse(file.read_text()).body
                if isinstance(node, ast.Assign | ast.AnnAssign)
                for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
                if isinstance(target, ast.Name)
            ]
            if "__all__" in names:
                found.append(".".join(file.parent.relative_to(ROOT).parts))
    yield from sorted(found, key=lambda name: (name.count("."), name))


def loads(page: Path) -> list[str]:
    """The addresses on other hosts that a page would load by itself."""
    parser = _Loads()
    parser.feed(page.read_text())
    return parser.found


class _Loads(HTMLParser):
    """Collects them: `src` of anything, and `href` of a link element that is a style, an icon or the like."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Called by the parser for each element."""
        named = dict(attributes)
        addresses = [named.get("src"), named.get("href") if tag == "link" and named.get("rel") != "canonical" else None]
        self.found += [address for address in addresses if address and re.match(r"(?:https?:)?//", address)]
