"""Memory of a recording that is mapped: it counts as the process's own while its pages were looked at."""

from __future__ import annotations

import mmap
from contextlib import suppress
from typing import Any


def let_go(data: Any, begin: int = 0, end: int | None = None) -> None:
    """Give back the memory of these bytes of a mapped file; nothing, of any other buffer.

    They can be read again: the system has them in its cache, or reads the file. Whole pages are given back, the one
    with the byte `begin` among them and the one with `end` not. A map that may be written to is left alone.
    """
    mapped = getattr(data, "base", None)
    if isinstance(mapped, mmap.mmap) and not data.flags.writeable and hasattr(mapped, "madvise"):
        first = begin - begin % mmap.PAGESIZE
        last = len(mapped) if end is None or end >= len(mapped) else end - end % mmap.PAGESIZE
        if last > first:
            with suppress(OSError):  # advice: memory may be locked
                mapped.madvise(mmap.MADV_DONTNEED, first, last - first)
