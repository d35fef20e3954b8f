"""What every task needs in a worker process: a limit of time, a gauge of memory, and faults told without names."""

from __future__ import annotations

import faulthandler
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ingest.run.sources import Source

TIME_LIMIT_S = 4 * 3600.0
"""A worker that is busy with one task for longer has hung: it ends itself, which counts as a death."""


@contextmanager
def time_limit(seconds: float = TIME_LIMIT_S) -> Iterator[None]:
    """End this process when the context lasts longer."""
    faulthandler.dump_traceback_later(seconds, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


@dataclass
class Memory:
    """The most memory that this process held inside a context, in bytes; 0 where the system does not tell."""

    peak: int = 0


@contextmanager
def memory_gauge() -> Iterator[Memory]:
    """Measure the peak of resident memory (Linux: proc(5), VmHWM, which writing 5 to clear_refs sets back)."""
    memory = Memory()
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    try:
        yield memory
    finally:
        with suppress(OSError, ValueError):
            lines = Path("/proc/self/status").read_text().splitlines()
            memory.peak = next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))


def place(error: Exception) -> str:
    """A fault of the program in one line: its type and our innermost line. Its own text may name a file."""
    places = [(frame.f_globals.get("__name__", ""), line) for frame, line in traceback.walk_tb(error.__traceback__)]
    ours = [place for place in places if place[0].split(".")[0] in ("ingest", "pipeline")]
    module, line = (ours or places)[-1]
    return f"fault of the program, {type(error).__name__} at {module}:{line}"


def told(error: BaseException, source: Source) -> str:
    """The traceback of an exception and of what led to it: lines of code, and texts without the source's name."""
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    earlier = f"{told(before, source)}\nwhich led to\n" if before else ""
    frames = "".join(traceback.format_tb(error.__traceback__))
    return f"{earlier}{frames}{type(error).__name__}: {source.scrub(str(error))}"
