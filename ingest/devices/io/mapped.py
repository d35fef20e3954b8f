"""Release memory of a memory-mapped recording: pages that were read count as memory of the process until then."""

from __future__ import annotations

import mmap
from contextlib import suppress
from typing import Any


def release_pages(data: Any, begin: int = 0, end: int | None = None) -> None:
    """Release the memory of these bytes of a mapped file; does nothing for any other buffer.

    The bytes can be read again, from the page cache or the file. Only full pages are released, from the one that holds
    `begin` up to but without the one that holds `end`. A writable map is left alone.
    """
    mapped = getattr(data, "base", None)
    if isinstance(mapped, mmap.mmap) and not data.flags.writeable and hasattr(mapped, "madvise"):
        first = begin - begin % mmap.PAGESIZE
        last = len(mapped) if end is None or end >= len(mapped) else end - end % mmap.PAGESIZE
        if last > first:
            with suppress(OSError):  # advice: memory may be locked
                mapped.madvise(mmap.MADV_DONTNEED, first, last - first)
