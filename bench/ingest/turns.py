"""The process of a contender of bench.ingest: it works once at its start, and once for every line that it receives.

So contenders stay warm and can take turns. Only the standard library is used, because the environments of peers import
this file too. Output of the contender itself goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import chain
from typing import Any

from ..clock import peak_mb

Call = Callable[[], dict[str, Any]]


def serve(prepared: Callable[[], AbstractContextManager[Call]], core: int) -> None:
    """Time calls on one core, and print each as a line of JSON; preparing a call is not timed."""
    os.sched_setaffinity(0, {core})
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for _ in chain([""], sys.stdin):
        with prepared() as call:
            began = time.perf_counter()
            found = call()
            seconds = time.perf_counter() - began
        print(json.dumps({"seconds": seconds, "peak MB": peak_mb(), **found}), file=out, flush=True)
