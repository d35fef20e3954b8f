"""Read a run's log: settings and facts, training lines, validation lines."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from pipeline.errors import UserError
from train.tracking.log import read_lines

Line = dict[str, Any]
COIN = 0.5


@dataclass(frozen=True)
class History:
    """The lines of `log.jsonl` by kind; `validation` holds at least one."""

    start: Line
    train: list[Line]
    validation: list[Line]
    probe: list[Line] = field(default_factory=list)

    @property
    def settings(self) -> dict[str, Any]:
        """The run's recipe, as JSON-ready values."""
        return dict(self.start["settings"])

    @property
    def control(self) -> str:
        """The control that the run trained on: none (real windows), noise or phase."""
        return str(self.settings["data"]["control"])

    @property
    def tasks(self) -> list[str]:
        """Names of the pretext tasks with an accuracy."""
        real = self.validation[-1]["real"]
        return sorted(name for name, value in real.items() if isinstance(value, dict))

    @property
    def seen(self) -> int:
        """Windows seen at the last validation."""
        return int(self.validation[-1]["seen"])

    def score(self, windows: str, task: str) -> dict[str, float]:
        """Return the last validation's accuracy and its 99% interval, on real, noise or phase windows."""
        return dict(self.validation[-1][windows][task])

    def guessing(self, task: str) -> float:
        """Return the accuracy of random guessing: the objective's figure for its validation windows, else 0.5."""
        return float(self.validation[-1]["real"][task].get("guessing", COIN))

    def unlearned_loss(self, task: str) -> float:
        """Return the loss of a prediction that learns nothing: the objective's figure for it, else that of guessing."""
        baseline = self.validation[-1]["real"][task].get("baseline")
        return float(baseline) if baseline is not None else -math.log(self.guessing(task))

    def course(self, windows: str, task: str) -> tuple[list[int], list[float], list[float], list[float]]:
        """Return windows seen, accuracy and the ends of its 99% interval, for each validation."""
        lines = [line for line in self.validation if task in line.get(windows, {})]
        scores = [line[windows][task] for line in lines]
        accuracy, low, high = ([score[name] for score in scores] for name in ("accuracy", "low", "high"))
        return [line["seen"] for line in lines], accuracy, low, high

    def losses(self, windows: str) -> tuple[list[int], list[float]]:
        """Return windows seen and loss, for each validation."""
        lines = [line for line in self.validation if windows in line]
        return [line["seen"] for line in lines], [line[windows]["loss"] for line in lines]

    def typical(self, name: str) -> float | None:
        """Return the median over training lines; None if there are none."""
        values = [line[name] for line in self.train]
        return median(values) if values else None

    @property
    def training_seconds(self) -> float:
        """Seconds spent in training steps, without validation and saving."""
        return sum(line["windows"] / line["windows_per_s"] for line in self.train)


def read_history(folder: Path) -> History:
    """Read the log in a folder; raises UserError if there is none, or if it has no validation yet."""
    path = folder / "log.jsonl"
    try:
        lines = read_lines(path)
    except (OSError, UnicodeDecodeError):
        raise UserError(
            f"{folder}: expected a readable log of a training run (log.jsonl), found none. Give the folder that "
            "training names as its logs."
        ) from None
    by_kind: dict[str, list[Line]] = {"start": [], "train": [], "validation": [], "probe": []}
    for line in lines:
        if isinstance(line, dict):
            by_kind.setdefault(str(line.get("kind")), []).append(line)
    if not by_kind["start"] or not by_kind["validation"]:
        raise UserError(
            f"{path}: expected at least a start line and a validation line, found "
            f"{json.dumps({kind: len(found) for kind, found in by_kind.items()})}. Wait for the run's first "
            "validation and try again."
        )
    return History(by_kind["start"][0], by_kind["train"], by_kind["validation"], by_kind["probe"])


def trained_on_noise(folder: Path, like: History) -> History:
    """Read the log of the control run; raises UserError unless it trained on noise, with the tasks of `like`."""
    control = read_history(folder)
    if control.control != "noise":
        raise UserError(
            f"{folder}: expected the log of a run with data.control = noise, found {control.control!r}. Train the "
            "control with --set data.control=noise, in a folder of its own."
        )
    if control.tasks != like.tasks:
        raise UserError(
            f"{folder}: expected a control on the tasks {', '.join(like.tasks)}, found {', '.join(control.tasks)}. "
            "Train it with the same objective."
        )
    return control
