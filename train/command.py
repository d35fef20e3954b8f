"""`persondays train` and `python -m train`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import typer


class Resume(StrEnum):
    """What to do with checkpoints that are there."""

    auto = "auto"
    never = "never"


class EngineName(StrEnum):
    """What carries a step out over all processes."""

    ddp = "ddp"
    deepspeed = "deepspeed"


class Tracker(StrEnum):
    """Where a run's numbers go beside its logs."""

    mlflow = "mlflow"
    wandb = "wandb"


def train(
    recipe: str = typer.Argument("harnet10", help="A recipe: the path of a TOML file, or the name of one of ours."),
    store: str = typer.Option(..., help="The window store that ingest wrote; any fsspec URL."),
    checkpoints: str = typer.Option(..., help="Where checkpoints go, and come from; any fsspec URL."),
    resume: Resume = typer.Option(Resume.auto, help="auto: go on from the newest sound checkpoint, if any."),
    logs: Path | None = typer.Option(  # torchrun would take --logs for one of its own
        None,
        "--log-folder",
        help="Folder of log.jsonl and TensorBoard's files. Default: `logs` in a local folder of checkpoints.",
    ),
    engine: EngineName | None = typer.Option(
        None, help="ddp (default) or deepspeed: the same as --set engine.name=..."
    ),
    track: Tracker | None = typer.Option(None, help="Send the log's numbers there too, where it is installed."),
    set_: list[str] = typer.Option([], "--set", help="Override a setting: section.key=value, as often as you like."),
) -> int:
    """Pretrain a backbone on a window store, in this process or in those that torchrun starts."""
    from train.loop.trainer import train as run
    from train.recipe import load_recipe

    chosen = [f"engine.name={engine.value}"] if engine else []
    settings = load_recipe(recipe, [*set_, *chosen])
    return run(settings, store, checkpoints, resume.value, logs, track.value if track else None)


def bench_stream(
    store: str = typer.Option(..., help="The window store to stream from; any fsspec URL."),
    recipe: str = typer.Option("harnet10", help="A recipe, for what it says of data and batch."),
    seconds: float = typer.Option(20.0, min=1.0, help="How long to stream."),
    gpu_windows_s: float | None = typer.Option(
        None, min=1e-6, help="Windows a second that one of your GPUs trains: tells how many this feeds."
    ),
    set_: list[str] = typer.Option([], "--set", help="Override a setting: data.threads=8, as often as you like."),
) -> None:
    """Stream windows from a store as training does, without training: what your storage and this machine give."""
    from train.recipe import load_recipe
    from train.windows.measure import measure

    settings = load_recipe(recipe, set_)
    measured = measure(settings.data, settings.run.batch, settings.seed, store, seconds)
    typer.echo(measured.text(gpu_windows_s))
