"""The content of a .gz or .zip file as a stream, with checks against damage and decompression bombs.

A recording is mostly noise, which compresses by a factor of three, or twenty with long periods of rest. A file that
unpacks to more than fifty times its size (and to more than half a gigabyte) is refused: no memory is allocated for the
size that it claims, and a stream that exceeds the limit is stopped.
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
MAX_RATIO = 50
MAX_BYTES = 1 << 29
"""Unpacked size that any file may have; beyond it, at most MAX_RATIO times the size of the file."""

MAX_UNPACKED_BYTES = 1 << 30
"""Bytes that are unpacked into memory: more than any device records in a month."""

_CHUNK = 1 << 20
_DAMAGE: tuple[type[Exception], ...] = (
    *DEFLATE_ERRORS,
    EOFError,
    gzip.BadGzipFile,
    lzma.LZMAError,
    zipfile.BadZipFile,
    struct.error,
    ValueError,
    OverflowError,
    LookupError,
)
"""What these libraries raise for incomplete or damaged data. Any other OSError than BadGzipFile is the storage's."""


def is_wrapped(head: bytes) -> bool:
    """Return whether a file with this head is a .gz or a .zip."""
    return head.startswith((GZIP, ZIP))


class UnwrappedFile(io.RawIOBase):
    """The content of a wrapped file as a stream. Reading raises UserError for damage and for decompression bombs.

    name: the name of the content, as the wrapping states it. expected: its size, as the wrapping states it; 0 where
    that is impossible.
    """

    def __init__(self, stream: Any, kind: str, name: str, max_bytes: int, expected: int) -> None:
        self._stream, self._kind, self._max_bytes = stream, kind, max_bytes
        self.name, self.expected = name, expected if expected <= max_bytes else 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True; seeking backwards decompresses again from the beginning."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position; relative to the end by reading everything."""
        if whence == io.SEEK_END:
            while self.read(_CHUNK):
                pass
            offset, whence = offset + self.tell(), io.SEEK_SET
        with _explained(self._kind):
            return int(self._stream.seek(offset, whence))

    def tell(self) -> int:
        """Return the current position."""
        return int(self._stream.tell())

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer; returns the number of bytes."""
        with _explained(self._kind):
            count = int(self._stream.readinto(buffer))
        if self.tell() > self._max_bytes:
            raise UserError(
                f"the {self._kind} file unpacks to over {self._max_bytes / 1e9:.1f} GB, more than {MAX_RATIO} times "
                "its size; no recording compresses that well. Leave it out, or unpack it first."
            )
        return count


def unwrap(file: BinaryIO, name: str, is_recording: Callable[[str], bool]) -> UnwrappedFile:
    """Return the content of a wrapped file; in a .zip the one recording (by `is_recording`), or the only member.

    Raises UserError when the file is damaged, encrypted, or does not hold exactly one recording.
    """
    size = file.seek(0, io.SEEK_END)
    max_bytes = max(MAX_BYTES, MAX_RATIO * size)
    file.seek(0)
    if file.read(len(GZIP)) == GZIP:
        file.seek(max(0, size - 4))
        expected = int.from_bytes(file.read(4), "little")
        file.seek(0)
        return UnwrappedFile(GzipFile(fileobj=file), "gzip", _without_suffix(name), max_bytes, expected)
    with _explained("zip"):
        archive = zipfile.ZipFile(file)
        member = _member(archive.infolist(), is_recording)
        return UnwrappedFile(archive.open(member), "zip", member.filename, max_bytes, member.file_size)


def read_all(content: UnwrappedFile) -> bytearray:
    """Return all bytes without holding them twice; raises UserError when they exceed MAX_UNPACKED_BYTES."""
    content.seek(0)
    out = bytearray(_bounded(content.expected))
    filled = 0
    while filled < len(out) and (count := content.readinto(memoryview(out)[filled : filled + _CHUNK])):
        filled += count
    del out[filled:]
    while chunk := content.read(_CHUNK):
        _bounded(len(out) + len(chunk))
        out += chunk
    return out


def _bounded(size: int) -> int:
    if size > MAX_UNPACKED_BYTES:
        raise UserError(
            f"expected a file that unpacks to at most {MAX_UNPACKED_BYTES / 1e9:.1f} GB, held in memory; found "
            "more. Unpack it first."
        )
    return size


def _without_suffix(name: str) -> str:
    return name[: -len(GZIP_SUFFIX)] if name.lower().endswith(GZIP_SUFFIX) else name


def _member(members: list[zipfile.ZipInfo], is_recording: Callable[[str], bool]) -> zipfile.ZipInfo:
    files = [member for member in members if not member.is_dir()]
    recordings = [member for member in files if is_recording(member.filename)]
    chosen = recordings or files
    if len(chosen) != 1:
        found = f"{len(recordings)} recordings" if recordings else f"{len(files)} files, none named as a recording"
        raise UserError(f"expected a zip file with one recording; it holds {found}. Unpack it first.")
    return chosen[0]


@contextmanager
def _explained(kind: str) -> Iterator[None]:
    """Turn errors of compression into UserError, without zipfile's text: that may contain the name of a member."""
    try:
        yield
    except (NotImplementedError, RuntimeError):
        raise UserError(
            f"the {kind} file is encrypted or uses an unusual compression method: unpack it first."
        ) from None
    except _DAMAGE as error:
        detail = f" ({error})" if kind == "gzip" else ""
        raise UserError(f"the {kind} file is damaged or cut off{detail}. Copy it again.") from None
