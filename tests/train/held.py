"""`python -m train` that waits before a step until a file exists, so that no run ends before a test acts on it.

python -m tests.train.held STEP FILE [arguments of train]
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from pipeline.cli import run_command
from train.command import train
from train.loop import trainer
from train.loop.run import Run
from train.loop.step import StepResult, take_step


def hold(step: int, gate: Path) -> None:
    """Let no process take more than `step` steps before the file exists."""

    def held(run: Run) -> StepResult:
        while run.step >= step and not gate.exists():
            time.sleep(0.01)
        return take_step(run)

    vars(trainer)["take_step"] = held


if __name__ == "__main__":
    hold(int(sys.argv[1]), Path(sys.argv[2]))
    del sys.argv[1:3]
    sys.exit(run_command(train, "python -m train"))
