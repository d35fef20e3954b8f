"""Waiting for a state: tests never wait for a time, because another machine is slower or faster."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import Any

PATIENCE_S = 300
"""Long enough for one loaded core; only a test that fails waits so long."""


def until(condition: Callable[[], bool], process: subprocess.Popen[Any] | None = None) -> None:
    """Wait until a condition holds; fails when the process ends before."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if process is not None and process.poll() is not None:
            raise AssertionError(f"the process ended before the condition held: {process.communicate()}")
        assert time.monotonic() < deadline, f"the condition did not hold within {PATIENCE_S} s"
        time.sleep(0.002)
