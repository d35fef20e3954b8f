"""The Axivity .cwa file as NumPy dtypes: one header of 1,024 bytes, then data blocks of 512 bytes.

Both the reader and the simulator's writer use this file, so that the format is written once.
All numbers are little-endian and tightly packed. Source: Open Movement, AX3 technical documentation
(https://github.com/openmovementproject/openmovement/blob/master/Docs/ax3/ax3-technical.md), and for the
light and temperature words its `cwa.h` (https://github.com/openmovementproject/openmovement, Docs/ax3).

The samples of a block are in `payload`. `format` 0x30 is three axes packed into 32 bits (bits 0 to 9 are x,
10 to 19 y, 20 to 29 z, each signed; bits 30 and 31 are an exponent e shared by the three: value << e, in
1/256 g), at most 120 of them. `format` 0x32 is three int16, at most 80 of them, in 1/2**(8 + n) g where
n is `light >> 13` (0 on an AX3). The upper digit of `format` is the number of axes (6 or 9 on an AX6).

Time of a block: sample number `timestamp_offset` (counted from the block's first, possibly outside of it)
was taken at `timestamp`. When the top bit of `device_fractional` is set, its other 15 bits are the
fraction f of a second of the stamp, in 1/32768 s, and `timestamp_offset` was already lowered by
floor(f * nominal rate) for readers that ignore the fraction: the sample number
`timestamp_offset + floor(f * nominal rate)` was taken at `timestamp + f`. When the bit is clear the word
is the device's id (old firmware; full seconds only).

The oldest firmware has the rate code 0. The vendor's converter then takes `timestamp_offset` as the rate in Hz, which
is nearly always 100, and `timestamp` as the full second in which the block's first sample was taken.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

HEADER_MAGIC = b"MD"
HEADER_LENGTH = 1020
"""`length` of the header: its bytes after the first four."""
BLOCK_MAGIC = b"AX"
BLOCK_LENGTH = 508
"""`length` of a data block: its bytes after the first four."""

AX3_HARDWARE = (0x00, 0x17, 0xFF)
AX6_HARDWARE = (0x64,)

PACKED = 0
"""Low digit of `format`: 3 x 10 bits and a shared exponent."""
UNPACKED = 2
"""Low digit of `format`: int16 per axis."""

COUNTS_PER_G = 256
"""Of packed samples, and of unpacked ones when the top three bits of `light` are zero."""

RESUMED = 0x01
"""Bit of `events`: logging was resumed."""
FRACTION_FLAG = 0x8000
"""Top bit of `device_fractional`."""

HEADER = np.dtype(
    [
        ("magic", "S2"),
        ("length", "<u2"),
        ("hardware", "u1"),
        ("device_id", "<u2"),  # low 16 bits
        ("session_id", "<u4"),
        ("device_id_upper", "<u2"),  # 0xFFFF when unused
        ("logging_start", "<u4"),
        ("logging_end", "<u4"),
        ("logging_capacity", "<u4"),
        ("reserved_1", "V7"),
        ("flash_led", "u1"),
        ("reserved_2", "V2"),
        ("sensor_config", "u1"),  # gyroscope of an AX6; 0x00 or 0xFF when there is none
        ("rate_code", "u1"),
        ("last_change", "<u4"),
        ("firmware", "u1"),
        ("time_zone", "<i2"),  # unused, -1
        ("reserved_3", "V20"),
        ("annotation", "V448"),  # url-encoded name=value pairs joined by &, padded with 0x20, 0x00 or 0xFF
        ("reserved_4", "V512"),
    ]
)

BLOCK = np.dtype(
    [
        ("magic", "S2"),
        ("length", "<u2"),
        ("device_fractional", "<u2"),
        ("session_id", "<u4"),
        ("sequence_id", "<u4"),  # from 0, one more each block
        ("timestamp", "<u4"),
        ("light", "<u2"),  # low ten bits: the sensor, raw; top three: scale of unpacked samples
        ("temperature", "<u2"),  # low ten bits, raw; 0 is none
        ("events", "u1"),
        ("battery", "u1"),
        ("rate_code", "u1"),
        ("format", "u1"),
        ("timestamp_offset", "<i2"),
        ("sample_count", "<u2"),
        ("payload", "V480"),
        ("checksum", "<u2"),  # makes the sum of the block's 256 16-bit words zero modulo 65536
    ]
)

BLOCK_HEAD = np.dtype(BLOCK.descr[: BLOCK.names.index("payload")] if BLOCK.names else [])
"""The fields before a block's samples."""

PAYLOAD_OFFSET = BLOCK_HEAD.itemsize
"""Bytes of a block before its samples."""

assert (HEADER.itemsize, BLOCK.itemsize, PAYLOAD_OFFSET) == (1024, 512, 30)


def pack_timestamp(seconds: NDArray[np.datetime64]) -> NDArray[np.uint32]:
    """Pack times from 2000 to 2063 (full seconds): 6 bits for the year, then 4, 5, 5, 6 and 6 down to the second."""
    day = seconds.astype("datetime64[D]")
    month = seconds.astype("datetime64[M]")
    of_day = (seconds.astype("datetime64[s]") - day).astype(np.int64)
    months = month.astype(np.int64)
    fields = (
        (months // 12 - 30, 26),
        (months % 12 + 1, 22),
        ((day - month).astype(np.int64) + 1, 17),
        (of_day // 3600, 12),
        (of_day // 60 % 60, 6),
        (of_day % 60, 0),
    )
    packed = np.zeros(seconds.shape, dtype=np.uint32)
    for value, shift in fields:
        packed |= value.astype(np.uint32) << np.uint32(shift)
    return packed


def unpack_timestamp(packed: NDArray[np.uint32]) -> NDArray[np.datetime64]:
    """Unpack stamps as datetime64[s] of the device's clock; NaT where the fields are not a valid time."""
    bits = packed.astype(np.int64)
    first = np.flatnonzero(np.diff(bits >> 17, prepend=-1))  # blocks of one day are consecutive
    date = bits[first] >> 17
    year, month, day = date >> 9, date >> 5 & 0xF, date & 0x1F
    months = ((year + 30) * 12 + month - 1).astype("datetime64[M]")
    days = months.astype("datetime64[D]") + (day - 1)
    real = (month >= 1) & (month <= 12) & (day >= 1) & (days.astype("datetime64[M]") == months)
    midnight = np.where(real, days, np.datetime64("NaT")).astype("datetime64[s]")
    hour, minute, second = bits >> 12 & 0x1F, bits >> 6 & 0x3F, bits & 0x3F
    time = np.repeat(midnight, np.diff(first, append=bits.size)) + (hour * 3600 + minute * 60 + second)
    time[(hour >= 24) | (minute >= 60) | (second >= 60)] = np.datetime64("NaT")
    return time


OLDEST_RATE_HZ, OLDEST_RATES_HZ = 100.0, (25, 50, 100, 200, 400, 800, 1600)
"""Of the rate code 0: the usual rate, and those that a block may state."""


def rate_hz(rate_code: int) -> float:
    """Return the nominal sampling rate of a rate code."""
    if rate_code == 0:
        return OLDEST_RATE_HZ
    return 3200 / (1 << (15 - (rate_code & 0x0F)))


def range_g(rate_code: int) -> int:
    """Return the range of a rate code: the device measures plus and minus this many g."""
    return 16 >> (rate_code >> 6)


def rate_code(rate_hz: float, range_g: int) -> int:
    """Return the rate code of a nominal rate (6.25, 12.5, ..., 3200 Hz) and a range (2, 4, 8 or 16 g)."""
    return (5 - range_g.bit_length()) << 6 | 15 - round(math.log2(3200 / rate_hz))


def celsius(temperature: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Convert raw temperature words to degrees Celsius (10 mV per degree, 500 mV at 0, 3 V over ten bits), or NaN."""
    raw = (temperature & 0x3FF).astype(np.float32)
    return np.where(raw > 0, raw * np.float32(75 / 256) - np.float32(50), np.float32("nan"))
