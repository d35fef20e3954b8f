"""The members of a zip archive that may be cut off, damaged or a bomb: found by two ways, unpacked in bounded pieces.

Python's zipfile gives nothing of an archive whose directory is gone, and the directory stands at the end, which
is what a broken copy loses. Here members are found in the directory, else by walking from header to header, and
what can be unpacked of one is given before its damage is told. Source: PKWARE, APPNOTE.TXT 6.3.10.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from ingest.devices.io.inflate import DEFLATE_ERRORS, crc32, decompressobj
from pipeline.errors import UserError

LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
LOCAL_BYTES, CENTRAL_BYTES, END_BYTES = 30, 46, 22
LONGEST_COMMENT = 1 << 12
"""Bytes after the directory's end, of the 65,535 that an archive may have; no device writes any."""
MOST_MEMBERS = 64
"""No recording has more; bounds the work on nonsense."""
ENCRYPTED, SIZES_FOLLOW = 1, 8
STORED, DEFLATED = 0, 8
UNTOLD = 0xFFFFFFFF
"""A size that stands elsewhere (Zip64)."""
PIECE = 1 << 20
"""Bytes unpacked at a time: they stay in the processor's cache until they are read."""

Read = Callable[[int, int], bytes]
"""The bytes of a file from a position to another one (or to its end)."""


@dataclass(frozen=True)
class Member:
    """A file in an archive: its data stand at begin to end of the archive's bytes, which may end before."""

    begin: int
    end: int
    method: int
    crc: int | None
    """Of the whole member; None where it is not known."""


class Cut(Exception):
    """The member is damaged or cut off after what was given."""


def members(read: Read, size: int) -> dict[str, Member]:
    """Members of the archive of `size` bytes by their names; empty where it is none."""
    return _listed(read, size) or walked(read, size)


def unpacked(read: Callable[[int, int], Any], member: Member) -> Iterator[Any]:
    """The member's bytes, in pieces of at most PIECE; `read` gives those of the archive, and is asked for no more.

    Raises Cut after the last good byte of a damaged member; UserError for a method that cannot be read.
    """
    if member.method not in (STORED, DEFLATED):
        raise UserError(f"the zip archive is packed by method {member.method}; expected 0 (stored) or 8 (deflated).")
    crc = 0
    for piece in _chunks(read, member) if member.method == STORED else _inflated(partial(_chunks, read, member)):
        if member.crc is not None:
            crc = crc32(piece, crc)
        yield piece
    if member.crc is not None and crc != member.crc:
        raise Cut


def _chunks(read: Callable[[int, int], Any], member: Member) -> Iterator[Any]:
    """The bytes of a member as the archive has them; raises Cut where it ends before."""
    for at in range(member.begin, member.end, PIECE):
        end = min(at + PIECE, member.end)
        chunk = read(at, end)
        if len(chunk):
            yield chunk
        if len(chunk) < end - at:
            raise Cut


def _inflated(chunks: Callable[[], Iterator[Any]]) -> Iterator[bytes]:
    """By the fast library; where that finds damage, by zlib once more, whose state can be kept before each piece."""
    engine, given = decompressobj(-zlib.MAX_WBITS), 0
    try:
        for waiting in chunks():
            while len(waiting) and not engine.eof:
                piece = engine.decompress(waiting, PIECE)
                waiting = engine.unconsumed_tail
                given += len(piece)
                yield piece
    except DEFLATE_ERRORS:
        yield from _carefully(chunks(), given)
        raise Cut from None
    if not engine.eof:
        raise Cut


def _carefully(chunks: Iterator[Any], given: int) -> Iterator[bytes]:
    """What comes after the first `given` bytes and before the first byte that cannot be inflated."""
    engine, done = zlib.decompressobj(-zlib.MAX_WBITS), 0
    for waiting in chunks:
        while len(waiting) and not engine.eof:
            before = engine.copy()
            try:
                piece, damaged = engine.decompress(waiting, PIECE), False
            except zlib.error:
                piece, damaged = _until_damage(before, waiting), True
            yield piece[max(0, given - done) :]
            if damaged:
                return
            done += len(piece)
            waiting = engine.unconsumed_tail


def _until_damage(engine: Any, packed: memoryview) -> bytes:
    """What comes before the first byte that cannot be inflated, at most PIECE bytes."""
    good = bytearray()
    try:
        for at in range(len(packed)):
            good += engine.decompress(packed[at : at + 1], PIECE - len(good))
            if len(good) >= PIECE:
                break
    except zlib.error:
        pass
    return bytes(good)


def _listed(read: Read, size: int) -> dict[str, Member]:
    """Members by the directory at the archive's end."""
    tail = read(max(0, size - END_BYTES - LONGEST_COMMENT), size)
    at = tail.rfind(END)
    if at < 0 or len(tail) - at < END_BYTES:
        return {}
    length, begin = struct.unpack_from("<II", tail, at + 12)
    directory = read(begin, min(begin + length, begin + MOST_MEMBERS * (CENTRAL_BYTES + 1024), size))
    found: dict[str, Member] = {}
    at = 0
    while directory[at : at + 4] == CENTRAL and len(directory) - at >= CENTRAL_BYTES and len(found) < MOST_MEMBERS:
        flags, method, _, _, crc, packed, _, *lengths = struct.unpack_from("<HHHHIIIHHH", directory, at + 8)
        (header,) = struct.unpack_from("<I", directory, at + 42)
        name = _name(directory[at + CENTRAL_BYTES : at + CENTRAL_BYTES + lengths[0]])
        local = read(header, header + LOCAL_BYTES)
        if local[:4] != LOCAL or len(local) < LOCAL_BYTES:
            return {}
        data = header + LOCAL_BYTES + sum(struct.unpack_from("<HH", local, 26))
        found[name] = _member(data, size if packed == UNTOLD else data + packed, method, flags, crc)
        at += CENTRAL_BYTES + sum(lengths)
    return found


def walked(read: Read, size: int) -> dict[str, Member]:
    """Members by their own headers, from the archive's beginning until one has no size or is cut off."""
    found: dict[str, Member] = {}
    at = 0
    while at < size and len(found) < MOST_MEMBERS:
        local = read(at, at + LOCAL_BYTES)
        if local[:4] != LOCAL or len(local) < LOCAL_BYTES:
            break
        flags, method, _, _, crc, packed, _, *lengths = struct.unpack_from("<HHHHIIIHH", local, 6)
        name = _name(read(at + LOCAL_BYTES, at + LOCAL_BYTES + lengths[0]))
        data = at + LOCAL_BYTES + sum(lengths)
        is_told = not flags & SIZES_FOLLOW and packed != UNTOLD
        at = data + packed if is_told else size
        found[name] = _member(data, at, method, flags, crc if is_told else None)
    return found


def _name(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _member(begin: int, end: int, method: int, flags: int, crc: int | None) -> Member:
    if flags & ENCRYPTED:
        raise UserError("the zip archive is encrypted: unpack it with its password, and give what is in it.")
    return Member(begin, end, method, crc)
