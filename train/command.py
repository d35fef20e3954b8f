"""`persondays train` and `python -m train`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import typer


class Resume(StrEnum):
    """What to do with checkpoints that are there."""

    auto = "auto"
    never = "never"


def train(
    recipe: str = typer.Argument("harnet10", help="A recipe: the path of a TOML file, or the name of one of ours."),
    store: str = typer.Option(..., help="The window store that ingest wrote; any fsspec URL."),
    checkpoints: str = typer.Option(..., help="Where checkpoints go, and come from; any fsspec URL."),
    resume: Resume = typer.Option(Resume.auto, help="auto: go on from the newest complete checkpoint, if any."),
    logs: Path | None = typer.Option(
        None, help="Folder of log.jsonl and TensorBoard's files. Default: `logs` in a local folder of checkpoints."
    ),
    set_: list[str] = typer.Option([], "--set", help="Override a setting: section.key=value, as often as you like."),
) -> int:
    """Pretrain a backbone on a window store, in this process or in those that torchrun starts."""
    from train.recipe import load_recipe
    from train.trainer import train as run

    return run(load_recipe(recipe, set_), store, checkpoints, resume.value, logs)
