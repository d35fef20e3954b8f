"""The members of a zip archive that may be cut off or damaged, unpacked in pieces of bounded size.

Python's zipfile reads nothing from an archive without its directory, which is at the end and is the first thing that a
broken copy loses. Here members are found in the directory, else by walking from header to header, and everything before
the damage is unpacked before the damage is reported. Source: PKWARE, APPNOTE.TXT 6.3.10.
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
MAX_COMMENT_BYTES = 1 << 12
"""How far from the end the directory is searched for. A comment may have 65,535 bytes, but no device writes one."""
MAX_MEMBERS = 64
"""No recording has more; bounds the work on damaged data."""
ENCRYPTED, SIZES_FOLLOW = 1, 8
STORED, DEFLATED = 0, 8
ZIP64_SIZE = 0xFFFFFFFF
"""Marks a size that is stored elsewhere (Zip64)."""
PIECE_BYTES = 1 << 20
"""Bytes unpacked at a time, few enough to stay in the processor's cache until they are read."""

Read = Callable[[int, int], bytes]
"""Returns the bytes of a file from one position to another, or to the end of the file."""


@dataclass(frozen=True)
class Member:
    """A file in an archive, stored at begin to end of the archive's bytes; a truncated archive ends before."""

    begin: int
    end: int
    method: int
    crc: int | None
    """Of the complete member; None where unknown."""


class DamagedMember(Exception):
    """The member is damaged or cut off after the bytes that were yielded."""


def members(read: Read, size: int) -> dict[str, Member]:
    """Return the members of an archive of `size` bytes by name; empty where it is not an archive."""
    return _listed(read, size) or walk_members(read, size)


def unpacked(read: Callable[[int, int], Any], member: Member) -> Iterator[Any]:
    """Yield the bytes of a member in pieces of at most PIECE_BYTES; `read` returns bytes of the archive.

    Raises DamagedMember after the last good byte of a damaged member; UserError for a method that cannot be read.
    """
    if member.method not in (STORED, DEFLATED):
        raise UserError(
            f"expected a zip archive with compression method 0 (stored) or 8 (deflated), found {member.method}."
        )
    crc = 0
    for piece in _chunks(read, member) if member.method == STORED else _inflated(partial(_chunks, read, member)):
        if member.crc is not None:
            crc = crc32(piece, crc)
        yield piece
    if member.crc is not None and crc != member.crc:
        raise DamagedMember


def _chunks(read: Callable[[int, int], Any], member: Member) -> Iterator[Any]:
    """Yield the stored bytes of a member; raises DamagedMember where the archive ends before."""
    for at in range(member.begin, member.end, PIECE_BYTES):
        end = min(at + PIECE_BYTES, member.end)
        chunk = read(at, end)
        if len(chunk):
            yield chunk
        if len(chunk) < end - at:
            raise DamagedMember


def _inflated(chunks: Callable[[], Iterator[Any]]) -> Iterator[bytes]:
    """Inflate with the fast library; on damage, again with zlib, whose state can be copied before each piece."""
    engine, given = decompressobj(-zlib.MAX_WBITS), 0
    try:
        for waiting in chunks():
            while len(waiting) and not engine.eof:
                piece = engine.decompress(waiting, PIECE_BYTES)
                waiting = engine.unconsumed_tail
                given += len(piece)
                yield piece
    except DEFLATE_ERRORS:
        yield from _inflated_until_damage(chunks(), given)
        raise DamagedMember from None
    if not engine.eof:
        raise DamagedMember


def _inflated_until_damage(chunks: Iterator[Any], given: int) -> Iterator[bytes]:
    """Yield what follows the first `given` bytes, up to the first byte that cannot be inflated."""
    engine, done = zlib.decompressobj(-zlib.MAX_WBITS), 0
    for waiting in chunks:
        while len(waiting) and not engine.eof:
            before = engine.copy()
            try:
                piece, damaged = engine.decompress(waiting, PIECE_BYTES), False
            except zlib.error:
                piece, damaged = _good_bytes(before, waiting), True
            yield piece[max(0, given - done) :]
            if damaged:
                return
            done += len(piece)
            waiting = engine.unconsumed_tail


def _good_bytes(engine: Any, packed: memoryview) -> bytes:
    """Return what precedes the first byte that cannot be inflated, at most PIECE_BYTES bytes."""
    good = bytearray()
    try:
        for at in range(len(packed)):
            good += engine.decompress(packed[at : at + 1], PIECE_BYTES - len(good))
            if len(good) >= PIECE_BYTES:
                break
    except zlib.error:
        pass
    return bytes(good)


def _listed(read: Read, size: int) -> dict[str, Member]:
    """Find members in the directory at the end of the archive."""
    tail = read(max(0, size - END_BYTES - MAX_COMMENT_BYTES), size)
    at = tail.rfind(END)
    if at < 0 or len(tail) - at < END_BYTES:
        return {}
    length, begin = struct.unpack_from("<II", tail, at + 12)
    directory = read(begin, min(begin + length, begin + MAX_MEMBERS * (CENTRAL_BYTES + 1024), size))
    found: dict[str, Member] = {}
    at = 0
    while directory[at : at + 4] == CENTRAL and len(directory) - at >= CENTRAL_BYTES and len(found) < MAX_MEMBERS:
        flags, method, _, _, crc, packed, _, *lengths = struct.unpack_from("<HHHHIIIHHH", directory, at + 8)
        (header,) = struct.unpack_from("<I", directory, at + 42)
        name = _name(directory[at + CENTRAL_BYTES : at + CENTRAL_BYTES + lengths[0]])
        local = read(header, header + LOCAL_BYTES)
        if local[:4] != LOCAL or len(local) < LOCAL_BYTES:
            return {}
        data = header + LOCAL_BYTES + sum(struct.unpack_from("<HH", local, 26))
        found[name] = _member(data, size if packed == ZIP64_SIZE else data + packed, method, flags, crc)
        at += CENTRAL_BYTES + sum(lengths)
    return found


def walk_members(read: Read, size: int) -> dict[str, Member]:
    """Find members by their own headers, from the beginning until one states no size or is cut off."""
    found: dict[str, Member] = {}
    at = 0
    while at < size and len(found) < MAX_MEMBERS:
        local = read(at, at + LOCAL_BYTES)
        if local[:4] != LOCAL or len(local) < LOCAL_BYTES:
            break
        flags, method, _, _, crc, packed, _, *lengths = struct.unpack_from("<HHHHIIIHH", local, 6)
        name = _name(read(at + LOCAL_BYTES, at + LOCAL_BYTES + lengths[0]))
        data = at + LOCAL_BYTES + sum(lengths)
        has_size = not flags & SIZES_FOLLOW and packed != ZIP64_SIZE
        at = data + packed if has_size else size
        found[name] = _member(data, at, method, flags, crc if has_size else None)
    return found


def _name(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _member(begin: int, end: int, method: int, flags: int, crc: int | None) -> Member:
    if flags & ENCRYPTED:
        raise UserError("the zip archive is encrypted. Unpack it with its password, and ingest the content.")
    return Member(begin, end, method, crc)
