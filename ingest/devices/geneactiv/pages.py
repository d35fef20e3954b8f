"""The pages of a GENEActiv .bin file, read in compiled code from its bytes.

A page is some lines of "name:value" and one of 3,600 hexadecimal digits: 300 samples of 12 digits, three axes of 12
signed bits, 10 bits of light, one of the button, one unused. Pages have no checksum. A page with invalid digits,
number, rate or length is left out and counted. Source: Activinsights, GENEActiv instructions for use, "Understanding
.bin files".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.devices.geneactiv.find_byte import LANES as AT_A_TIME
from ingest.devices.geneactiv.find_byte import find_byte
from ingest.devices.geneactiv.unhex import LANES, unhex
from ingest.devices.io.mapped import release_pages
from pipeline.numerics.jit import njit

SAMPLES = 300
DIGITS = 12 * SAMPLES
MAX_LINE_BYTES = 128
"""Longest line before the digits."""
MAX_LINES = 16
CHUNK_BYTES = 1 << 26
"""Bytes of the file that are read at a time; then their memory is released."""
RATE_TOLERANCE_HZ = 0.06
"""Header and pages round the rate to a tenth of a hertz."""
UNKNOWN = -1

_PAGE, _NUMBER, _TIME, _CELSIUS, _RATE = (
    np.frombuffer(key, dtype=np.uint8)
    for key in (b"Recorded Data", b"Sequence Number:", b"Page Time:", b"Temperature:", b"Measurement Frequency:")
)


@dataclass(frozen=True)
class Pages:
    """The K good pages of a file in order, 300 samples each.

    us_K: microseconds since 1970 of the first sample, -1 where the page has no time. celsius_K: NaN where missing.
    light_sum, light_max: over the raw readings of all samples. presses: how often the button was pressed.
    """

    counts_CN: NDArray[np.int16]
    number_K: NDArray[np.int64]
    us_K: NDArray[np.int64]
    celsius_K: NDArray[np.float32]
    damaged: int
    light_sum: int
    light_max: int
    presses: int


def read_pages(data: Any, begin: int, rate_hz: float) -> Pages:
    """Read the pages in a buffer from the byte `begin` on, of a device at `rate_hz`."""
    bytes_B = np.frombuffer(data, dtype=np.uint8)
    bytes_B.flags.writeable = False  # all buffers have one type, so that the code is compiled once
    max_pages = max(0, len(bytes_B) - begin) // DIGITS
    counts_CN = np.empty((3, max_pages * SAMPLES), dtype=np.int16)
    number_K, us_K = np.empty(max_pages, dtype=np.int64), np.empty(max_pages, dtype=np.int64)
    celsius_K = np.empty(max_pages, dtype=np.float32)
    at, pages, damaged, light_sum, light_max, presses, pressed = _next_page(bytes_B, begin), 0, 0, 0, 0, 0, 0
    while at < bytes_B.size:
        before = at
        at, pages, bad, total, most, downs, pressed = _read(
            bytes_B, at, at + CHUNK_BYTES, rate_hz, pressed, pages, counts_CN, number_K, us_K, celsius_K
        )
        damaged, presses = damaged + bad, presses + downs
        light_sum, light_max = light_sum + total, max(light_max, most)
        release_pages(data, before, at)
    return Pages(
        counts_CN[:, : pages * SAMPLES],
        number_K[:pages],
        us_K[:pages],
        celsius_K[:pages],
        damaged,
        light_sum,
        light_max,
        presses,
    )


@njit(cache=True, nogil=True)
def _read(data, at, until, rate_hz, pressed, pages, counts_CN, number_K, us_K, celsius_K):  # type: ignore
    """Read the pages that begin between `at` and `until`, and store them after the first `pages`.

    `pressed` is the state of the button. Returns where the next page begins, the number of all pages, of damaged ones,
    sum and maximum of the light, presses of the button and its state.
    """
    packed = np.empty(DIGITS // 2, dtype=np.uint8)
    word = packed.view(np.uint16)
    damaged, light_sum, light_max, presses = 0, 0, 0, 0
    while at < min(until, data.size):
        number, us, celsius, rate = UNKNOWN, UNKNOWN, np.nan, np.nan
        first, line = at, _line_end(data, at)
        for _ in range(MAX_LINES):
            if line == UNKNOWN:
                break
            first = line + 1
            line = _line_end(data, first)
            if line == UNKNOWN:
                break
            if _starts(data, first, _NUMBER):
                value = _decimal(data, first + _NUMBER.size, line)
                number = int(value) if 0 <= value < 1e15 else UNKNOWN
            elif _starts(data, first, _TIME):
                us = _time(data, first + _TIME.size, line)
            elif _starts(data, first, _CELSIUS):
                celsius = _decimal(data, first + _CELSIUS.size, line)
            elif _starts(data, first, _RATE):
                rate = _decimal(data, first + _RATE.size, line)
        end = first + DIGITS
        good = line == UNKNOWN and end <= data.size and number != UNKNOWN and abs(rate - rate_hz) < RATE_TOLERANCE_HZ
        if good and (end == data.size or data[end] == 10 or data[end] == 13) and _digits(data, first, packed):
            n = pages * SAMPLES
            _samples(word, counts_CN[0, n:], counts_CN[1, n:], counts_CN[2, n:])
            total, most, downs, pressed = _light_and_button(word, pressed)
            light_sum, light_max, presses = light_sum + total, max(light_max, most), presses + downs
            number_K[pages], us_K[pages], celsius_K[pages] = number, us, celsius
            pages += 1
            at = _next_page(data, end)
            damaged += _after_blank(data, end) < at
        else:
            damaged += 1
            at = _next_page(data, at + 1)
    return at, pages, damaged, light_sum, light_max, presses, pressed


@njit(cache=True, nogil=True)
def _starts(data, at, key):  # type: ignore[no-untyped-def]
    """Return whether a key begins at a position."""
    same, i = at + key.size <= data.size, 0
    while same and i < key.size:
        same, i = data[at + i] == key[i], i + 1
    return same


@njit(cache=True, nogil=True)
def _next_page(data, at):  # type: ignore[no-untyped-def]
    """Return where the next page begins, or the end of the data."""
    while at < data.size and not (data[at] == _PAGE[0] and _starts(data, at, _PAGE)):
        at += 1
    return at


@njit(cache=True, nogil=True)
def _after_blank(data, at):  # type: ignore[no-untyped-def]
    while at < data.size and (data[at] == 10 or data[at] == 13 or data[at] == 32):
        at += 1
    return at


@njit(cache=True, nogil=True)
def _line_end(data, at):  # type: ignore[no-untyped-def]
    """Return where the line at a position ends, or UNKNOWN when it is too long."""
    end = min(at + MAX_LINE_BYTES, data.size)
    while at + AT_A_TIME <= end:
        found = find_byte(data, at, 10)
        if found < AT_A_TIME:
            return at + found
        at += AT_A_TIME
    for i in range(at, end):
        if data[i] == 10:
            return i
    return UNKNOWN


@njit(cache=True, nogil=True)
def _decimal(data, at, end):  # type: ignore[no-untyped-def]
    """Parse the number at the beginning of a text, with a decimal point or comma; NaN where there is none."""
    while at < end and data[at] == 32:
        at += 1
    negative = at < end and data[at] == 45
    at += negative
    value, scale, digits = 0.0, 0.0, 0
    while at < end:
        if 48 <= data[at] <= 57:
            value, scale, digits = value * 10 + (data[at] - 48), scale * 10, digits + 1
        elif data[at] in (44, 46) and scale == 0:
            scale = 1.0
        else:
            break
        at += 1
    value = value / max(scale, 1.0) if 0 < digits <= 15 else np.nan
    return -value if negative else value


@njit(cache=True, nogil=True)
def _time(data, at, end):  # type: ignore[no-untyped-def]
    """Parse a time like 2013-05-30 10:12:54:500 to microseconds since 1970, or UNKNOWN."""
    part = np.zeros(7, dtype=np.int64)
    p, digits = 0, 0
    for i in range(at, end):
        if 48 <= data[i] <= 57:
            part[p], digits = part[p] * 10 + (data[i] - 48), digits + 1
            if digits > 4:
                return UNKNOWN
        elif data[i] == 13 or (data[i] == 32 and p == 6):
            break
        elif digits == 0 or p == 6:
            return UNKNOWN
        else:
            p, digits = p + 1, 0
    year, month, day, hour, minute, second, millisecond = part
    calendar = 1970 <= year <= 2106 and 1 <= month <= 12 and 1 <= day <= _days_of(year, month)
    if p != 6 or digits != 3 or not calendar or hour > 23 or minute > 59 or second > 59:
        return UNKNOWN
    days = (year - 1970) * 365 + (year - 1969) // 4 - (year - 1901) // 100 + (year - 1601) // 400 + day - 1
    for m in range(1, month):
        days += _days_of(year, m)
    return (((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000 + millisecond * 1_000


@njit(cache=True, nogil=True)
def _days_of(year, month):  # type: ignore[no-untyped-def]
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in (4, 6, 9, 11) else 31


@njit(cache=True, nogil=True)
def _digits(text, first, packed):  # type: ignore[no-untyped-def]
    """Write the bytes that the digits of a page spell; returns whether all digits are valid."""
    last = DIGITS - LANES
    valid = unhex(text, first + last, packed, last // 2)
    for i in range(0, last, LANES):
        valid &= unhex(text, first + i, packed, i // 2)
    return valid


@njit(cache=True, nogil=True)
def _samples(word, x, y, z):  # type: ignore[no-untyped-def]
    """Unpack the axes; a sample is three words, the bytes of each swapped, and an axis has 12 of their 48 bits."""
    w, one, two, three = np.uint16, np.uint64(1), np.uint64(2), np.uint64(3)
    for i in range(np.uint64(SAMPLES)):  # numba vectorises unsigned positions only
        a, b, c = _swapped(word[three * i]), _swapped(word[three * i + one]), _swapped(word[three * i + two])
        x[i] = _signed(a)
        y[i] = _signed(a << w(12) | b >> w(4))
        z[i] = _signed(b << w(8) | c >> w(8))


@njit(cache=True, inline="always")
def _swapped(word):  # type: ignore[no-untyped-def]
    return np.uint16(word << np.uint16(8) | word >> np.uint16(8))


@njit(cache=True, inline="always")
def _signed(word):  # type: ignore[no-untyped-def]
    """Return the signed upper 12 bits."""
    return np.int16(np.uint16(word)) >> np.int16(4)


@njit(cache=True, nogil=True)
def _light_and_button(word, pressed):  # type: ignore[no-untyped-def]
    """Return sum and maximum of the light, how often the button was pressed, and whether it is pressed at the end."""
    three, two = np.uint64(3), np.uint64(2)
    total, most, downs = np.uint32(0), np.uint16(0), 0
    for i in range(np.uint64(SAMPLES)):
        light = _swapped(word[three * i + two]) >> np.uint16(2) & np.uint16(0x3FF)
        total, most = np.uint32(total + light), max(most, light)
    for i in range(SAMPLES):
        now = np.int64(word[3 * i + 2] >> np.uint16(9) & np.uint16(1))  # bit 1 before the swap; int() would be a float
        downs += now > pressed
        pressed = now
    return int(total), int(most), downs, pressed
