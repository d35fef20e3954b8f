"""A run as its log tells it: settings and facts, lines of training, lines of validation."""

from __future__ import annotations

import json
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
        """The recipe of the run, as JSON-ready values."""
        return dict(self.start["settings"])

    @property
    def control(self) -> str:
        """What the run trained on: none (real windows), noise or phase."""
        return str(self.settings["data"]["control"])

    @property
    def tasks(self) -> list[str]:
        """The pretext tasks that the run was scored on."""
        real = self.validation[-1]["real"]
        return sorted(name for name, value in real.items() if isinstance(value, dict))

    @property
    def seen(self) -> int:
        """Windows seen at the last validation."""
        return int(self.validation[-1]["seen"])

    def score(self, windows: str, task: str) -> dict[str, float]:
        """The last validation's accuracy and its 99% interval, on real, noise or phase windows."""
        return dict(self.validation[-1][windows][task])

    def guessing(self, task: str) -> float:
        """The accuracy of a guess: what the objective says of its validation windows, or that of a fair coin."""
        return float(self.validation[-1]["real"][task].get("guessing", COIN))

    def course(self, windows: str, task: str) -> tuple[list[int], list[float], list[float], list[float]]:
        """Windows seen, accuracy and the ends of its 99% interval, a validation each."""
        lines = [line for line in self.validation if task in line.get(windows, {})]
        scores = [line[windows][task] for line in lines]
        accuracy, low, high = ([score[name] for score in scores] for name in ("accuracy", "low", "high"))
        return [line["seen"] for line in lines], accuracy, low, high

    def losses(self, windows: str) -> tuple[list[int], list[float]]:
        """Windows seen and loss, a validation each."""
        lines = [line for line in self.validation if windows in line]
        return [line["seen"] for line in lines], [line[windows]["loss"] for line in lines]

    def typical(self, name: str) -> float | None:
        """The median over lines of training; None where there is none."""
        values = [line[name] for line in self.train]
        return median(values) if values else None

    @property
    def training_seconds(self) -> float:
        """Seconds spent in training steps, without validation and saving."""
        return sum(line["windows"] / line["windows_per_s"] for line in self.train)


def read_history(folder: Path) -> History:
    """The run whose log lies in a folder; raises UserError where there is none, or none that got to a validation."""
    path = folder / "log.jsonl"
    try:
        lines = read_lines(path)
    except (OSError, UnicodeDecodeError):
        raise UserError(
            f"{folder}: expected the log of a training run (log.jsonl), found none that can be read. Give the folder "
            "that training named as `logs`."
        ) from None
    by_kind: dict[str, list[Line]] = {"start": [], "train": [], "validation": [], "probe": []}
    for line in lines:
        if isinstance(line, dict):
            by_kind.setdefault(str(line.get("kind")), []).append(line)
    if not by_kind["start"] or not by_kind["validation"]:
        raise UserError(
            f"{path}: expected a line of the start and one of a validation at least, found "
            f"{json.dumps({kind: len(found) for kind, found in by_kind.items()})}. Let the run get to its first "
            "validation, then try again."
        )
    return History(by_kind["start"][0], by_kind["train"], by_kind["validation"], by_kind["probe"])


def trained_on_noise(folder: Path, like: History) -> History:
    """The run of the control network; raises UserError when it trained on anything but noise, or on other tasks."""
    control = read_history(folder)
    if control.control != "noise":
        raise UserError(
            f"{folder}: expected the log of a run with data.control = noise, found {control.control!r}. Train the "
            "control with --set data.control=noise into a folder of its own."
        )
    if control.tasks != like.tasks:
        raise UserError(
            f"{folder}: expected a control on the tasks {', '.join(like.tasks)}, found {', '.join(control.tasks)}. "
            "Train it with the same objective."
        )
    return control
