"""`persondays demo`: simulate, ingest, pretrain, export, evaluate, and make a page of pictures.

The steps belong to packages that do not import each other, so the demo runs their commands as processes, as users
do. Every command resumes, so the demo does too.
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

HELD_OUT_SHARE = 4
"""One in so many participants is held out for validation."""
CONTROL_SHARE = 3
"""The control network sees a third of the windows that the network sees."""
BOX = Path(__file__).resolve().parents[2] / "backbones"
"""The backbones that come with the project; the demo scores them beside its own."""
NAME_PATTERN = "(P[0-9]+)[.]cwa"
"""Finds a simulated participant's name, as in the truth table, in the name of a recording."""
INTERRUPTED = (130, -2)
"""Exit statuses after Ctrl-C."""


@dataclass(frozen=True)
class DemoStep:
    """A command of the demo. It is skipped if its output exists, for commands that do not check this themselves."""

    title: str
    command: list[str]
    output: Path | None = None


def persondays(*arguments: object) -> list[str]:
    """Return the command line of a `persondays` command in this environment."""
    return [sys.executable, "-m", "pipeline", *map(str, arguments)]


def box() -> list[str]:
    """Return the names of the backbones that come with the project."""
    return sorted(config.parent.name for config in BOX.glob("*/config.json"))


def torchrun(processes: int, *arguments: object) -> list[str]:
    """Return the command line of the trainer in several processes on this machine."""
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return [sys.executable, *start, "-m", "train", *map(str, arguments)]


def steps(run: Path, participants: int, days: int, windows: int, processes: int) -> list[DemoStep]:
    """Return the steps in order; all output is in the folder `run`."""
    recordings, key, store, model = run / "recordings", run / "key", run / "store", run / "model"
    checkpoints, control, report = run / "checkpoints", run / "control", run / "report"
    labelled, evaluation = run / "labelled", run / "evaluation"
    cohort = ("--participants", participants, "--days", days, "--seed", 0)
    ingested = ("--recordings", recordings, "--store", store, "--key-file", key, "--id-regex", NAME_PATTERN)
    truth = ("--truth", recordings / "_truth.parquet", "--key-file", key)
    logs = ("--logs", checkpoints / "logs", "--control-logs", control / "logs")

    def pretrain(title: str, out: Path, windows: int, *more: object) -> DemoStep:
        held_out = max(2, participants // HELD_OUT_SHARE)
        settings = ("--set", f"run.windows={windows}", "--set", f"data.held_out={held_out}", *more)
        return DemoStep(title, torchrun(processes, "demo", "--store", store, "--checkpoints", out, *settings))

    def command(title: str, *arguments: object, output: Path | None = None) -> DemoStep:
        return DemoStep(title, persondays(*arguments), output)

    noise = ("--set", "data.control=noise")
    return [
        command(f"simulate {participants} participants with an AX3 for {days} days", "simulate", recordings, *cohort),
        command("create the key for the store's ids", "new-key", key, output=key),
        command("ingest the recordings with Ray", "ingest", *ingested),
        pretrain(f"pretrain on {processes} processes", checkpoints, windows),
        pretrain("train a control network on noise", control, windows // CONTROL_SHARE, *noise),
        command("export the backbone", "export", "--checkpoint", checkpoints, "--out", model),
        command(
            "cut labelled windows from the store and the simulator's truth table",
            *("labelled", "truth", "--store", store, *truth, labelled),
            output=labelled / "info.json",
        ),
        command(
            "compare the backbone with random weights",
            *("evaluate", "--model", model, "--labelled", labelled, "--out", evaluation),
        ),
        *(
            command(
                f"score the backbone in the box {name}",
                *("evaluate", "--model", name, "--labelled", labelled, "--out", run / "box" / name, "--rows", "linear"),
            )
            for name in box()
        ),
        command(
            "draw a person-day",
            *("inspect", store, "--picture", report / "day.png", "--json", report / "inspect.json"),
        ),
        command("draw the training", "report-training", *logs, "--store", store, "--out", report),
    ]


def demo(
    run: Path = typer.Argument(..., help="Folder for everything that the demo makes."),
    participants: int = typer.Option(16, min=4, help="Participants to simulate."),
    days: int = typer.Option(2, min=1, help="Days that each participant wears the device."),
    windows: int = typer.Option(100_000, min=5_000, help="Windows to pretrain on."),
    processes: int = typer.Option(2, min=1, help="Training processes."),
) -> None:
    """Run every step on simulated recordings, and make a page of the results. Run it again to resume."""
    from pipeline.demo.page import write_page

    began = time.monotonic()
    todo = steps(run.absolute(), participants, days, windows, processes)
    try:
        (run / "report").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot create the folder {run} ({error.strerror}). Name another folder.") from None
    for number, step in enumerate(todo, 1):
        typer.secho(f"\n[{number}/{len(todo)}] {step.title}", bold=True, err=True)
        if step.output is not None and step.output.exists():
            typer.echo("already done", err=True)
            continue
        _run(step)
    page = write_page(run)
    typer.echo(f"\nThe demo took {duration(time.monotonic() - began)}. Results:")
    for name, path in (
        ("page of results", page),
        ("window store", run / "store"),
        ("checkpoints", run / "checkpoints"),
        ("exported model", run / "model"),
    ):
        typer.echo(f"  {name:<17} {path}")


def _run(step: DemoStep) -> None:
    """Run the command of a step. Raises UserError when it fails."""
    process = subprocess.Popen(step.command, env={"OMP_NUM_THREADS": "1", **os.environ, "CUDA_VISIBLE_DEVICES": ""})
    try:
        status = process.wait()
    except KeyboardInterrupt:
        process.wait()
        raise
    if status in INTERRUPTED:
        raise KeyboardInterrupt
    if status:
        raise UserError(
            f"the demo stopped at the step {step.title!r}, which ended with exit status {status}; see its message "
            "above. Run the demo again to resume, or `make clean-demo` to start from scratch."
        )
