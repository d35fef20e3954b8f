"""`persondays demo`: simulate, ingest, pretrain, export, evaluate, and a page of pictures.

The steps belong to different rooms, which do not import each other; the demo joins them as users do,
by running their commands. Every command goes on from what is there, so the demo does too.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import typer

from pipeline.errors import UserError
from pipeline.progress import duration

CONTROL_SHARE = 3
"""The control network sees a third of the windows that the network sees."""


NAME_PATTERN = "(P[0-9]+)[.]cwa"
"""A simulated person's name in a file's, as the truth table has it."""


@dataclass(frozen=True)
class Step:
    """One command of the demo; one that has nothing to do when `made` exists is passed over."""

    title: str
    command: list[str]
    made: Path | None = None


def persondays(*arguments: object) -> list[str]:
    """A `persondays` command of this environment."""
    return [sys.executable, "-m", "pipeline", *map(str, arguments)]


def torchrun(processes: int, *arguments: object) -> list[str]:
    """The trainer in several processes of this machine."""
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return [sys.executable, *start, "-m", "train", *map(str, arguments)]


def steps(run: Path, participants: int, days: int, windows: int, processes: int) -> list[Step]:
    """The demo's steps, in order, all below one folder."""
    recordings, key, store, model = run / "recordings", run / "key", run / "store", run / "model"
    checkpoints, control, report = run / "checkpoints", run / "control", run / "report"

    def pretrain(title: str, out: Path, windows: int, *more: object) -> Step:
        settings = ("--set", f"run.windows={windows}", *more)
        return Step(title, torchrun(processes, "demo", "--store", store, "--checkpoints", out, *settings))

    truth = ("--truth", recordings / "_truth.parquet", "--key-file", key)
    return [
        Step(
            f"simulate {participants} people who wear an AX3 for {days} days",
            persondays("simulate", recordings, "--participants", participants, "--days", days, "--seed", 0),
        ),
        Step("make a key for the store's ids", persondays("new-key", key), key),
        Step(
            "ingest the recordings on Ray",
            persondays(
                "ingest", "--recordings", recordings, "--store", store, "--key-file", key, "--id-regex", NAME_PATTERN
            ),
        ),
        pretrain(f"pretrain in {processes} processes", checkpoints, windows),
        pretrain(
            "train a control network on noise", control, windows // CONTROL_SHARE, "--set", "data.control=noise"
        ),
        Step("export the backbone", persondays("export", "--checkpoint", checkpoints, "--out", model)),
        Step(
            "cut labelled windows from the store and the simulator's truth",
            persondays("labelled", "truth", "--store", store, *truth, run / "labelled"),
            run / "labelled" / "info.json",
        ),
        Step(
            "evaluate it against random weights",
            persondays("evaluate", "--model", model, "--labelled", run / "labelled", "--out", run / "evaluation"),
        ),
        Step(
            "picture a day",
            persondays("inspect", store, "--picture", report / "day.png", "--json", report / "inspect.json"),
        ),
        Step(
            "picture the training",
            persondays(
                "report-training", "--logs", checkpoints / "logs", "--control-logs", control / "logs",
                "--store", store, "--out", report,
            ),
        ),
    ]  # fmt: skip


def demo(
    run: Path = typer.Argument(..., help="The folder for everything the demo makes."),
    participants: int = typer.Option(12, min=4, help="People to simulate."),
    days: int = typer.Option(2, min=1, help="Days that each wears the device."),
    windows: int = typer.Option(200_000, min=5_000, help="Windows to pretrain on."),
    processes: int = typer.Option(2, min=1, help="Training processes."),
) -> None:
    """Run the whole road on simulated people, from raw files to a page of pictures. Run again, it goes on."""
    from pipeline.demo.page import write_page

    began = time.monotonic()
    todo = steps(run.absolute(), participants, days, windows, processes)
    (run / "report").mkdir(parents=True, exist_ok=True)
    for number, step in enumerate(todo, 1):
        typer.secho(f"\n[{number}/{len(todo)}] {step.title}", bold=True, err=True)
        if step.made is not None and step.made.exists():
            typer.echo("already there.", err=True)
            continue
        _run(step)
    page = write_page(run)
    typer.echo(f"\nThe demo took {duration(time.monotonic() - began)}. What it made:")
    for what, path in (
        ("page of pictures", page),
        ("window store", run / "store"),
        ("checkpoints", run / "checkpoints"),
        ("exported model", run / "model"),
    ):
        typer.echo(f"  {what:<17} {path}")


def _run(step: Step) -> None:
    """Run a step's command; its output is the demo's. Raises UserError when it fails."""
    process = subprocess.Popen(step.command, env={"OMP_NUM_THREADS": "1", **os.environ, "CUDA_VISIBLE_DEVICES": ""})
    try:
        status = process.wait()
    except KeyboardInterrupt:
        process.wait()
        raise
    if status in (130, -2):
        raise KeyboardInterrupt
    if status:
        raise UserError(
            f"the demo stopped at the step {step.title!r} (exit status {status}; its message stands above). "
            "Run the demo again to go on from there; `make clean-demo` starts over."
        )
