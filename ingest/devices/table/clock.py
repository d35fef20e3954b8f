"""When the rows of a table were taken: what its stamps mean, and where they break.

A table's stamps are ISO times, or numbers of seconds, milliseconds, microseconds or nanoseconds since 1970 or since
the device was switched on: which, the distance of the rows tells, as rates lie between 1 and 1000 Hz. Stamps that
several rows share (whole seconds, say) are spread over the time until the next; a first few rows of such a second
belong to its end. A table without stamps goes by its rate.

Everything after the devices wants blocks: runs of rows with a stamp. A block is a second of rows, or less where the
stamps jump by more than three periods.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ingest.devices.table.rows import NO_TIME
from ingest.devices.table.vendor import RATES_HZ
from pipeline.errors import UserError
from pipeline.numerics.jit import njit

Int = NDArray[np.int64]
Origin = Literal["calendar", "boot", "start"]

UNITS_US = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}
CALENDAR_US = 315_532_800_000_000
"""1980 in microseconds: what counts from 1970 to before is the time since a device was switched on."""
LATEST_US = 4_102_444_800_000_000
"""2100: later stamps are none."""
JUMP_PERIODS = 3
NEAR_RATE = 1.001
"""Stamps of 1000 rows a second, rounded, may read as 1000.5."""
MOST_RATE_OFF = 0.1
"""Of the rate that the user tells, from that of the stamps."""
SHARED = 2
"""Rows that share a stamp, from which on stamps are spread."""
WHOLE = 0.9
"""A second with this part of its rows, or more, is a whole one."""
BLOCK_S = 1.0
NONE_US = NO_TIME


@dataclass(frozen=True)
class Clock:
    """What the stamps of a table mean.

    unit_us: microseconds that one is, of a stamp. shift_us: from stamps to the device's own clock. period_us: from row
    to row. step_us: between stamps that rows share; 0 where they do not.
    """

    origin: Origin
    unit_us: float
    shift_us: int
    period_us: float
    step_us: float = 0.0

    def us(self, time_N: NDArray[Any]) -> Int:
        """Stamps in microseconds of the device's clock; NONE_US where there is none."""
        if time_N.dtype == np.int64:
            us_N = time_N // 1000
            good_N = (time_N != NO_TIME) & (us_N > 0) & (us_N < LATEST_US)
        else:
            with np.errstate(invalid="ignore", over="ignore"):
                exact_N = time_N * self.unit_us
                good_N = (exact_N >= 0) & (exact_N < LATEST_US)
                us_N = np.where(good_N, np.rint(exact_N), 0).astype(np.int64)
        return np.where(good_N, us_N + self.shift_us, NONE_US)


def by_rate(rate_hz: float, start_us: int | None) -> Clock:
    """The clock of a table without stamps, from its first row on."""
    return Clock("start" if start_us is None else "calendar", 1.0, start_us or 0, 1e6 / rate_hz)


def read_clock(time_N: NDArray[Any], shift_us: int, rate_hz: float | None) -> Clock:
    """What the stamps of the first rows mean; raises UserError with a question where they do not tell."""
    is_calendar = time_N.dtype == np.int64
    stamp_N = time_N[time_N != NO_TIME] / 1e3 if is_calendar else time_N[np.isfinite(time_N)]
    if not is_calendar and stamp_N.size > 1 and (np.diff(stamp_N) == 1).all() and not _dated(stamp_N):
        if rate_hz is None:
            raise UserError("the column of time only counts rows: how many a second? Say --rate HZ.")
        return by_rate(rate_hz, None)
    period, step = _rhythm(stamp_N)
    unit_us = 1.0 if is_calendar else _unit_us(stamp_N, period, rate_hz)
    if not _is_rate(1e6 / (period * unit_us)):
        raise UserError(
            f"by its stamps the table has {1e6 / (period * unit_us):.3g} rows a second; expected {RATES_HZ[0]:g} to "
            f"{RATES_HZ[1]:g}. Averages over longer epochs cannot be used: export raw data."
        )
    if rate_hz is not None and abs(1e6 / (period * unit_us) / rate_hz - 1) > MOST_RATE_OFF:
        raise UserError(
            f"--rate says {rate_hz:g} rows a second, the column of time {1e6 / (period * unit_us):.4g}. Leave --rate "
            "out: it is for tables whose stamps do not tell it."
        )
    origin: Origin = "calendar" if _is_calendar(stamp_N[0] * unit_us) else "boot"
    return Clock(origin, unit_us, shift_us, period * unit_us, step * unit_us)


def _is_rate(rate_hz: float) -> bool:
    return RATES_HZ[0] / NEAR_RATE <= rate_hz <= RATES_HZ[1] * NEAR_RATE


def _is_calendar(us: float) -> bool:
    return CALENDAR_US <= us < LATEST_US


def _dated(stamp_N: NDArray[np.float64]) -> list[float]:
    """Units, in microseconds, in which stamps have a calendar time."""
    return [us for us in UNITS_US.values() if _is_calendar(stamp_N[0] * us)]


def _unit_us(stamp_N: NDArray[np.float64], period: float, rate_hz: float | None) -> float:
    """Microseconds that one is, of stamps that are numbers: the unit in which they have a calendar time and a rate.

    Without such a unit they count from when a device was switched on, in the one that gives them a rate (that which the
    user tells, if several do). Raises UserError for what may be the calendar times of averages over whole seconds, too:
    every minute in milliseconds since 1970 reads as 17 rows a second in the microseconds of 20 days.
    """
    units = [us for us in UNITS_US.values() if _is_rate(1e6 / (period * us))]
    dated = _dated(stamp_N)
    epochs = [us for us in dated if us not in units and (stamp_N * us % 1e6 == 0).all()]
    if rate_hz is not None:
        units.sort(key=lambda us: abs(np.log(1e6 / (period * us) / rate_hz)))
    elif epochs and units and not {*units} & {*dated}:
        raise UserError(
            f"are these averages over {period * epochs[0] / 1e6:g} seconds, with stamps since 1970, or "
            f"{1e6 / (period * units[0]):.3g} rows a second, with stamps since the device was switched on? Averages "
            "cannot be used: export raw data. If the rows are raw, say --rate HZ."
        )
    return next((us for us in [*(us for us in units if us in dated), *units, *dated]), 1e6)


def _rhythm(stamp_N: NDArray[np.float64]) -> tuple[float, float]:
    """Distance of the rows, and of stamps that rows share (0 where they do not), in the stamps' own unit."""
    step_N = np.diff(stamp_N)
    change = np.flatnonzero(step_N > 0)
    if (step_N < 0).sum() > change.size:
        raise UserError("the stamps of the first rows run backwards. Bring the rows into the order of their times.")
    if change.size < 3:
        raise UserError(
            "the stamps of the first rows do not go on. Name the column of time with --columns time=NAME,x=NAME,y=NAME,"
            "z=NAME; a table without one needs --rate HZ."
        )
    rows_C, step_C = np.diff(change), step_N[change]
    step = _usual(step_C)
    return (step / _usual(rows_C), step) if np.median(rows_C) >= SHARED else (step, 0.0)


def _usual(value_X: NDArray[Any]) -> float:
    """Mean of the values near the median."""
    median = np.median(value_X)
    near_X = value_X[np.abs(value_X / median - 1) < 0.5]
    return float(near_X.mean() if near_X.size else median)


@dataclass(frozen=True)
class Blocks:
    """First row of each block, and when it was taken, in microseconds of the device's clock."""

    first_K: Int
    us_K: Int

    def us_of(self, row_X: Int, period_us: float) -> Int:
        """When rows were taken that lie in a block, or behind its end at the same pace."""
        k_X = np.maximum(np.searchsorted(self.first_K, row_X, side="right") - 1, 0)
        return self.us_K[k_X] + np.rint((row_X - self.first_K[k_X]) * period_us).astype(np.int64)

    def rate_hz(self) -> float:
        """Rows a second, over the blocks that the next one follows without a jump; 0 where there are none."""
        rows_K, us_K = np.diff(self.first_K), np.diff(self.us_K)
        if not rows_K.size:
            return 0.0
        pace = np.median(us_K / rows_K)
        even_K = np.abs(us_K - rows_K * pace) < JUMP_PERIODS * pace
        return float(rows_K[even_K].sum() / us_K[even_K].sum() * 1e6) if even_K.any() else 0.0


class Stamps:
    """Takes in the stamps of consecutive rows, and keeps one where a block begins."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.rows = clock, 0
        self._first: list[Int] = []
        self._us: list[Int] = []
        self._last_us, self._length = NONE_US, 0

    def add(self, time_N: NDArray[Any] | None, has_value_N: NDArray[np.bool_]) -> None:
        """The stamps (None: by the rate) of further rows, and which of these hold a value."""
        clock = self.clock
        number_N = self.rows + np.arange(has_value_N.size, dtype=np.int64)
        self.rows += has_value_N.size
        if time_N is None or clock.origin == "start":
            us_N = clock.shift_us + np.rint(number_N * clock.period_us).astype(np.int64)
        else:
            us_N = clock.us(time_N)
        us_N[~has_value_N] = NONE_US
        every = 1 if clock.step_us else max(1, round(BLOCK_S * 1e6 / clock.period_us))
        jump_us = 0.0 if clock.step_us else JUMP_PERIODS * clock.period_us
        begins_N, self._last_us, self._length = _begins(us_N, self._last_us, self._length, every, jump_us)
        self._first.append(number_N[begins_N])
        self._us.append(us_N[begins_N])

    def blocks(self) -> Blocks:
        """The blocks of all rows."""
        nothing = np.empty(0, np.int64)
        first_K, us_K = np.concatenate([nothing, *self._first]), np.concatenate([nothing, *self._us])
        return Blocks(first_K, self._spread(first_K, us_K) if self.clock.step_us else us_K)

    def _spread(self, first_K: Int, us_K: Int) -> Int:
        """Of stamps that rows share: the first rows after a break end with their stamp's time, others begin with it."""
        clock = self.clock
        follows_K = np.abs(np.diff(us_K) / clock.step_us - 1) < 0.5
        after_break_K = np.append(True, ~follows_K) & np.append(follows_K, False)
        late_us_K = clock.step_us - np.diff(first_K, append=self.rows) * clock.period_us
        is_part_K = after_break_K & (late_us_K > (1 - WHOLE) * clock.step_us)
        return us_K + np.where(is_part_K, np.rint(late_us_K), 0).astype(np.int64)


@njit(cache=True, nogil=True)
def _begins(us_N: Int, last_us: int, length: int, every: int, jump_us: float) -> tuple[NDArray[np.bool_], int, int]:
    """Where blocks begin, and the last stamp and the length of the last block, for the rows that follow."""
    begins_N = np.zeros(us_N.size, dtype=np.bool_)
    for i in range(us_N.size):
        if us_N[i] == NONE_US:
            last_us = NONE_US
            continue
        step = us_N[i] - last_us
        if last_us == NONE_US or abs(step) > jump_us or (length >= every and step > 0):
            begins_N[i] = True
            length = 0
        length += 1
        last_us = us_N[i]
    return begins_N, last_us, length
