"""Where a run resumes: the newest intact checkpoint, if it is of the same run."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.errors import UserError
from pipeline.settings import build, plain
from pipeline.storage.folder import Folder
from train.checkpoint import format as ck
from train.distributed.processes import Processes
from train.networks.initial import Initial
from train.recipe import Recipe

FREE_TO_CHANGE = {
    *("name", "engine.name", "engine.zero_stage", "engine.deepspeed", "probe.data", "probe.every"),
    "objective.distil.table",  # the table may move: the stream's facts say which one it is
    *(f"data.{name}" for name in ("threads", "cache", "cache_gb", "skip_damaged")),
    *(f"run.{name}" for name in ("windows", "validate_every", "save_every", "keep", "patience")),
    *(f"run.{name}" for name in ("accumulate", "compile", "graphs", "deterministic", "threads", "timeout_s")),
}
"""Settings that do not decide what is learned. `accumulate` is one of them so that a run can resume on fewer GPUs."""


@dataclass(frozen=True)
class ResumePoint:
    """The checkpoint to resume from, None for a new run, and the steps of newer checkpoints that are damaged."""

    checkpoint: ck.Checkpoint | None
    damaged: tuple[int, ...] = ()

    @property
    def seen(self) -> int:
        """Windows seen so far."""
        return self.checkpoint.state.windows_seen if self.checkpoint else 0


def find_resume_point(
    folder: Folder, resume: Literal["auto", "never"], recipe: Recipe, processes: Processes
) -> ResumePoint:
    """Find where to resume; the first process reads the checkpoint and sends it to the others.

    Raises UserError if the checkpoints are of a run with other settings, or all are damaged.
    """
    point: ResumePoint = processes.from_first(lambda: _read(folder))
    found = point.checkpoint
    if found is None:
        return point
    if resume == "never":
        raise UserError(
            f"{folder.url} already has checkpoints (newest: step {found.step}), but --resume never was given. "
            "Name another folder, or leave --resume at auto to resume."
        )
    settings = build(Recipe, found.state.settings, f"{folder.url}/{ck.name_of(found.step)}")
    then, now = _comparable(plain(settings)), _comparable(plain(recipe))
    names = sorted(name for name in {*then, *now} if then.get(name) != now.get(name))
    if names:
        changes = "; ".join(f"{name}: then {then.get(name)!r}, now {now.get(name)!r}" for name in names)
        raise UserError(
            f"{folder.url} has the checkpoints of a run with other settings ({changes}). "
            "Use those settings to resume it, or name another folder to start a new run."
        )
    if found.state.facts.stream is None:
        raise UserError(
            f"{folder.url}/{ck.name_of(found.step)}: expected the lanes and the version of the tables in {ck.STATE}, "
            "found none, so the run cannot be resumed. Name another folder to start a new run."
        )
    return point


def require_same_start(point: ResumePoint, initial: Initial | None, folder: Folder) -> None:
    """Raise UserError if `initial` weights are given and the checkpoint's run started from others."""
    if point.checkpoint and initial and point.checkpoint.state.facts.init != initial.digest:
        raise UserError(
            f"{folder.url} has the checkpoints of a run that did not start from the weights in {initial.where}. Leave "
            "--init out to resume it, or name another folder to start a new run."
        )


def _read(folder: Folder) -> ResumePoint:
    found, damaged = ck.newest(folder)
    for problem in damaged.values():
        step = found.step if found else 0
        print(f"warning: {problem} Resuming from step {step}, the newest intact checkpoint.", file=sys.stderr)
    return ResumePoint(found, tuple(damaged))


def _comparable(settings: dict[str, Any], path: str = "") -> dict[str, Any]:
    """Flatten settings, without those that may change when a run resumes."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            flat |= _comparable(value, f"{path}{name}.")
        elif f"{path}{name}" not in FREE_TO_CHANGE:
            flat[path + name] = value
    return flat
