"""`python -m train.embed` that waits before it writes the next file, once it has written some, until a file exists.

python -m tests.train.embed.held COUNT FILE [arguments of embed]
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from pipeline.cli import run_command
from train.embed import inference
from train.embed.command import embed


def hold(count: int, gate: Path) -> None:
    """Let no process write more than `count` files before the gate exists."""
    write = inference.Inference._write
    written = 0

    def held(self: inference.Inference, *arguments: Any) -> None:
        nonlocal written
        while written >= count and not gate.exists():
            time.sleep(0.01)
        write(self, *arguments)
        written += 1

    vars(inference)["Inference"] = type("Held", (inference.Inference,), {"_write": held})


if __name__ == "__main__":
    hold(int(sys.argv[1]), Path(sys.argv[2]))
    del sys.argv[1:3]
    sys.exit(run_command(embed, "python -m train.embed"))
