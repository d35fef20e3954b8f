"""The log of a run: JSON lines for programs, boards for people. Only the first process writes it."""

from __future__ import annotations

import errno
import json
import math
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from train.tracking.boards import Board, Tensorboard

Z_99 = 2.5758293035489004


def wilson(correct: float, count: float, z: float = Z_99) -> tuple[float, float]:
    """Return the confidence interval of a proportion (99%; Wilson 1927, doi:10.1080/01621459.1927.10502953).

    `scipy.stats.binomtest` gives the same, but takes a second to import and 1 ms a call, and refuses a count of 0.
    """
    if count == 0:
        return 0.0, 1.0
    share, squared = correct / count, z * z / count
    centre = (share + squared / 2) / (1 + squared)
    half = z / (1 + squared) * math.sqrt(share * (1 - share) / count + squared / (4 * count))
    return max(0.0, centre - half), min(1.0, centre + half)


def summarise(figures: dict[str, float]) -> dict[str, Any]:
    """Turn an objective's figures (`train.objectives.objective`) into a loss, and accuracies with intervals by task."""
    tasks = sorted(name.removesuffix("/correct") for name in figures if name.endswith("/correct"))
    result: dict[str, Any] = {"loss": figures["loss_sum"] / max(figures["count"], 1), "windows": int(figures["count"])}
    for task in tasks:
        correct, count = figures[f"{task}/correct"], figures[f"{task}/count"]
        low, high = wilson(correct, count)
        result[task] = {"accuracy": correct / max(count, 1), "low": low, "high": high}
        sums = {name: figures.get(f"{task}/{name}_sum") for name in ("loss", "guessing", "baseline")}
        result[task] |= {name: value / max(count, 1) for name, value in sums.items() if value is not None}
    return result


class RunLog:
    """`log.jsonl` and TensorBoard files in one folder, and another board if given.

    Removes the lines that an earlier attempt of the same run (with the same URL of `checkpoints`) wrote after `step`.
    Raises UserError if the folder cannot be written, or if a new run would overwrite the log of another run.
    """

    def __init__(self, folder: Path, step: int, checkpoints: str, other: Board | None = None) -> None:
        self.path, self.checkpoints = folder / "log.jsonl", checkpoints
        try:
            folder.mkdir(parents=True, exist_ok=True)
            before = read_lines(self.path) if self.path.exists() else []
            self._check_ours(before, step)
            kept = [line for line in before if line["step"] <= step and step > 0]
            partial = self.path.with_suffix(".partial")
            partial.write_text("".join(json.dumps(line) + "\n" for line in kept))
            partial.replace(self.path)
            self._file = self.path.open("a", buffering=1)
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            raise UserError(f"--log-folder {folder}: expected a folder, found a file. Name another folder.") from None
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise UserError(f"--log-folder {folder}: cannot be written ({error.strerror}). Name another.") from None
        self.is_new = not kept
        self._boards: list[Board] = [Tensorboard(folder, step), *([other] if other else [])]

    def _check_ours(self, before: list[dict[str, Any]], step: int) -> None:
        owner = before[0].get("checkpoints", self.checkpoints) if before else self.checkpoints
        if step == 0 and owner != self.checkpoints:
            raise UserError(
                f"--log-folder {self.path.parent}: has the log of another run, whose checkpoints are in {owner}. "
                "Name another folder for this run."
            )

    def write(self, kind: str, step: int, values: dict[str, Any]) -> None:
        """Write a line; its numbers, nested ones by path, go to the boards too, except at a start."""
        start = kind in ("start", "resume")
        owner = {"checkpoints": self.checkpoints} if start else {}
        self._file.write(json.dumps({"kind": kind, "step": step, **owner, **values}) + "\n")
        if not start:
            numbers = dict(_numbers(kind, values))
            for board in self._boards:
                board.write(numbers, step)

    def close(self) -> None:
        """Close the file and the boards."""
        self._file.close()
        for board in self._boards:
            board.close()


def _numbers(path: str, value: Any) -> list[tuple[str, float]]:
    if isinstance(value, dict):
        return [pair for key, item in value.items() for pair in _numbers(f"{path}/{key}", item)]
    return [(path, float(value))] if isinstance(value, int | float) and not isinstance(value, bool) else []


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read the lines of a log, without a last line that was cut off when the run was killed."""
    lines = []
    for line in path.read_text().splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            continue
    return lines
