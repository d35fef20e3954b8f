"""Commands as pages and files show them, taken apart by the programs' own command lines, without running any."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import click
import typer

from ingest.command import ingest

ROOT = Path(__file__).resolve().parents[2]
PLACEHOLDER = "..."
"""Stands at the end of a command whose flags are told elsewhere."""


def shown(path: Path, program: str) -> list[list[str]]:
    """A program's commands in a file, as words: on lines of their own (after `# ` too), or with flags in backquotes."""
    text = path.read_text().replace("\\\n", " ")
    lines = re.findall(rf"^(?:#\s+)?({program} .*)$", text, re.MULTILINE)
    return [shlex.split(command) for command in [*lines, *re.findall(rf"`({program} [^`]* -[^`]*)`", text)]]


def parse_ray(words: list[str]) -> dict[str, Any]:
    """The parameters of a `ray` command by Ray's own command line; raises click's UsageError for unknown ones."""
    from ray.scripts.scripts import cli

    command: click.Command = cli
    words = words[1:]
    while isinstance(command, click.Group):
        command, words = command.commands[words[0]], words[1:]
    return command.make_context(command.name, [word for word in words if word != PLACEHOLDER]).params


def parse_ingest(words: list[str]) -> dict[str, Any]:
    """The flags that `python -m ingest ...` gives, by our own command line; raises for unknown ones."""
    assert words[:3] == ["python", "-m", "ingest"]
    app = typer.Typer()
    app.command()(ingest)
    command = typer.main.get_command(app)
    given = [word for word in words[3:] if word != PLACEHOLDER]
    return {name: value for name, value in command.make_context("ingest", given).params.items() if value is not None}
