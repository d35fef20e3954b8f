"""The ActiGraph .gt3x file: a zip archive of info.txt and either log.bin or, of old devices, activity.bin.

Both the reader and the simulator's writer use this file, so that the format is written once. All numbers are
little-endian. Sources: ActiGraph, GT3X File Format (https://github.com/actigraph/GT3X-File-Format) and NHANES GT3X
File Format (https://github.com/actigraph/NHANES-GT3X-File-Format); the two idle sleep events and ACTIVITY3 are not
documented there, but ActiGraph's own reader (https://github.com/actigraph/pygt3x) knows them.

log.bin is a sequence of records: the byte 0x1E, a type, seconds since 1970 by the device's clock (uint32), the length
of the payload (uint16), the payload, and a checksum, the complement of the exclusive or of all bytes before it. A
few zero bytes may separate records. An ACTIVITY record holds the samples of one second, 12 bits per axis in
the order y, x, z (two samples are 9 bytes, the first bits the highest), ACTIVITY3 the same in the order x, y, z, and
ACTIVITY2 int16 in that order. A payload of one byte holds no sample: the device was connected to USB. The events 8
and 9 begin and end idle sleep: the device did not move by 40 mg in 10 seconds and stores nothing until it does.
PARAMETERS are entries of 8 bytes: an address space, a number (uint16) and a value (uint32, some of them floats as in
`decode_float`).

activity.bin holds samples only, packed as in ACTIVITY, without gaps from the start that info.txt states.
"""

from __future__ import annotations

import math

SEPARATOR = 0x1E
HEAD_BYTES = 8
"""Bytes of a record before its payload: separator, type, seconds, length."""

ACTIVITY, BATTERY, EVENT, METADATA, PARAMETERS, ACTIVITY2, ACTIVITY3 = 0, 2, 3, 6, 21, 26, 27
LAST_TYPE = 30
"""Higher types do not exist."""

IDLE_BEGINS, IDLE_ENDS = 8, 9
"""The payload of an event."""

ACCEL_SCALE, FIRMWARE = (0, 55), (0, 13)
FEATURES, SAMPLE_RATE, START_TIME, STOP_TIME = (1, 2), (1, 10), (1, 12), (1, 13)
"""Keys of PARAMETERS: address space and number."""

IDLE_SLEEP = 1 << 2
"""The bit of FEATURES."""

RANGES = {"NEO": (341.0, 6.0), "CLE": (341.0, 6.0), "MRA": (341.0, 6.0), "MOS": (256.0, 8.0), "TAS": (256.0, 8.0)}
"""Counts per g and range in g by the first letters of the serial number, where the file does not state them."""

TWELVE_BITS = 2048
"""12-bit samples are at least minus this, and below it."""

TICKS_PER_US = 10
"""info.txt counts time in 100 ns since the year 1 (.NET)."""
EPOCH_TICKS = 621_355_968_000_000_000
"""1970-01-01 in ticks."""


def to_us(ticks: int) -> int:
    """Convert ticks to microseconds since 1970."""
    return (ticks - EPOCH_TICKS) // TICKS_PER_US


def to_ticks(us: int) -> int:
    """Convert microseconds since 1970 to ticks."""
    return us * TICKS_PER_US + EPOCH_TICKS


def decode_float(word: int) -> float:
    """Return the float in a parameter: a signed fraction of 24 bits (in 2**-23) times 2 to a signed 8-bit exponent."""
    fraction = (word & 0xFFFFFF) - (1 << 24 if word & 0x800000 else 0)
    exponent = (word >> 24) - (1 << 8 if word >> 31 else 0)
    return math.ldexp(fraction, exponent - 23)


def encode_float(value: float) -> int:
    """Return the parameter that holds a float, to 23 bits; raises ValueError where it does not fit."""
    fraction, exponent = math.frexp(value)
    if not -128 <= exponent <= 127:
        raise ValueError(f"expected a float of 2**-128 to 2**127, found {value}")
    return (exponent & 0xFF) << 24 | int(fraction * (1 << 23)) & 0xFFFFFF if value else 0


def checksum(record: bytes) -> int:
    """Return the last byte of a record, from its head and payload."""
    total = 0
    for byte in record:
        total ^= byte
    return ~total & 0xFF
