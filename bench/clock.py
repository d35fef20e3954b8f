"""Timing and memory. Only the standard library is used, because the environments of peers import this file too."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def in_turns(calls: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each call in each round; every round makes all calls once, and the first round is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for round_ in range(repeats + 1):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            if round_:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def peak_mb(process: int | str = "self") -> float:
    """The peak resident memory of a process in MB (proc(5), VmHWM); 0 once it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM:")), 0.0)


def warm_cache(path: Path) -> None:
    """Read a file, or all files below a folder, into the page cache."""
    for file in path.rglob("*") if path.is_dir() else [path]:
        if file.is_file():
            with file.open("rb") as opened:
                while opened.read(1 << 24):
                    pass
