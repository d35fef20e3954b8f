"""Where a run goes on: the newest sound checkpoint, provided that it is of the same run."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.errors import UserError
from pipeline.settings import build, plain
from pipeline.storage.folder import Folder
from train.checkpoint import format as ck
from train.distributed.processes import Processes
from train.recipe import Recipe

FREE_TO_CHANGE = {
    *("name", "engine.name", "engine.zero_stage", "engine.deepspeed", "probe.data", "probe.every"),
    *(f"data.{name}" for name in ("threads", "cache", "cache_gb", "skip_damaged")),
    *(f"run.{name}" for name in ("windows", "validate_every", "save_every", "keep", "patience")),
    *(f"run.{name}" for name in ("accumulate", "compile", "deterministic", "threads", "timeout_s")),
}
"""Settings that do not decide what is learned; `accumulate` is among them so that fewer GPUs can go on."""


@dataclass(frozen=True)
class Start:
    """The checkpoint to go on from, None for a new run, and the steps of damaged ones."""

    checkpoint: ck.Checkpoint | None
    damaged: tuple[int, ...] = ()

    @property
    def seen(self) -> int:
        """Windows seen so far."""
        return self.checkpoint.state["windows_seen"] if self.checkpoint else 0


def choose_start(folder: Folder, resume: Literal["auto", "never"], recipe: Recipe, processes: Processes) -> Start:
    """The start of a run, which the first process reads and gives to all.

    Raises UserError when the checkpoints are of another run, or none is sound.
    """
    start: Start = processes.from_first(lambda: _read(folder))
    found = start.checkpoint
    if found is None:
        return start
    if resume == "never":
        raise UserError(
            f"{folder.url} holds checkpoints (newest: step {found.step}), and --resume never was asked for. "
            "Name another folder, or leave --resume auto to go on."
        )
    settings = build(Recipe, found.state["settings"], f"{folder.url}/{ck.name_of(found.step)}")
    then, now = _comparable(plain(settings)), _comparable(plain(recipe))
    names = sorted(name for name in {*then, *now} if then.get(name) != now.get(name))
    if names:
        changes = "; ".join(f"{name}: then {then.get(name)!r}, now {now.get(name)!r}" for name in names)
        raise UserError(
            f"{folder.url} holds checkpoints of a run with other settings ({changes}). "
            "Use those settings to go on, or name another folder to begin anew."
        )
    return start


def _read(folder: Folder) -> Start:
    found, damaged = ck.newest(folder)
    for wrong in damaged.values():
        print(
            f"warning: {wrong} Going on from step {found.step if found else 0}, the newest sound one.", file=sys.stderr
        )
    return Start(found, tuple(damaged))


def _comparable(settings: dict[str, Any], path: str = "") -> dict[str, Any]:
    """Settings by path, without those that may change when a run goes on."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            flat |= _comparable(value, f"{path}{name}.")
        elif f"{path}{name}" not in FREE_TO_CHANGE:
            flat[path + name] = value
    return flat
