"""When the rows of a table were taken: what its stamps mean, and where they jump.

Stamps are ISO times, or numbers of seconds, milliseconds, microseconds or nanoseconds since 1970 or since the device
was switched on. The distance between rows decides which, because rates lie between 1 and 1000 Hz. Where rows share a
stamp (full seconds, say), they are spread over the time until the next stamp; where the first second has too few rows,
they are placed at its end. A table without stamps is timed by its rate.

Later steps need blocks: consecutive rows with a stamp. A block is a second of rows, or less where the stamps jump by
more than three periods.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ingest.devices.table.actigraph_export import RATES_HZ
from ingest.devices.table.local_time import NEAR_US, Offsets, Spans
from ingest.devices.table.text_times import NO_TIME
from pipeline.errors import UserError
from pipeline.numerics.jit import njit

Int = NDArray[np.int64]
Origin = Literal["calendar", "boot", "start"]

UNITS_US = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}
DAY_US = 86_400e6
SERIAL_DAYS = (-25_569, -719_529)
"""Day 0 of spreadsheets (1899-12-30) and of Matlab, in days since 1970."""
CALENDAR_US = 315_532_800_000_000
"""1980 in microseconds. Earlier times count from when a device was switched on."""
LATEST_US = 4_102_444_800_000_000
"""2100. Later stamps are invalid."""
JUMP_PERIODS = 3
RATE_TOLERANCE = 1.001
"""Rounded stamps of 1000 rows per second may read as 1000.5."""
MAX_RATE_ERROR = 0.1
"""Relative difference allowed between --rate and the rate of the stamps."""
SHARED = 2
"""Stamps are spread from this many rows per stamp on."""
MIN_FULL_SECOND = 0.9
"""A second with at least this share of its rows counts as complete."""
BLOCK_S = 1.0
NO_TIME_US = NO_TIME
UNEVEN_PERIODS, SHARED_UNEVEN = 0.75, 1.6
"""A block is uneven if its length is off by more periods; stamps that rows share are rounded."""
FEW_ROWS = 5
"""Shorter blocks show no rate, but two in a row show that rows do not follow the rate."""
MIN_UNEVEN = 3
"""So many blocks of few rows, or of another rate, show that rows do not follow each other; of lost rows, one."""
WHOLE_SECONDS_US = 0.9e6
"""Rows that share a stamp for a shorter time are bunches."""
MOST_LOST = 5
"""More lost samples in a row are a gap, which blocks show too."""
MAX_BACK_US = 1_000_000
"""Stamps that go back by less are jitter, or a clock that was corrected; by more, a clock that was set."""
MAX_WANDER, WANDER_BLOCKS = 0.0075, 10
"""Over this many blocks the rate of one oscillator differs by less than this share from its usual one."""
NO_STAMPS = (
    "expected stamps from 1970 to 2100 in the first rows, found none: the clock was never set, or they are of another "
    "calendar. Leave the table out."
)
_NONE = np.empty(0, np.int64)


@dataclass(frozen=True)
class TableClock:
    """What the stamps of a table mean.

    unit_us: the stamps' unit in microseconds. shift_us: from the stamps to the device's own clock. period_us: from row
    to row. step_us: between stamps that rows share; 0 where every row has its own.
    epoch_us: what 0 is, for days as spreadsheets and Matlab count them. Times that are not since 1970 may be negative.
    """

    origin: Origin
    unit_us: float
    shift_us: int
    period_us: float
    step_us: float = 0.0
    epoch_us: float = 0.0

    def to_us(self, time_N: NDArray[Any]) -> Int:
        """Convert stamps to microseconds of the device's clock; NO_TIME_US where a stamp is missing or invalid."""
        if time_N.dtype == np.int64:
            us_N = time_N // 1000
            good_N = (time_N != NO_TIME) & (us_N > 0) & (us_N < LATEST_US)
        else:
            with np.errstate(invalid="ignore", over="ignore"):
                exact_N = time_N * self.unit_us
                exact_N = exact_N + self.epoch_us
                earliest_us = -LATEST_US if self.origin == "boot" else 0
                good_N = (exact_N >= earliest_us) & (exact_N < LATEST_US)
                us_N = np.where(good_N, np.rint(exact_N), 0).astype(np.int64)
        return np.where(good_N, us_N + self.shift_us, NO_TIME_US)

    def us_of(self, row_N: Int) -> Int:
        """Return when rows were taken, by their numbers alone."""
        return self.shift_us + np.rint(row_N * self.period_us).astype(np.int64)


def by_rate(rate_hz: float, start_us: int | None) -> TableClock:
    """Return the clock of a table without stamps."""
    return TableClock("start" if start_us is None else "calendar", 1.0, start_us or 0, 1e6 / rate_hz)


def read_clock(time_N: NDArray[Any], shift_us: int, rate_hz: float | None) -> TableClock:
    """Find what the stamps of the first rows mean; raises UserError with a question where that is unclear."""
    is_calendar = time_N.dtype == np.int64
    stamp_N = time_N[time_N != NO_TIME] / 1e3 if is_calendar else time_N[np.isfinite(time_N)]
    if not is_calendar and stamp_N.size > 1 and (np.diff(stamp_N) == 1).all() and not _dated(stamp_N):
        if rate_hz is None:
            raise UserError("the time column only counts rows. How many rows are a second? State --rate HZ.")
        return by_rate(rate_hz, None)
    period, step = _rhythm(stamp_N)
    for epoch_days in () if is_calendar else SERIAL_DAYS:
        start_us = (stamp_N[0] + epoch_days) * DAY_US
        is_other = any(_is_rate(1e6 / (period * us)) for us in UNITS_US.values())
        if not is_other and _is_rate(1e6 / (period * DAY_US)) and _is_calendar(start_us):
            return TableClock("calendar", DAY_US, shift_us, period * DAY_US, step * DAY_US, epoch_days * DAY_US)
    unit_us = 1.0 if is_calendar else _unit_us(stamp_N, period, rate_hz)
    if not _is_rate(1e6 / (period * unit_us)):
        raise UserError(
            f"expected {RATES_HZ[0]:g} to {RATES_HZ[1]:g} rows per second, found {1e6 / (period * unit_us):.3g} by the "
            "stamps. Averages over epochs cannot be used: export raw data."
        )
    if rate_hz is not None and abs(1e6 / (period * unit_us) / rate_hz - 1) > MAX_RATE_ERROR:
        raise UserError(
            f"--rate states {rate_hz:g} rows per second, but the time column {1e6 / (period * unit_us):.4g}. Leave "
            "--rate out: it is for tables whose stamps do not show the rate."
        )
    origin: Origin = "calendar" if _is_calendar(stamp_N[0] * unit_us) else "boot"
    return TableClock(origin, unit_us, shift_us, period * unit_us, step * unit_us)


def _is_rate(rate_hz: float) -> bool:
    return RATES_HZ[0] / RATE_TOLERANCE <= rate_hz <= RATES_HZ[1] * RATE_TOLERANCE


def _is_calendar(us: float) -> bool:
    return CALENDAR_US <= us < LATEST_US


def _dated(stamp_N: NDArray[np.float64]) -> list[float]:
    """Return the units, in microseconds, in which the stamps are calendar times."""
    return [us for us in UNITS_US.values() if _is_calendar(stamp_N[0] * us)]


def _unit_us(stamp_N: NDArray[np.float64], period: float, rate_hz: float | None) -> float:
    """Return the unit of numeric stamps in microseconds: the one that makes them calendar times at a possible rate.

    Without such a unit they count from when a device was switched on, in a unit that gives a possible rate (the one
    nearest to --rate, if there are several). Raises UserError where they may also be calendar times of averages over
    full seconds: every minute in milliseconds since 1970 reads as 17 rows per second in the microseconds of 20 days.
    """
    units = [us for us in UNITS_US.values() if _is_rate(1e6 / (period * us))]
    dated = _dated(stamp_N)
    epochs = [us for us in dated if us not in units and (stamp_N * us % 1e6 == 0).all() and _is_epoch(period * us)]
    if rate_hz is not None:
        units.sort(key=lambda us: abs(np.log(1e6 / (period * us) / rate_hz)))
    elif epochs and units and not {*units} & {*dated}:
        raise UserError(
            f"the stamps are ambiguous: averages over {period * epochs[0] / 1e6:g} seconds, stamped since 1970, or "
            f"{1e6 / (period * units[0]):.3g} rows per second, stamped since the device was switched on. Averages "
            "cannot "
            "be used: export raw data. If the rows are raw, state --rate HZ."
        )
    return next((us for us in [*(us for us in units if us in dated), *units, *dated]), 1e6)


def _is_epoch(us: float) -> bool:
    """Return whether averages may be over so many microseconds: seconds that divide a day."""
    return round(us) % 1_000_000 == 0 and DAY_US % round(us) == 0


def _rhythm(stamp_N: NDArray[np.float64]) -> tuple[float, float]:
    """Return the distance between rows, and between stamps that rows share (else 0), in the stamps' unit."""
    if not stamp_N.size:
        raise UserError(NO_STAMPS)
    step_N = np.diff(stamp_N)
    change = np.flatnonzero(step_N > 0)
    if (step_N < 0).sum() > change.size:
        raise UserError("the stamps of the first rows run backwards. Sort the rows by time.")
    if change.size < 3:
        raise UserError(
            f"the stamps do not advance: the first {stamp_N.size:,} rows have {np.unique(stamp_N).size}. Export them "
            "with seconds and fractions, or name another column with --columns time=NAME,x=NAME,y=NAME,z=NAME; a table "
            "without one needs --rate HZ."
        )
    rows_C, step_C = np.diff(change), step_N[change]
    step = _usual(step_C)
    return (step / _usual(rows_C), step) if np.median(rows_C) >= SHARED else (step, 0.0)


def _usual(value_X: NDArray[Any]) -> float:
    """Return the mean of the values near the median."""
    median = np.median(value_X)
    near_X = value_X[np.abs(value_X / median - 1) < 0.5]
    return float(near_X.mean() if near_X.size else median)


@dataclass(frozen=True)
class Blocks:
    """First row of each block and its time, in microseconds of the device's clock."""

    first_K: Int
    us_K: Int

    def us_of(self, row_X: Int, period_us: float) -> Int:
        """Return when rows were taken, continuing each block at the same pace."""
        k_X = np.maximum(np.searchsorted(self.first_K, row_X, side="right") - 1, 0)
        return self.us_K[k_X] + np.rint((row_X - self.first_K[k_X]) * period_us).astype(np.int64)

    def rate_hz(self) -> float:
        """Return rows per second over the blocks that are followed without a jump; 0 where there are none."""
        rows_K, us_K = np.diff(self.first_K), np.diff(self.us_K)
        if not rows_K.size:
            return 0.0
        pace = np.median(us_K / rows_K)
        even_K = np.abs(us_K - rows_K * pace) < JUMP_PERIODS * pace
        return float(rows_K[even_K].sum() / us_K[even_K].sum() * 1e6) if even_K.any() else 0.0


class BlockBuilder:
    """Finds the blocks in the stamps of consecutive rows, added batch by batch."""

    def __init__(self, clock: TableClock) -> None:
        self.clock, self.rows = clock, 0
        self._part, self._first_row = clock, 0
        self._first: list[Int] = []
        self._us: list[Int] = []
        self.untimed = 0
        """Rows with a value whose stamp is missing or not understood."""
        self.is_stamped = False
        self.offsets: Offsets | None = None
        """How far the stamps are ahead of UTC, where they follow changes of local clocks: times are then in UTC."""
        self._stop: list[Int] = []
        self._stop_us: list[Int] = []
        self._state = (NO_TIME_US, 0, -1, NO_TIME_US)

    def begin_part(self, clock: TableClock) -> None:
        """Read the stamps of the following rows, which are of another table, by its clock."""
        self._part, self._first_row = clock, self.rows

    def add(self, time_N: NDArray[Any] | None, has_value_N: NDArray[np.bool_]) -> None:
        """Add the stamps (None: use the rate) of the next rows, and which of them hold a value."""
        clock = self.clock
        number_N = self.rows + np.arange(has_value_N.size, dtype=np.int64)
        self.rows += has_value_N.size
        if time_N is None or clock.origin == "start":
            us_N = self._part.us_of(number_N - self._first_row)
        else:
            us_N, self.is_stamped = self._part.to_us(time_N), True
        if time_N is not None:
            self.untimed += int((has_value_N & (us_N == NO_TIME_US)).sum())
        us_N[~has_value_N] = NO_TIME_US
        every = 1 if clock.step_us else max(1, round(BLOCK_S * 1e6 / clock.period_us))
        jump_us = 0.0 if clock.step_us else JUMP_PERIODS * clock.period_us
        begins_N, stop_K, stop_us_K, self._state = _begins(us_N, number_N, *self._state, every, jump_us)
        self._first.append(number_N[begins_N])
        self._us.append(us_N[begins_N])
        self._stop.append(stop_K)
        self._stop_us.append(stop_us_K)

    @property
    def is_uneven(self) -> bool:
        """Whether rows do not follow each other at one rate: it changes, rows are lost, or stamps scatter."""
        first_K, us_K = np.concatenate([_NONE, *self._first]), np.concatenate([_NONE, *self._us])
        if first_K.size < 2 or not self.is_stamped:
            return False
        if 0 < self.clock.step_us < WHOLE_SECONDS_US:
            return True
        if self.clock.step_us:
            rows_K, length_K = np.diff(first_K), np.diff(us_K)
            length_K[(length_K <= 0) | (length_K > 3 * self.clock.step_us)] = 0
            length_K[np.append(True, length_K[:-1] == 0)] = 0  # a first second may be incomplete
            few_K = lost_K = np.zeros(rows_K.size, dtype=bool)
        else:
            _, last_row, last_us = self._state[1:]
            stop_K = np.concatenate([_NONE, *self._stop, [last_row]])[1:]
            stop_us_K = np.concatenate([_NONE, *self._stop_us, [last_us]])[1:]
            rows_K, length_K = stop_K - first_K, stop_us_K - us_K
            few_K = rows_K < FEW_ROWS
            few_K = few_K & np.append(False, few_K[:-1]) & (np.diff(us_K, prepend=us_K[0]) > 0)
            late_K = us_K[1:] - stop_us_K[:-1] - (first_K[1:] - stop_K[:-1]) * self.clock.period_us
            off_K = late_K / self.clock.period_us
            lost_K = (off_K > UNEVEN_PERIODS) & (off_K < MOST_LOST)
            lost_K |= (off_K < -UNEVEN_PERIODS) & (late_K > -MAX_BACK_US)
        good_K = (rows_K > 0) & (length_K > 0)
        if not good_K.any():
            return bool(few_K.sum() >= MIN_UNEVEN)
        pace = float(np.median(length_K[good_K] / rows_K[good_K]))
        off_K = np.abs(length_K - rows_K * pace) > (SHARED_UNEVEN if self.clock.step_us else UNEVEN_PERIODS) * pace
        if (good_K & off_K & (rows_K >= FEW_ROWS)).any() or lost_K.any() or few_K.sum() >= MIN_UNEVEN:
            return True
        if self.clock.step_us:
            return False
        rows_L, length_L = (_sums_of(np.where(good_K, value_K, 0)) for value_K in (rows_K, length_K))
        off_L = np.abs(length_L - rows_L * pace)
        return bool((off_L > np.maximum(MAX_WANDER * rows_L, 1) * pace).sum() >= MIN_UNEVEN)

    @property
    def timed_rows(self) -> slice:
        """The rows from the first with a stamp to the last; others have no time."""
        first_K = np.concatenate([_NONE, *self._first])
        return slice(int(first_K.min(initial=self.rows)), self._state[2] + 1 if self.is_stamped else self.rows)

    @property
    def spans(self) -> Spans:
        """First row, first and last stamp of the blocks, as the table has them."""
        first_K, us_K = np.concatenate([_NONE, *self._first]), np.concatenate([_NONE, *self._us])
        end_us_K = np.concatenate([_NONE, *self._stop_us, [self._state[3]]])[1:]
        return Spans(first_K, us_K, end_us_K[: us_K.size], max(NEAR_US, self.clock.step_us))

    def blocks(self) -> Blocks:
        """Return the blocks of all rows."""
        first_K, us_K = np.concatenate([_NONE, *self._first]), np.concatenate([_NONE, *self._us])
        if self.offsets:
            us_K = us_K - self.offsets.of(first_K)
        return Blocks(first_K, self._spread(first_K, us_K) if self.clock.step_us else us_K)

    def _spread(self, first_K: Int, us_K: Int) -> Int:
        """Time blocks whose rows share a stamp: an incomplete first one ends with its second, others begin with it."""
        clock = self.clock
        follows_K = np.abs(np.diff(us_K) / clock.step_us - 1) < 0.5
        after_break_K = np.append(True, ~follows_K) & np.append(follows_K, False)
        late_us_K = clock.step_us - np.diff(first_K, append=self.rows) * clock.period_us
        is_part_K = after_break_K & (late_us_K > (1 - MIN_FULL_SECOND) * clock.step_us)
        return us_K + np.where(is_part_K, np.rint(late_us_K), 0).astype(np.int64)


def _sums_of(value_K: NDArray[Any]) -> NDArray[Any]:
    """Return the sums of every 10 consecutive values."""
    return np.add.reduceat(value_K, np.arange(0, value_K.size, WANDER_BLOCKS))


@njit(cache=True, nogil=True)
def _begins(
    us_N: Int, number_N: Int, last_us: int, length: int, valid: int, valid_us: int, every: int, jump_us: float
) -> tuple[NDArray[np.bool_], Int, Int, tuple[int, int, int, int]]:
    """Return where blocks begin, the last row and stamp before each beginning, and the state for the next call.

    The state is the last stamp, the length of the last block, and the last row that has a stamp with this stamp.
    """
    begins_N = np.zeros(us_N.size, dtype=np.bool_)
    stop_N, stop_us_N = np.empty(us_N.size, np.int64), np.empty(us_N.size, np.int64)
    blocks = 0
    for i in range(us_N.size):
        if us_N[i] == NO_TIME_US:
            last_us = NO_TIME_US
            continue
        step = us_N[i] - last_us
        if last_us == NO_TIME_US or abs(step) > jump_us or (length >= every and step > 0):
            begins_N[i] = True
            stop_N[blocks], stop_us_N[blocks] = valid, valid_us
            blocks += 1
            length = 0
        length += 1
        last_us = us_N[i]
        valid, valid_us = number_N[i], us_N[i]
    return begins_N, stop_N[:blocks].copy(), stop_us_N[:blocks].copy(), (last_us, length, valid, valid_us)
