"""The final numbers of a run, JSON-ready: each task's accuracy with its controls."""

from __future__ import annotations

from typing import Any

from train.report.history import COIN, History

KIND = "persondays-training"
VERSION = 1


def final_numbers(run: History, control: History | None, draws: dict[str, Any] | None) -> dict[str, Any]:
    """Return the numbers of the last validation and of the training before it.

    `control` is the run of a network trained on noise only; `draws` comes from `train.report.draws.summary`.
    """
    settings, last = run.settings, run.validation[-1]
    return {
        "format": KIND,
        "version": VERSION,
        "recipe": settings["name"],
        "network": settings["network"],
        "seconds_a_window": settings["data"]["seconds"],
        "processes": run.start["world_size"],
        "device": run.start["versions"]["device"],
        "participants": run.start["participants"],
        "participants_held_out": len(run.start["validation_participants"]),
        "person_days": run.start["stream"]["members"],
        "epoch_windows": run.start["epoch_windows"],
        "windows_asked": settings["run"]["windows"],
        "windows_seen": run.seen,
        "validation_windows": last["real"]["windows"],
        "validation_loss": last["real"]["loss"],
        "windows_per_s": run.typical("windows_per_s"),
        "data_wait": run.typical("data_wait"),
        "training_seconds": run.training_seconds,
        "guessing": COIN,
        "tasks": {task: _task(task, run, control) for task in run.tasks},
        "control": control and _control(control),
        "probe": run.probe[-1] if run.probe else None,
        "draws": draws,
    }


def _task(task: str, run: History, control: History | None) -> dict[str, Any]:
    """Return accuracy and loss without learning, and the accuracy with its 99% interval on each kind of windows."""
    return {
        "guessing": run.guessing(task),
        "unlearned_loss": run.unlearned_loss(task),
        **{windows: run.score(windows, task) for windows in ("real", "phase", "noise")},
        "trained_on_noise": control and control.score("noise", task),
    }


def _control(control: History) -> dict[str, Any]:
    return {
        "windows_asked": control.settings["run"]["windows"],
        "windows_seen": control.seen,
        "training_seconds": control.training_seconds,
        "validation_windows": control.validation[-1]["noise"]["windows"],
    }
