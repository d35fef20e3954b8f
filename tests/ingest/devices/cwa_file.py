"""A second, plain writer of .cwa files, from the format page alone, with one struct call per block."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import datetime

START = datetime(2024, 3, 4, 10, 0, 0)


def stamp(time: datetime) -> int:
    return (
        (time.year - 2000) << 26 | time.month << 22 | time.day << 17 | time.hour << 12 | time.minute << 6 | time.second
    )


def header(device: int = 0x00012345, hardware: int = 0x17, annotation: bytes = b"", rate_code: int = 0x4A) -> bytes:
    head = bytearray(b"\xff" * 1024)
    struct.pack_into("<2sHBHIHIII", head, 0, b"MD", 1020, hardware, device & 0xFFFF, 7, device >> 16, 0, 0, 0)
    head[36] = rate_code
    struct.pack_into("<448s", head, 64, annotation.ljust(448, b" "))
    return bytes(head)


def pack(sample: Sequence[int], exponent: int) -> int:
    """Ten bits per axis of `sample >> exponent`."""
    x, y, z = ((value >> exponent) & 0x3FF for value in sample)
    return exponent << 30 | z << 20 | y << 10 | x


def block(
    samples: Sequence[Sequence[int]],
    exponents: Sequence[int] | None = None,
    *,
    sequence: int = 0,
    time: datetime = START,
    fraction: int | None = 0,
    offset: int = 0,
    temperature: int = 256,
    light: int = 100,
    rate_code: int = 0x4A,
    axes: int = 3,
    events: int = 0,
) -> bytes:
    """A block; packed when exponents are given, else int16 (`samples` then have `axes` numbers).

    fraction: 1/32768 s, `offset` being the sample at time + fraction; None for old firmware.
    """
    if exponents is not None:
        payload = struct.pack(f"<{len(samples)}I", *map(pack, samples, exponents))
    else:
        payload = b"".join(struct.pack(f"<{axes}h", *sample) for sample in samples)
    rate = 3200 / (1 << (15 - (rate_code & 15))) if rate_code else 100
    word, shown = (4711, offset) if fraction is None else (0x8000 | fraction, offset - int(fraction * rate / 32768))
    body = struct.pack(
        "<2sHHIIIHHBBBBhH480s",
        b"AX",
        508,
        word,
        7,
        sequence,
        stamp(time),
        light,
        temperature,
        events,
        200,
        rate_code,
        axes << 4 | (0 if exponents is not None else 2),
        shown,
        len(samples),
        payload,
    )
    total = sum(struct.unpack("<255H", body))
    return body + struct.pack("<H", -total & 0xFFFF)
