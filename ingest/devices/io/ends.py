"""The two ends of a file, which most probes need and no more: two range reads, or one pass over compressed data."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

DAY_US = 86_400_000_000
END_BYTES = 1 << 16
ALIGNMENT = 512
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Ends:
    """First and last bytes of a file; `tail` starts at a multiple of 512 bytes and may overlap the head.

    file: the complete file, for formats whose ends do not suffice. It is seekable, but seeking back in compressed data
        is slow, and it is open only while the probe runs.
    """

    head: bytes
    tail: bytes
    size: int
    file: BinaryIO = field(default_factory=io.BytesIO, repr=False, compare=False)

    def read(self, begin: int, end: int) -> bytes:
        """Return the bytes from `begin` to `end` or the end of the file."""
        end = min(end, self.size)
        tail_begin = self.size - len(self.tail)
        if end <= len(self.head):
            return self.head[begin:end]
        if begin >= tail_begin:
            return self.tail[begin - tail_begin : max(0, end - tail_begin)]
        self.file.seek(begin)
        return self.file.read(end - begin)


def is_near_median(us_X: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which stamps at one end of a recording (microseconds) are within a day of their median, not stray.

    The median is a stamp itself: two halves with a pause between have no other stamps near the middle of it.
    """
    if not us_X.size:
        return np.empty(0, dtype=np.bool_)
    near_X: NDArray[np.bool_] = np.abs(us_X - np.percentile(us_X, 50, method="lower")) <= DAY_US
    return near_X


def read_ends(file: BinaryIO, size: int, head: bytes) -> Ends:
    """Return the ends of an uncompressed file of `size` bytes, whose head is known, by one more range read."""
    file.seek(max(0, size - END_BYTES) // ALIGNMENT * ALIGNMENT)
    return Ends(head, file.read(), size, file)


def read_ends_of_stream(file: Any) -> Ends:
    """Return the ends of a stream of unknown size, by reading it once from the beginning."""
    file.seek(0)
    head, tail, size = b"", b"", 0
    while chunk := file.read(_CHUNK):
        head += chunk[: max(0, END_BYTES - len(head))]
        size += len(chunk)
        tail = (tail + chunk)[-END_BYTES - ALIGNMENT :]
    return Ends(head, tail[(len(tail) - size) % ALIGNMENT :], size, file)
