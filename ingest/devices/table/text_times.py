"""Times written as text: parsed by a format, all rows of a batch at once.

A fraction may be missing with its mark: programs leave it out of full seconds. Years after 2400 are Buddhist.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ingest.devices.table.actigraph_export import BUDDHIST, FIRST_BUDDHIST
from ingest.time_format import Step, steps_of
from pipeline.numerics.jit import njit

NO_TIME = np.iinfo(np.int64).min
MONTHS = np.frombuffer(b"janfebmaraprmayjunjulaugsepoctnovdec", np.uint8).reshape(12, 3)
DAYS_BEFORE = np.array([0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365], np.int64)
FIRST_SHORT_YEAR = 69
"""Years of two digits are 1969 to 2068, as strptime reads them."""
FIRST_YEAR, LAST_YEAR = 1700, 2261
"""Years that 64 bits of nanoseconds hold."""
_LITERAL, _SPACE, _YEAR, _SHORT_YEAR, _MONTH, _MONTH_NAME = (int(Step(code)) for code in range(6))
_DAY, _DAY_OF_YEAR, _HOUR, _HOUR_OF_12, _MINUTE, _SECOND = (int(Step(code)) for code in range(6, 12))
_FRACTION, _HALF, _ZONE, _WEEKDAY = (int(Step(code)) for code in range(12, 16))


def parse_times(text: Any, form: str) -> NDArray[np.int64]:
    """Return times of an array of text in nanoseconds since 1970; NO_TIME where one is missing or of another form.

    They are times in UTC where the format has a zone, else of the device's clock. Text around spaces is trimmed.
    """
    text = pc.fill_null(text.cast(pa.string()), "")
    if not len(text):
        return np.empty(0, np.int64)
    _, place, data = text.buffers()
    place_N = np.frombuffer(place, np.int32)[text.offset : text.offset + len(text) + 1]
    bytes_X = np.frombuffer(data, np.uint8) if data else np.empty(0, np.uint8)
    return _parse(bytes_X, place_N, *_arrays(form))


def matches(texts: list[str], form: str) -> int:
    """Return how many texts have the form."""
    return int((parse_times(pa.array(texts, pa.string()), form) != NO_TIME).sum())


@cache
def _arrays(form: str) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    steps = steps_of(form)
    return np.array([step for step, _ in steps], np.int64), np.array([byte for _, byte in steps], np.uint8)


@njit(cache=True, nogil=True)
def _digits(bytes_X: NDArray[np.uint8], at: int, end: int, most: int) -> tuple[int, int]:
    """Return a number of at most so many digits, and the place after it (the same place where there is none)."""
    value, stop = 0, min(end, at + most)
    while at < stop and 48 <= bytes_X[at] <= 57:
        value = 10 * value + bytes_X[at] - 48
        at += 1
    return value, at


@njit(cache=True, nogil=True)
def _letters(bytes_X: NDArray[np.uint8], at: int, end: int) -> int:
    """Return the place after letters and a dot."""
    while at < end and 97 <= (bytes_X[at] | 32) <= 122:
        at += 1
    return at + 1 if at < end and bytes_X[at] == 46 else at


@njit(cache=True, nogil=True)
def _month(bytes_X: NDArray[np.uint8], at: int, end: int) -> int:
    """Return the month whose English name has these first three letters; 0 where there is none."""
    for month in range(12):
        if at + 3 <= end and (
            (bytes_X[at] | 32) == MONTHS[month, 0]
            and (bytes_X[at + 1] | 32) == MONTHS[month, 1]
            and (bytes_X[at + 2] | 32) == MONTHS[month, 2]
        ):
            return month + 1
    return 0


@njit(cache=True, nogil=True)
def _half(bytes_X: NDArray[np.uint8], at: int, end: int) -> tuple[int, int]:
    """Return 0 or 12 hours for AM, PM, a.m. or `p. m.`, and the place after it (-1 where there is neither)."""
    if at >= end or (bytes_X[at] | 32) not in (97, 112):
        return 0, -1
    hours = 12 if (bytes_X[at] | 32) == 112 else 0
    at += 1
    while at < end and (bytes_X[at] == 46 or bytes_X[at] <= 32):
        at += 1
    if at >= end or (bytes_X[at] | 32) != 109:
        return 0, -1
    at += 1
    return hours, at + 1 if at < end and bytes_X[at] == 46 else at


@njit(cache=True, nogil=True)
def _zone(bytes_X: NDArray[np.uint8], at: int, end: int) -> tuple[int, int]:
    """Return the seconds ahead of UTC that Z, UTC, GMT, +01, +0100 or +01:00 state, and the place after (or -1)."""
    if at < end and bytes_X[at] in (43, 45):
        sign = 1 if bytes_X[at] == 43 else -1
        hours, stop = _digits(bytes_X, at + 1, end, 2)
        if stop != at + 3 or hours > 15:
            return 0, -1
        colon = 1 if stop < end and bytes_X[stop] == 58 else 0
        minutes, last = _digits(bytes_X, stop + colon, end, 2)
        if last == stop + colon:
            return sign * hours * 3600, -1 if colon else stop
        return (sign * (hours * 3600 + minutes * 60), last) if last == stop + colon + 2 and minutes < 60 else (0, -1)
    if at < end and (bytes_X[at] | 32) == 122:
        return 0, at + 1
    if at + 3 <= end:
        first, second, third = bytes_X[at] | 32, bytes_X[at + 1] | 32, bytes_X[at + 2] | 32
        if (first == 117 and second == 116 and third == 99) or (first == 103 and second == 109 and third == 116):
            return 0, at + 3
    return 0, -1


@njit(cache=True, nogil=True)
def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


@njit(cache=True, nogil=True)
def _days_since_1970(year: int, month: int, day: int) -> int:
    """Return the days to a date; -1 << 60 where it does not exist."""
    if not (FIRST_YEAR <= year <= LAST_YEAR and 1 <= month <= 12 and day >= 1):
        return -1 << 60
    leap = 1 if _is_leap(year) else 0
    length = DAYS_BEFORE[month] - DAYS_BEFORE[month - 1] + (leap if month == 2 else 0)
    if day > length:
        return -1 << 60
    before = year - 1
    years = 365 * (year - 1970) + (before // 4 - before // 100 + before // 400) - 477
    return years + DAYS_BEFORE[month - 1] + (leap if month > 2 else 0) + day - 1


@njit(cache=True, nogil=True)
def _parse(
    bytes_X: NDArray[np.uint8], place_N: NDArray[np.int32], step_Q: NDArray[np.int64], literal_Q: NDArray[np.uint8]
) -> NDArray[np.int64]:
    time_N = np.full(place_N.size - 1, NO_TIME, np.int64)
    for n in range(time_N.size):
        at, end = place_N[n], place_N[n + 1]
        while at < end and bytes_X[at] <= 32:
            at += 1
        while end > at and bytes_X[end - 1] <= 32:
            end -= 1
        year, month, day, day_of_year = 0, 1, 1, 0
        hour, minute, second, nanosecond, ahead = 0, 0, 0, 0, 0
        is_of_12, half, is_good = False, 0, at < end
        q = 0
        while is_good and q < step_Q.size:
            step, before = step_Q[q], at
            if step == _LITERAL:
                if at < end and bytes_X[at] == literal_Q[q]:
                    at += 1
                elif literal_Q[q] in (44, 46, 58) and q + 1 < step_Q.size and step_Q[q + 1] == _FRACTION:
                    q += 1
                else:
                    is_good = False
                q += 1
                continue
            if step == _SPACE:
                while at < end and bytes_X[at] <= 32:
                    at += 1
            elif step == _YEAR:
                year, at = _digits(bytes_X, at, end, 4)
                is_good = at == before + 4
            elif step == _SHORT_YEAR:
                year, at = _digits(bytes_X, at, end, 2)
                is_good = at == before + 2
                year += 1900 if year >= FIRST_SHORT_YEAR else 2000
            elif step == _MONTH:
                month, at = _digits(bytes_X, at, end, 2)
            elif step == _MONTH_NAME:
                month = _month(bytes_X, at, end)
                at = _letters(bytes_X, at, end)
            elif step == _DAY:
                day, at = _digits(bytes_X, at, end, 2)
            elif step == _DAY_OF_YEAR:
                day_of_year, at = _digits(bytes_X, at, end, 3)
                is_good = 1 <= day_of_year <= 366
            elif step == _HOUR:
                hour, at = _digits(bytes_X, at, end, 2)
            elif step == _HOUR_OF_12:
                hour, at = _digits(bytes_X, at, end, 2)
                is_of_12 = True
                is_good = 1 <= hour <= 12
            elif step == _MINUTE:
                minute, at = _digits(bytes_X, at, end, 2)
            elif step == _SECOND:
                second, at = _digits(bytes_X, at, end, 2)
            elif step == _FRACTION:
                nanosecond, at = _digits(bytes_X, at, end, 9)
                nanosecond *= 10 ** (9 - (at - before))
            elif step == _HALF:
                half, at = _half(bytes_X, at, end)
            elif step == _ZONE:
                ahead, at = _zone(bytes_X, at, end)
            else:
                at = _letters(bytes_X, at, end)
            is_good = is_good and at > before
            q += 1
        if not is_good or at != end or hour > 23 or minute > 59 or second > 59:
            continue
        if is_of_12:
            hour = hour % 12 + half
        if year > FIRST_BUDDHIST:
            year -= BUDDHIST
        days = _days_since_1970(year, month, day)
        if day_of_year:
            days = _days_since_1970(year, 1, 1) + day_of_year - 1
            if day_of_year == 366 and not _is_leap(year):
                continue
        if days > -1 << 50:
            time_N[n] = (days * 86_400 + hour * 3600 + minute * 60 + second - ahead) * 1_000_000_000 + nanosecond
    return time_N
