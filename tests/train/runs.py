"""Small runs of the trainer: in this process, as a command, by torchrun."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import torch

from pipeline.storage.folder import Folder
from tests.waiting import until
from train.checkpoint import format as ck
from train.loop.trainer import train
from train.recipe import load_recipe

RECIPE = str(Path(__file__).with_name("multitask.toml"))

SMALL = {
    "network.width": 0.0625,
    "data.lanes": 4,
    "data.min_wear_hours": 0,
    "data.threads": 1,
    "run.batch": 16,
    "run.windows": 480,
    "run.validate_every": 160,
    "run.save_every": 80,
    "run.keep": 100,
    "run.threads": 1,
}


def overrides(settings: dict[str, Any]) -> list[str]:
    """Overrides for the command line: small settings, updated by settings as section__key."""
    given = SMALL | {name.replace("__", "."): value for name, value in settings.items()}
    return [f"{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in given.items()]


def alone(
    store: str,
    checkpoints: Path | str,
    resume: Literal["auto", "never"] = "auto",
    logs: Path | None = None,
    **settings: Any,
) -> int:
    """Train in this process."""
    return train(load_recipe(RECIPE, overrides(settings)), store, str(checkpoints), resume, logs)


def command(
    store: str,
    checkpoints: Path | str,
    processes: int = 1,
    restarts: int = 0,
    held: dict[int, Path] | None = None,
    **settings: Any,
) -> list[str]:
    """Return the command line of a run. `held`: steps at which it waits until a file exists."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    start = [*torchrun, f"--max-restarts={restarts}"] if processes > 1 else []
    flags = [part for override in overrides(settings) for part in ("--set", override)]
    train = [*trainer(held), RECIPE, "--store", store, "--checkpoints", str(checkpoints), *flags]
    return [sys.executable, *start, *train]


def trainer(held: dict[int, Path] | None = None) -> list[str]:
    """Return the flags by which Python starts the trainer; see `command`."""
    if not held:
        return ["-m", "train"]
    return ["-m", "tests.train.held", *(str(part) for gate in held.items() for part in gate), "--"]


def run(*arguments: Any, **settings: Any) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(command(*arguments, **settings), capture_output=True, text=True, check=False, timeout=400)


@contextmanager
def background_run(*arguments: Any, **settings: Any) -> Iterator[subprocess.Popen[str]]:
    """Run the command in the background, in its own process group, which is killed at the end of the block."""
    process = subprocess.Popen(
        command(*arguments, **settings),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def ranks_of(torchrun: subprocess.Popen[Any]) -> list[int]:
    """Return the process ids of a torchrun's children."""
    return [int(pid) for pid in Path(f"/proc/{torchrun.pid}/task/{torchrun.pid}/children").read_text().split()]


def same_checkpoint(left: Path, right: Path, step: int) -> None:
    """Check that two checkpoints have the same bits: weights, buffers, optimizer, validation, windows seen."""
    a, b = ck.read(Folder(str(left)), step), ck.read(Folder(str(right)), step)
    assert a.model.keys() == b.model.keys()
    for name, value in a.model.items():
        assert torch.equal(value, b.model[name]), name
    assert a.optimizer.keys() == b.optimizer.keys() != set()
    for name, fields in a.optimizer.items():
        assert fields.keys() == b.optimizer[name].keys()
        for key, value in fields.items():
            assert torch.equal(value, b.optimizer[name][key]), (name, key)
    for name in ("validation", "validation_loss", "best", "windows_digest"):
        assert getattr(a.state, name) == getattr(b.state, name), name


def wait_for(folder: Path, count: int) -> None:
    """Wait until so many checkpoints are complete."""
    until(lambda: len(ck.complete(Folder(str(folder)))) >= count)
