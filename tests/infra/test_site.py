"""The hooks of the documentation's site: links, generated pages, and the search for what loads from a network."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from infra.site import hooks
from pipeline.cli import application

PAGES = {"index.md", "store.md", "infra.md", "contributing.md", "decisions/README.md", "decisions/0001-shards.md"}


@pytest.mark.parametrize(
    ("page", "markdown", "expected"),
    [
        ("index.md", "[store](docs/store.md#arrays)", "[store](store.md#arrays)"),
        ("index.md", "[how](CONTRIBUTING.md), [x](#here)", "[how](contributing.md), [x](#here)"),
        ("store.md", "[files](../infra/README.md)", "[files](infra.md)"),
        ("store.md", "[2](decisions/0001-shards.md)", "[2](decisions/0001-shards.md)"),
        ("decisions/README.md", "[1](0001-shards.md) [s](../store.md)", "[1](0001-shards.md) [s](../store.md)"),
        ("infra.md", "[store](../docs/store.md)", "[store](store.md)"),
        (
            "store.md",
            "[`io`](../ingest/devices/io), [paper](https://arxiv.org/x)",
            "`io`, [paper](https://arxiv.org/x)",
        ),
        ("store.md", "[gone](nowhere.md)", "[gone](nowhere.md)"),
        ("store.md", "`[a](../ingest)`\n```\n[a](../ingest)\n```\n", "`[a](../ingest)`\n```\n[a](../ingest)\n```\n"),
    ],
)
def test_links_of_the_repository_become_links_of_the_site(page: str, markdown: str, expected: str) -> None:
    assert hooks.relink(markdown, page, PAGES) == expected


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ("Two:\n- a\n- b\n", "Two:\n\n- a\n- b\n"),
        ("```\n- a\n```\n| a |\n| - |\n", "```\n- a\n```\n\n| a |\n| - |\n"),
        ("# A\n1. a\n   more\n2. b\n", "# A\n1. a\n   more\n2. b\n"),
    ],
)
def test_lists_and_tables_get_an_empty_line(markdown: str, expected: str) -> None:
    assert hooks.spaced(markdown) == expected


def test_the_lists_of_commands_are_links_with_complete_sentences() -> None:
    lines = re.findall(r"^\* \[`([\w-]+)`\]\(#persondays-([\w-]+)\): (.*)$", hooks.command_line(), re.MULTILINE)
    assert {"ingest", "labelled-wisdm"} <= {anchor for _, anchor, _ in lines}
    assert [text for _, _, text in lines if not text.endswith((".", "!"))] == []
    assert [text for _, _, text in lines if text.endswith("...")] == []


def test_the_reference_has_every_command_with_its_flags() -> None:
    text = hooks.command_line()
    commands = typer.main.get_command(application()).commands  # type: ignore[attr-defined]
    for named, command in commands.items():
        assert f"## `persondays {named}`" in text
        for parameter in command.params:
            flags = [flag for flag in parameter.opts if flag.startswith("--") and not parameter.hidden]
            assert [flag for flag in flags if flag not in text] == []


def test_the_reference_has_packages_with_public_names() -> None:
    packages = [*hooks.public_packages()]
    assert {"train.networks", "train.objectives"} <= {*packages}
    assert packages == sorted(packages, key=lambda name: (name.count("."), name))
    assert all(f"\n\n::: {name}" in hooks.python() for name in packages)


def test_docstrings_link_pages_and_keep_the_lines_of_fields() -> None:
    html = "<p>A day.\nlength: seconds (docs/store.md#state),\nor docs/demo.md.</p>"
    linked = '<p>A day.<br>\nlength: seconds (<a href="../store.html#state">store</a>),\nor docs/demo.md.</p>'
    assert hooks.docstrings(html, PAGES) == linked


def test_what_a_page_loads_from_elsewhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(
        '<link rel="canonical" href="https://a/"><link rel="stylesheet" href="https://b/x.css">'
        '<script src="//c/x.js"></script><img src="here.png"><a href="https://d/">d</a>'
    )
    assert hooks.loads(page) == ["https://b/x.css", "//c/x.js"]
