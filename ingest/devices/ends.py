"""The two ends of a file, which is all that most probes need: two range reads, or one pass over a .gz."""

from __future__ import annotations

import gzip
import io
import zlib
from dataclasses import dataclass, field
from typing import BinaryIO

from pipeline.errors import UserError

END_BYTES = 1 << 16
ALIGNMENT = 512
MOST_BYTES = 1 << 30
"""A compressed file may hold so much: more than the memory of any device, and what a worker has."""
_CHUNK = 1 << 20
_MOST_COMPRESSION = 1_100
"""Deflate cannot shrink by more (1,032 to one), so a larger claimed size is not believed."""


@dataclass(frozen=True)
class Ends:
    """First and last bytes of a file; `tail` starts at a multiple of 512 bytes and may overlap the head."""

    head: bytes
    tail: bytes
    size: int
    file: BinaryIO | None = field(default=None, repr=False, compare=False)
    """For what stands between the ends, where that can be reached."""

    def read(self, begin: int, end: int) -> bytes:
        """The bytes from `begin` to `end` or the file's end; raises UserError where they cannot be reached."""
        end = min(end, self.size)
        tail_begin = self.size - len(self.tail)
        if end <= len(self.head):
            return self.head[begin:end]
        if begin >= tail_begin:
            return self.tail[begin - tail_begin : max(0, end - tail_begin)]
        if self.file is None:
            raise UserError("the middle of the file has to be read, which is compressed once more: give it unpacked.")
        self.file.seek(begin)
        return self.file.read(end - begin)


def read_ends(file: BinaryIO, size: int) -> Ends:
    """The ends of a plain file of `size` bytes by two range reads."""
    file.seek(0)
    head = file.read(END_BYTES)
    file.seek(max(0, size - END_BYTES) // ALIGNMENT * ALIGNMENT)
    return Ends(head, file.read(), size, file)


def count_ends(file: BinaryIO) -> Ends:
    """The ends of what a gzip file holds, by decompressing it once in a stream; raises UserError when damaged."""
    file.seek(0)
    head, tail, size = b"", b"", 0
    try:
        with gzip.GzipFile(fileobj=file) as stream:
            while chunk := stream.read(_CHUNK):
                head += chunk[: max(0, END_BYTES - len(head))]
                size = _bounded(size + len(chunk))
                tail = (tail + chunk)[-END_BYTES - ALIGNMENT :]
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _damaged(error) from None
    return Ends(head, tail[(len(tail) - size) % ALIGNMENT :], size)


def decompress(data: bytes | bytearray | memoryview) -> bytearray:
    """What gzip data holds, without holding it twice; raises UserError when damaged."""
    expected = int.from_bytes(data[-4:], "little")
    out = bytearray(_bounded(expected) if expected <= _MOST_COMPRESSION * len(data) else 0)
    filled = 0
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            while filled < len(out) and (n := stream.readinto(memoryview(out)[filled : filled + _CHUNK])):
                filled += n
            del out[filled:]
            while chunk := stream.read(_CHUNK):
                out += chunk
                _bounded(len(out))
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _damaged(error) from None
    return out


def _bounded(size: int) -> int:
    """`size`; raises UserError where it is more than a file may hold."""
    if size > MOST_BYTES:
        raise UserError(
            f"the file unpacks to more than {MOST_BYTES:,} bytes, of which no memory is given: it is damaged or no "
            "recording. If it is one, give it unpacked."
        )
    return size


def _damaged(error: Exception) -> UserError:
    return UserError(f"the gzip compression is damaged or cut off ({error}). Copy the file again.")
