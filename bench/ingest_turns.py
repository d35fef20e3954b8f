"""How a contender of bench/ingest.py works: once when it starts, and again for every line that it is sent.

So all of them stay warm and take turns. Only the standard library: peers import it in an environment of their own.
What they print by themselves goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import chain
from pathlib import Path
from typing import Any

Call = Callable[[], dict[str, Any]]


def serve(prepared: Callable[[], AbstractContextManager[Call]], core: int) -> None:
    """Time calls on one core, and tell each as a line of JSON; what is prepared for a call is not timed."""
    os.sched_setaffinity(0, {core})
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for _ in chain([""], sys.stdin):
        with prepared() as call:
            began = time.perf_counter()
            found = call()
            seconds = time.perf_counter() - began
        print(json.dumps({"seconds": seconds, "peak MB": peak_mb(os.getpid()), **found}), file=out, flush=True)


def peak_mb(process: int) -> float:
    """The most memory that a process ever held (Linux: proc(5), VmHWM)."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM:")), 0.0)
