"""What every task needs in a worker process: a time limit, a measure of memory, and errors without names in them."""

from __future__ import annotations

import faulthandler
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ingest.run.sources import Source

TIME_LIMIT_S = 4 * 3600.0
"""A worker that is busy with one task for longer hangs: it ends itself, and the driver counts it as dead."""


@contextmanager
def time_limit(seconds: float = TIME_LIMIT_S) -> Iterator[None]:
    """End this process when the context lasts longer."""
    faulthandler.dump_traceback_later(seconds, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


@dataclass
class MemoryUse:
    """The most memory that this process used inside a context; 0 where the system does not report it."""

    peak_bytes: int = 0


@contextmanager
def measure_memory() -> Iterator[MemoryUse]:
    """Measure the peak of resident memory (Linux: proc(5), VmHWM, which writing 5 to clear_refs resets)."""
    use = MemoryUse()
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    try:
        yield use
    finally:
        with suppress(OSError, ValueError):
            lines = Path("/proc/self/status").read_text().splitlines()
            use.peak_bytes = next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))


def fault_location(error: Exception) -> str:
    """A fault of the program in one line: its type and our innermost line. Its own text may name a file."""
    places = [(frame.f_globals.get("__name__", ""), line) for frame, line in traceback.walk_tb(error.__traceback__)]
    ours = [place for place in places if place[0].split(".")[0] in ("ingest", "pipeline")]
    module, line = (ours or places)[-1]
    return f"fault of the program, {type(error).__name__} at {module}:{line}"


def traceback_without_names(error: BaseException, source: Source) -> str:
    """The traceback of an exception and of its causes, without the source's name in it."""
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    earlier = f"{traceback_without_names(before, source)}\nwhich led to\n" if before else ""
    frames = "".join(traceback.format_tb(error.__traceback__))
    return f"{earlier}{frames}{type(error).__name__}: {source.scrub(str(error))}"
