"""Helpers for tests of infra: the project's files, its extras, and commands parsed by the programs' own parsers."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import click
import typer

from ingest.command import ingest

ROOT = Path(__file__).resolve().parents[2]
PLACEHOLDER = "..."
"""Ends a command of which a page shows only the first flags."""


def copy_checkout(folder: Path) -> None:
    """Copy the files of this checkout that git tracks or would track, uncommitted changes included."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def installed_extras(dockerfile: str) -> list[str]:
    """The extras of the project that a Dockerfile installs."""
    (extras,) = re.findall(r"pip install [^\n]*'\.\[(.*)\]'", dockerfile)
    return extras.split(",")


def project_table() -> dict[str, Any]:
    """The table `project` of pyproject.toml."""
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return table


def packages_of(extras: list[str]) -> set[str]:
    """Names of the direct requirements of the project and these extras."""
    project = project_table()
    names: set[str] = set()
    for requirement in [*project["dependencies"], *(r for extra in extras for r in optional(project, extra))]:
        names.add(re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0])
    return names


def optional(project: dict[str, Any], extra: str) -> list[str]:
    """The requirements of an extra, with those of the extras it includes."""
    found = []
    for requirement in project["optional-dependencies"][extra]:
        included = re.fullmatch(r"persondays\[(.*)\]", requirement)
        found += [r for name in included[1].split(",") for r in optional(project, name)] if included else [requirement]
    return found


def shown(path: Path, program: str) -> list[list[str]]:
    """A program's commands in a file, split into words: those on their own line (also after `# `) or in backquotes."""
    text = path.read_text().replace("\\\n", " ")
    lines = re.findall(rf"^(?:#\s+)?({program} .*)$", text, re.MULTILINE)
    return [shlex.split(command) for command in [*lines, *re.findall(rf"`({program} [^`]* -[^`]*)`", text)]]


def parse_ray(words: list[str]) -> dict[str, Any]:
    """The parameters of a `ray` command, parsed by Ray; raises click's UsageError for an unknown flag."""
    from ray.scripts.scripts import cli

    command: click.Command = cli
    words = words[1:]
    while isinstance(command, click.Group):
        command, words = command.commands[words[0]], words[1:]
    return command.make_context(command.name, [word for word in words if word != PLACEHOLDER]).params


def parse_ingest(words: list[str]) -> dict[str, Any]:
    """The flags of a `python -m ingest ...` command, parsed by our command line; raises for an unknown one."""
    assert words[:3] == ["python", "-m", "ingest"]
    app = typer.Typer()
    app.command()(ingest)
    command = typer.main.get_command(app)
    given = [word for word in words[3:] if word != PLACEHOLDER]
    return {name: value for name, value in command.make_context("ingest", given).params.items() if value is not None}
