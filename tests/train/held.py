"""`python -m train` that waits at given steps until a file exists, so that no run ends before a test acts on it.

python -m tests.train.held STEP FILE [STEP FILE ...] -- [arguments of train]
"""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path

from pipeline.cli import run_command
from train.command import train
from train.distributed.process_exit import exit_without_destructors
from train.loop import trainer
from train.loop.run import Run
from train.loop.step import StepResult, take_step


def hold(gates: dict[int, Path]) -> None:
    """Let no process take more steps than each key before its file exists."""

    def held(run: Run) -> StepResult:
        while any(run.step >= step and not gate.exists() for step, gate in gates.items()):
            time.sleep(0.01)
        return take_step(run)

    vars(trainer)["take_step"] = held


if __name__ == "__main__":
    end = sys.argv.index("--")
    pairs = sys.argv[1:end]
    hold({int(step): Path(file) for step, file in zip(pairs[::2], pairs[1::2], strict=True)})
    del sys.argv[1 : end + 1]
    exit_without_destructors(partial(run_command, train, "python -m train"))
