"""What a .gz or .zip file holds, read as a stream: damage is told, and nobody is made to hold a bomb.

A recording is noise, which does not compress: by three, with long stillness by twenty. What says that it holds
more than fifty times its size (and more than half a gigabyte) is not made room for, and a stream that goes on
beyond that is ended.
"""

from __future__ import annotations

import gzip
import io
import lzma
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from ingest.devices.io.inflate import DEFLATE_ERRORS, GzipFile
from pipeline.errors import UserError

GZIP, ZIP = b"\x1f\x8b", b"PK\x03\x04"
GZIP_SUFFIX, ZIP_SUFFIX = ".gz", ".zip"
MOST_TIMES = 50
MOST_BYTES = 1 << 29
"""What may be held whatever the size of the file; beyond it, at most MOST_TIMES that size."""

MOST_HELD = 1 << 30
"""What is unpacked into memory, at most: more than any device records in a month."""

_CHUNK = 1 << 20
_DAMAGE: tuple[type[Exception], ...] = (
    EOFError, gzip.BadGzipFile, *DEFLATE_ERRORS, lzma.LZMAError, zipfile.BadZipFile, struct.error, ValueError,
    OverflowError, LookupError,
)  # fmt: skip
"""What these libraries raise for what is not whole; an OSError is the storage's, but for BadGzipFile."""


def is_wrapped(head: bytes) -> bool:
    """Whether a file that begins so is a .gz or a .zip."""
    return head.startswith((GZIP, ZIP))


class Inside(io.RawIOBase):
    """The bytes inside a wrapping, from their beginning. Reading raises UserError for damage and for bombs.

    name: what the wrapping calls it. expected: bytes that it says it holds, if that can be.
    """

    def __init__(self, stream: Any, kind: str, name: str, most: int, expected: int) -> None:
        self._stream, self._kind, self._most = stream, kind, most
        self.name, self.expected = name, expected if expected <= most else 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes; backwards by beginning again."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place; from the end by reading all of it."""
        if whence == io.SEEK_END:
            while self.read(_CHUNK):
                pass
            offset, whence = offset + self.tell(), io.SEEK_SET
        with _told(self._kind):
            return int(self._stream.seek(offset, whence))

    def tell(self) -> int:
        """Where it is."""
        return int(self._stream.tell())

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer, or less of it."""
        with _told(self._kind):
            count = int(self._stream.readinto(buffer))
        if self.tell() > self._most:
            raise UserError(
                f"its {self._kind} compression holds over {self._most / 1e9:.1f} GB, more than {MOST_TIMES} times its "
                "size, and no recording can be made so small. Leave it out, or unpack it first."
            )
        return count


def unwrap(file: BinaryIO, name: str, is_recording: Callable[[str], bool]) -> Inside:
    """What a wrapped file holds; of the members of a .zip the one that `is_recording` says is one, or the only one.

    Raises UserError when it is damaged, encrypted, or does not hold one recording.
    """
    size = file.seek(0, io.SEEK_END)
    most = max(MOST_BYTES, MOST_TIMES * size)
    file.seek(0)
    if file.read(len(GZIP)) == GZIP:
        file.seek(max(0, size - 4))
        expected = int.from_bytes(file.read(4), "little")
        file.seek(0)
        return Inside(GzipFile(fileobj=file), "gzip", _without_suffix(name), most, expected)
    with _told("zip"):
        archive = zipfile.ZipFile(file)
        member = _member(archive.infolist(), is_recording)
        return Inside(archive.open(member), "zip", member.filename, most, member.file_size)


def read_all(inside: Inside) -> bytearray:
    """All of it, without holding it twice; raises UserError where that is too much to hold."""
    inside.seek(0)
    out = bytearray(_bounded(inside.expected))
    filled = 0
    while filled < len(out) and (count := inside.readinto(memoryview(out)[filled : filled + _CHUNK])):
        filled += count
    del out[filled:]
    while chunk := inside.read(_CHUNK):
        _bounded(len(out) + len(chunk))
        out += chunk
    return out


def _bounded(size: int) -> int:
    if size > MOST_HELD:
        raise UserError(f"it unpacks to over {MOST_HELD / 1e9:.1f} GB, of which no memory is given: unpack it first.")
    return size


def _without_suffix(name: str) -> str:
    return name[: -len(GZIP_SUFFIX)] if name.lower().endswith(GZIP_SUFFIX) else name


def _member(members: list[zipfile.ZipInfo], is_recording: Callable[[str], bool]) -> zipfile.ZipInfo:
    files = [member for member in members if not member.is_dir()]
    recordings = [member for member in files if is_recording(member.filename)]
    chosen = recordings or files
    if len(chosen) != 1:
        found = f"{len(recordings)} recordings" if recordings else f"{len(files)} files, none named as a recording"
        raise UserError(f"a zip file of one recording was expected; it holds {found}. Unpack it first.")
    return chosen[0]


@contextmanager
def _told(kind: str) -> Iterator[None]:
    """Tell faults of compression; never the name of a member, which stands in some of zipfile's texts."""
    try:
        yield
    except (NotImplementedError, RuntimeError):
        raise UserError(f"the {kind} file is encrypted or compressed in an unusual way: unpack it first.") from None
    except _DAMAGE as error:
        detail = f" ({error})" if kind == "gzip" else ""
        raise UserError(f"the {kind} compression is damaged or cut off{detail}. Copy the file again.") from None
