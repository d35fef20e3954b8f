"""The two ends of a file, which is all that most probes need: two range reads, or one pass over what is compressed."""

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

    file: the whole of it, for formats whose ends tell too little; seekable, and slow to go to and fro in where it
        is compressed. It is open while a probe runs and no longer.
    """

    head: bytes
    tail: bytes
    size: int
    file: BinaryIO = field(default_factory=io.BytesIO, repr=False, compare=False)

    def read(self, begin: int, end: int) -> bytes:
        """The bytes from `begin` to `end` or the file's end."""
        end = min(end, self.size)
        tail_begin = self.size - len(self.tail)
        if end <= len(self.head):
            return self.head[begin:end]
        if begin >= tail_begin:
            return self.tail[begin - tail_begin : max(0, end - tail_begin)]
        self.file.seek(begin)
        return self.file.read(end - begin)


def together(us_X: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which stamps at one end of a recording (microseconds) are within a day of their median: some may be stray."""
    return np.abs(us_X - np.median(us_X)) <= DAY_US if us_X.size else np.empty(0, dtype=np.bool_)


def read_ends(file: BinaryIO, size: int, head: bytes) -> Ends:
    """The ends of a plain file of `size` bytes, whose head was read to tell its kind, by one more range read."""
    file.seek(max(0, size - END_BYTES) // ALIGNMENT * ALIGNMENT)
    return Ends(head, file.read(), size, file)


def count_ends(file: Any) -> Ends:
    """The ends of a stream whose size is not known, by reading it once from its beginning."""
    file.seek(0)
    head, tail, size = b"", b"", 0
    while chunk := file.read(_CHUNK):
        head += chunk[: max(0, END_BYTES - len(head))]
        size += len(chunk)
        tail = (tail + chunk)[-END_BYTES - ALIGNMENT :]
    return Ends(head, tail[(len(tail) - size) % ALIGNMENT :], size, file)
