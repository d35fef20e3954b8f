"""The two ends of a file, which is all that a probe needs: two range reads, or one pass over a .gz."""

from __future__ import annotations

import gzip
import io
import zlib
from dataclasses import dataclass
from typing import BinaryIO

from pipeline.errors import UserError

END_BYTES = 1 << 16
ALIGNMENT = 512
_CHUNK = 1 << 20
_MOST_COMPRESSION = 1_100
"""Deflate cannot shrink by more (1,032 to one), so a larger claimed size is not believed."""


@dataclass(frozen=True)
class Ends:
    """First and last bytes of a file; `tail` starts at a multiple of 512 bytes and may overlap the head."""

    head: bytes
    tail: bytes
    size: int


def read_ends(file: BinaryIO, size: int) -> Ends:
    """The ends of a plain file of `size` bytes by two range reads."""
    file.seek(0)
    head = file.read(END_BYTES)
    file.seek(max(0, size - END_BYTES) // ALIGNMENT * ALIGNMENT)
    return Ends(head, file.read(), size)


def count_ends(file: BinaryIO) -> Ends:
    """The ends of what a gzip file holds, by decompressing it once in a stream; raises UserError when damaged."""
    file.seek(0)
    head, tail, size = b"", b"", 0
    try:
        with gzip.GzipFile(fileobj=file) as stream:
            while chunk := stream.read(_CHUNK):
                head += chunk[: max(0, END_BYTES - len(head))]
                size += len(chunk)
                tail = (tail + chunk)[-END_BYTES - ALIGNMENT :]
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _damaged(error) from None
    return Ends(head, tail[(len(tail) - size) % ALIGNMENT :], size)


def decompress(data: bytes | bytearray | memoryview) -> bytearray:
    """What gzip data holds, without holding it twice; raises UserError when damaged."""
    expected = int.from_bytes(data[-4:], "little")
    out = bytearray(expected if expected <= _MOST_COMPRESSION * len(data) else 0)
    filled = 0
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            while filled < len(out) and (n := stream.readinto(memoryview(out)[filled : filled + _CHUNK])):
                filled += n
            del out[filled:]
            while chunk := stream.read(_CHUNK):
                out += chunk
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _damaged(error) from None
    return out


def _damaged(error: Exception) -> UserError:
    return UserError(f"the gzip compression is damaged or cut off ({error}). Copy the file again.")
