"""The documentation agrees with the repository: links, anchors, files, modules, make targets, commands, settings."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import typing
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
import typer

from pipeline.cli import CLICK_EXCEPTION, application
from train.recipe import RECIPES, Recipe

ROOT = Path(__file__).parents[1]
TRACKED = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
FILES = {name for name in TRACKED if name and not name.startswith("shared/")}
FOLDERS = {str(parent) for name in FILES for parent in Path(name).parents}
PAGES = sorted(name for name in FILES if name.endswith(".md"))
COMMANDS: Any = typer.main.get_command(application())
MODULES = ("pipeline", "ingest", "train", "bench", "infra", "tests", "docs")
"""A name in backquotes that begins with one of these folders is a path in this repository."""


def text(page: str) -> str:
    return (ROOT / page).read_text()


def without_code(markdown: str) -> str:
    """The page without blocks of code and without code inside lines."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", markdown, flags=re.MULTILINE | re.DOTALL))


def anchors(page: str) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text(page), flags=re.M | re.S), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_relative_links_and_anchors_resolve(page: str) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", without_code(text(page))):
        if re.match(r"\w+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent.joinpath(path).resolve().relative_to(ROOT).as_posix() if path else page
        if target not in FILES | FOLDERS or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_page_is_on_the_site() -> None:
    entries = {line.split()[-1] for line in text("mkdocs.yml").splitlines() if line.endswith(".md")}
    pages = {page.removeprefix("docs/") for page in PAGES if re.match(r"docs/(?!decisions/0)", page)}
    assert pages - entries == set(), "add these pages to nav in mkdocs.yml"


def test_files_named_in_pages_docstrings_and_comments_exist() -> None:
    named = re.compile(rf"`((?:{'|'.join(MODULES)})/[\w./-]+|docs/[\w-]+\.md)")
    mentioned = re.compile(r"\bdocs/[\w/-]+\.md\b")
    missing = set()
    for file in FILES:
        if file.endswith((".md", ".py", ".toml", ".sh", ".yaml", "Dockerfile", "Makefile")) and file != "CHANGELOG.md":
            found = [*named.findall(text(file)), *mentioned.findall(text(file))]
            missing |= {(file, name) for name in found if name.rstrip("/.") not in FILES | FOLDERS}
    assert missing == set()


@pytest.mark.parametrize("page", PAGES)
def test_modules_that_pages_run_exist(page: str) -> None:
    modules = set(re.findall(rf"-m ((?:{'|'.join(MODULES)})(?:\.\w+)*)", text(page))) - {"bench.NAME"}
    paths = {module: module.replace(".", "/") for module in modules}
    assert {name for name, path in paths.items() if not {f"{path}.py", f"{path}/__main__.py"} & FILES} == set()


@pytest.mark.parametrize("page", PAGES)
def test_make_targets_in_pages_exist(page: str) -> None:
    targets = set(re.findall(r"^([\w-]+(?: [\w-]+)*):", text("Makefile"), re.MULTILINE))
    known = {target for line in targets for target in line.split()}
    code = "\n".join(re.findall(r"`+[^`]*`+", text(page)))
    named = set(re.findall(r"\bmake ([a-z][\w-]*[a-z])\b(?!\.)", code))
    assert named - known == set()


def command_lines(markdown: str) -> Iterator[tuple[str, bool]]:
    """Every command that a page shows, without `persondays` and without comments; `python -m` counts as well.

    With it, whether it has to be complete: in a block of code, unless it has three dots.
    """
    blocks = "\n".join(re.findall(r"^```\w*\n(.*?)^```", markdown, re.MULTILINE | re.DOTALL)).replace("\\\n", " ")
    inline = "\n".join(re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", markdown, flags=re.M | re.S)))
    for code, is_block in ((blocks, True), (inline, False)):
        for line in code.splitlines():
            for part in re.split(r"&&|;|\|", re.sub(r"(^|\s)#.*", "", line)):
                found = re.match(r"\s*persondays (.+)", part) or re.search(r"-m ((?:ingest|train)\b(?!\.).*)", part)
                if found:
                    yield found[1], is_block and "..." not in part


def refused(line: str, complete: bool) -> str:
    """What the real command line says against a line, or "". It parses the line and runs nothing.

    Without `complete`, what is missing is no fault.
    """
    line, _, rest = line.partition(" -- ")  # flags of ingest, for commands that run it
    name, words, command = "persondays", [word for word in shlex.split(line) if word not in ("...", "--help")], COMMANDS
    complete = complete and "--help" not in line
    while hasattr(command, "commands"):
        if not words:
            return "" if not complete else f"{line}: a command is missing"
        name, *words = words
        if name == "COMMAND":
            return ""
        if name not in command.commands:
            return f"{line}: there is no command {name}"
        command = command.commands[name]
    try:
        context = command.make_context(name, words)
    except CLICK_EXCEPTION as error:
        is_fault = complete or type(error).__name__ not in ("MissingParameter", "BadOptionUsage")
        return f"{line}: {error.format_message()}" if is_fault else ""
    recipe = context.params.get("recipe", "")
    if recipe and not recipe.endswith(".toml") and not (RECIPES / f"{recipe}.toml").exists():
        return f"{line}: there is no recipe {recipe}"
    return refused(f"ingest {rest}", False) if rest else ""


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_pages_parse(page: str) -> None:
    assert [fault for line, complete in command_lines(text(page)) if (fault := refused(line, complete))] == []


@pytest.mark.parametrize(
    ("line", "complete", "fault"),
    [
        ("verify STORE --names-only", True, ""),
        ("verify STORE --repair -- --recordings RAW --key-file KEY", True, ""),
        ("COMMAND --help", True, ""),
        ("labelled", False, ""),
        ("train", False, ""),
        ("train", True, "Missing"),
        ("labelled", True, "a command is missing"),
        ("labelled nothing", False, "no command nothing"),
        ("pretrain harnet10", False, "no command pretrain"),
        ("train harnet11 --store S --checkpoints C", True, "no recipe harnet11"),
        ("verify STORE --names", False, "No such option"),
        ("verify STORE -x", False, "No such option"),
        ("verify STORE --sample many", False, "valid integer"),
        ("train ... --engine horovod", False, "'horovod' is not one of"),
        ("verify STORE --repair -- --recording RAW", True, "No such option"),
    ],
)
def test_wrong_commands_are_found(line: str, complete: bool, fault: str) -> None:
    found = refused(line, complete)
    assert fault in found
    assert bool(found) == bool(fault)


@pytest.mark.parametrize("page", PAGES)
def test_flags_of_benchmarks_in_pages_exist(page: str) -> None:
    """They have parsers of their own, so the flag is searched for in the code of the module and of what all share."""
    missing = []
    for module, arguments in re.findall(r"-m (bench(?:\.[a-z]\w*)+)\b([^`\n#]*)", text(page)):
        path = module.replace(".", "/")
        files = [file for file in FILES if file in (f"{path}.py", "bench/command.py") or file.startswith(f"{path}/")]
        code = "".join(text(file) for file in files)
        missing += [(module, flag) for flag in re.findall(r"--[a-z][\w-]*", arguments) if f'"{flag}"' not in code]
    assert missing == []


def has_setting(kind: Any, path: list[str]) -> bool:
    """Whether a settings dataclass has a field, or a field of a nested one, at the end of a path of names."""
    hints = typing.get_type_hints(kind) if is_dataclass(kind) else {}
    return not path or (path[0] in hints and has_setting(hints[path[0]], path[1:]))


@pytest.mark.parametrize("page", PAGES)
def test_settings_in_pages_exist(page: str) -> None:
    sections = "|".join(field.name for field in fields(Recipe) if is_dataclass(field.default_factory))
    named = re.findall(rf"(?:`|--set )((?:{sections})\.[a-z_0-9.]*[a-z_0-9])\b(?!\()", text(page))
    endings = ("py", "json", "toml")
    wrong = {name for name in named if not has_setting(Recipe, name.split(".")) and name.split(".")[-1] not in endings}
    assert wrong == set()


def test_messages_that_operations_explains_are_in_the_code() -> None:
    """What the code fills in is three dots, N, nan or a number on the page."""
    literals = []
    for file in FILES:
        if re.match(r"(pipeline|ingest|train)/.*\.py$", file):
            for node in ast.walk(ast.parse(text(file))):
                pieces: list[ast.AST] = [*node.values] if isinstance(node, ast.JoinedStr) else [node]
                literals.append("\0".join(str(piece.value) for piece in pieces if isinstance(piece, ast.Constant)))
    code = "\n".join(literals)
    sections = re.findall(r"^## Messages of .*?(?=^## )", text("docs/operations.md"), re.MULTILINE | re.DOTALL)
    cells = [row.split("|")[1] for section in sections for row in section.splitlines() if row.startswith("| ")]
    messages = [message for cell in cells for message in re.findall(r"`([^`]+)`", cell)]
    filled_in = re.compile(r"\.\.\.|\bN\b|\bnan\b|\b[\d:]+\b")
    parts = {part.strip(" :;,") for message in messages for part in filled_in.split(message)}
    assert len(messages) > 15
    assert {part for part in parts if part not in code} == set()
