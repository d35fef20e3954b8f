"""Text that pyarrow does not read by itself, rewritten while it is read: UTF-16, and columns with spaces between."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Callable
from typing import Any

from ingest.devices.io.ends import Ends

CHUNK = 1 << 20
BYTE_ORDER_MARKS = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
Rewrite = Callable[[bytes], bytes]
"""Returns the text of the next bytes; it may keep some of them until it is called again, with none at the end."""

_SPACES = re.compile(rb" +")
_ENDS_OF_LINES = re.compile(rb" *([\r\n]+) *")


class Rewritten(io.RawIOBase):
    """A file that can be read from its beginning, rewritten by what `begin` returns."""

    def __init__(self, file: Any, begin: Callable[[], Rewrite]) -> None:
        self._file, self._begin = file, begin
        self.seek(0)

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True, although only the beginning can be sought."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Begin again; raises UnsupportedOperation for another place."""
        if (offset, whence) != (0, io.SEEK_SET):
            raise io.UnsupportedOperation("only the beginning can be sought")
        self._file.seek(0)
        self._rewrite, self._left, self._is_over = self._begin(), b"", False
        return 0

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer, or a part of it; returns how many bytes."""
        while not self._left and not self._is_over:
            chunk = self._file.read(CHUNK)
            self._is_over = not chunk
            self._left = self._rewrite(chunk)
        size = min(len(buffer), len(self._left))
        buffer[:size], self._left = self._left[:size], self._left[size:]
        return size


def is_utf16(head: bytes) -> bool:
    """Return whether a file with this head is text in UTF-16, as Excel writes "Unicode text"."""
    return head[:2] in BYTE_ORDER_MARKS


def head_in_utf8(head: bytes) -> bytes:
    """Return the head of a file in UTF-8, if it is text in UTF-16."""
    return _from_utf16(head)(head) if is_utf16(head) else head


def file_in_utf8(file: Any, head: bytes) -> Any:
    """Return a file with this head in UTF-8, if it is text in UTF-16."""
    return _buffered(Rewritten(file, lambda: _from_utf16(head))) if is_utf16(head) else file


def ends_in_utf8(ends: Ends) -> Ends:
    """Return the ends of a file in UTF-8, if it is text in UTF-16; `size` is then an upper bound."""
    if not is_utf16(ends.head):
        return ends
    head = head_in_utf8(ends.head)
    tail = _from_utf16(ends.head)(ends.tail[(ends.size - len(ends.tail)) % 2 :])
    size = len(head) if ends.size <= len(ends.head) else ends.size
    return Ends(head, tail, size, file_in_utf8(ends.file, ends.head))


def single_spaces(file: Any) -> Any:
    """Return a file in which one space is between columns, and none at the ends of lines."""
    return _buffered(Rewritten(file, _Spaces))


def with_single_spaces(line: str) -> str:
    """Return a line as `single_spaces` does."""
    return re.sub(" +", " ", line).strip(" ")


def _buffered(file: Rewritten) -> Any:
    return io.BufferedReader(file, CHUNK)


def _from_utf16(head: bytes) -> Rewrite:
    decoder = codecs.getincrementaldecoder(BYTE_ORDER_MARKS[head[:2]])("replace")
    return lambda chunk: decoder.decode(chunk).encode()


class _Spaces:
    """Rewrites spaces, in complete lines."""

    def __init__(self) -> None:
        self._rest = b""

    def __call__(self, chunk: bytes) -> bytes:
        text = self._rest + chunk
        stop = max(text.rfind(b"\n"), text.rfind(b"\r")) + 1
        if not chunk or (not stop and len(text) > CHUNK):
            stop = len(text)
        self._rest = text[stop:]
        lines = _ENDS_OF_LINES.sub(rb"\1", text[:stop].strip(b" "))
        return _SPACES.sub(b" ", lines)
