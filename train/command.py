"""`persondays train`, `python -m train` and `persondays bench-stream`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import typer


class Resume(StrEnum):
    """What to do with existing checkpoints."""

    auto = "auto"
    never = "never"


class EngineName(StrEnum):
    """How a step runs on all processes."""

    ddp = "ddp"
    deepspeed = "deepspeed"


class Tracker(StrEnum):
    """Where a run sends its numbers in addition to its logs."""

    mlflow = "mlflow"
    wandb = "wandb"


def train(
    recipe: str = typer.Argument("harnet10", help="A recipe: the path of a TOML file, or a name from train/recipes."),
    store: str = typer.Option(..., help="The window store written by `ingest`: a path or an s3:// URL."),
    checkpoints: str = typer.Option(
        ..., help="Folder to save checkpoints in, and to resume from: a path or an s3:// URL."
    ),
    resume: Resume = typer.Option(Resume.auto, help="auto: resume from the newest intact checkpoint, if any."),
    init: str | None = typer.Option(
        None,
        help="Start a new run from these weights: an export, a file of harnet weights, or a backbone in the box.",
    ),
    logs: Path | None = typer.Option(  # torchrun would take --logs for its own --logs-specs
        None,
        "--log-folder",
        help="Folder for log.jsonl and TensorBoard files. Default: `logs` in a local folder of checkpoints.",
    ),
    engine: EngineName | None = typer.Option(
        None, help="ddp (default) or deepspeed; the same as --set engine.name=..."
    ),
    track: Tracker | None = typer.Option(None, help="Also send the numbers to this tracker, which must be installed."),
    set_: list[str] = typer.Option([], "--set", help="Override a setting: section.key=value. Repeat for more."),
) -> int:
    """Pretrain a backbone on a window store, in one process or in those that torchrun starts."""
    from train.loop.trainer import train as run
    from train.recipe import load_recipe

    chosen = [f"engine.name={engine.value}"] if engine else []
    settings = load_recipe(recipe, [*set_, *chosen])
    return run(settings, store, checkpoints, resume.value, logs, track.value if track else None, init)


def bench_stream(
    store: str = typer.Option(..., help="The window store to stream from: a path or an s3:// URL."),
    recipe: str = typer.Option("harnet10", help="The recipe whose data settings and batch to use."),
    seconds: float = typer.Option(20.0, min=1.0, help="How long to stream, in seconds."),
    gpu_windows_s: float | None = typer.Option(
        None, min=1e-6, help="Windows per second that one of your GPUs trains on, to compute how many GPUs this feeds."
    ),
    set_: list[str] = typer.Option([], "--set", help="Override a setting, such as data.threads=8. Repeat for more."),
) -> None:
    """Measure how fast this machine streams windows from a store, without training."""
    from train.objectives import make_objective
    from train.recipe import load_recipe
    from train.windows.measure import measure

    settings = load_recipe(recipe, set_)
    companions = make_objective(settings.objective).companions
    measured = measure(settings.data, settings.run.batch, settings.seed, store, seconds, companions)
    typer.echo(measured.text(gpu_windows_s))
