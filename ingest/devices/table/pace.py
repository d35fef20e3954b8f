"""Rows that do not follow each other at one rate: rates that change, lost rows, jitter, and rows that share a stamp.

The stamps of the rows decide. Their differences show where the rate changes; within a part of one rate a line follows
the stamps, and says how many samples were lost before each row. Up to 3 lost samples in a row, of 60 ms at most, are
interpolated (by a polynomial through 6 rows, because filters need even spacing); more are a gap. The times of each
segment are then fitted by a continuous piecewise-linear line, with a knot every 2 seconds or 100 rows, which smooths
jitter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.grid import SAMPLE_RATE_HZ
from pipeline.numerics.jit import njit
from pipeline.numerics.linear_spline import hat_fit

Int = NDArray[np.int64]
Float = NDArray[np.float64]

CHUNK_ROWS, MAX_CHUNK_ROWS = 16, 256
"""The rate is estimated from this many rows (more where stamps scatter); a change of under two chunks is not seen."""
MIN_CHANGE, MAX_CHANGE = 0.06, 0.18
"""Relative difference between two rates: above this, depending on the scatter of the estimates, the rate changed."""
SAME_RATE = 0.05
MAX_FILL, MAX_FILL_S = 3, 0.06
"""Lost samples in a row that are interpolated: as many, and no more than last this long."""
TAPS = 6
"""Rows around a lost sample from which it is interpolated."""
LOOK_AHEAD = ((0.08, 1), (0.16, 3), (0.25, 5), (np.inf, 8))
"""Rows that must agree that a sample was lost, by the jitter of the stamps as a share of the period."""
FIRST_OFF = 0.75
"""A segment begins with the line of its first rows, unless its first stamp is over so many periods off it."""
SET_BACK, SET_BACK_ROWS = 1.0, 3
"""So many rows that come over so many periods early begin a segment: the clock was set back."""
BUNCHED = 0.25
"""Rows nearer than this share of the mean distance belong to one bunch."""
MIN_BUNCHED = 0.25
"""Share of such rows from which stamps are spread."""
BREAK = 4.0
"""A bunch that comes after so many usual times between bunches comes after a pause."""
NEIGHBOURS = 5
"""Bunches before or after one that show its pace."""
COMPLETE = 0.9
"""A bunch with this share of the rows of its neighbours lacks none: time after its last row is a pause."""
MAX_SIDES = 100
"""A clock that was set back more often is one of rows that are not in order."""
ROUNDED, MANY = 1.2, 8
"""Stamps of full seconds hold a row more or less in turn; such bunches, of so many rows, are spread evenly."""
MAX_UNPLACED = 1.6
"""Rows that a bunch may lack, or have beyond its pace, before it is not used (more where stamps of packets scatter)."""
FULL_SECONDS_US = 0.9e6
"""Bunches so far apart are those of full seconds, which do not scatter."""
KNOT_S, KNOT_ROWS, KNOT_BUNCHES = 2.0, 100, 10
MIN_KNOT_ROWS = 16
MAX_DRIFT_US = 100.0
"""Where the means of 8 residuals are larger than this, and than the scatter explains, knots are set closer."""
DRIFT_ROWS, SCATTER_ROWS = 8, 100_000
HALF_TICK_US = 0.5e6 / SAMPLE_RATE_HZ
MIN_ROWS_FOR_RATE = 25
"""A segment with fewer rows has the rate of its part."""


@dataclass(frozen=True)
class PacedRows:
    """Rows as evenly spaced samples in segments.

    row_N: the rows that are used. sample_N: the sample that each of them becomes (ascending); samples without a row are
    interpolated, within their segment. begin_G: the first of these rows of each segment. samples: their number.
    first_K, us_K, period_us_K, sequence_K: blocks, as in Recording and Pace.
    """

    row_N: Int
    sample_N: Int
    begin_G: Int
    samples: int
    first_K: Int
    us_K: Int
    period_us_K: Float
    sequence_K: Int
    rates: int
    jitter_ms: float

    @property
    def lost_share(self) -> float:
        """The share of the samples that have no row."""
        return 1 - self.sample_N.size / self.samples


def pace_all(us_N: Int, begins_N: NDArray[np.bool_]) -> PacedRows:
    """Pace rows of a clock that was set, before the rows where `begins_N` is True: each side by itself, in order.

    Raises UserError where rows are not in order, or their stamps do not show their times.
    """
    bounds = [0, *(np.flatnonzero(begins_N[1:]) + 1).tolist(), us_N.size]
    if len(bounds) > MAX_SIDES + 1:
        raise UserError("the stamps of the rows run backwards again and again. Sort the rows by time.")
    paced = [(first, pace_rows(us_N[first:stop])) for first, stop in pairwise(bounds) if stop - first > 1]
    sides = [(first, side) for first, side in paced if side is not None]
    if not sides:
        raise UserError(
            "the stamps do not show when the rows were taken: many rows share each, and no two stamps the same number. "
            "Export the table again with a stamp for every row."
        )
    if len(sides) == 1:
        return replace(sides[0][1], row_N=sides[0][0] + sides[0][1].row_N)
    samples = np.append(0, np.cumsum([side.samples for _, side in sides])).tolist()
    numbers = np.append(0, np.cumsum([int(side.sequence_K[-1]) + 2 for _, side in sides])).tolist()
    before = np.append(0, np.cumsum([side.row_N.size for _, side in sides])).tolist()
    rows = before[-1]
    return PacedRows(
        row_N=np.concatenate([first + side.row_N for first, side in sides]),
        sample_N=np.concatenate([at + side.sample_N for at, (_, side) in zip(samples[:-1], sides, strict=True)]),
        begin_G=np.concatenate([at + side.begin_G for at, (_, side) in zip(before[:-1], sides, strict=True)]),
        samples=samples[-1],
        first_K=np.concatenate([at + side.first_K for at, (_, side) in zip(samples[:-1], sides, strict=True)]),
        us_K=np.concatenate([side.us_K for _, side in sides]),
        period_us_K=np.concatenate([side.period_us_K for _, side in sides]),
        sequence_K=np.concatenate([at + side.sequence_K for at, (_, side) in zip(numbers[:-1], sides, strict=True)]),
        rates=max(side.rates for _, side in sides),
        jitter_ms=float(np.sqrt(sum(side.jitter_ms**2 * side.row_N.size for _, side in sides) / rows)),
    )


def pace_rows(us_N: Int) -> PacedRows | None:
    """Find rates, losses and times of rows from their stamps in microseconds (2 or more; steps back are jitter).

    None where fewer than two rows can be placed.
    """
    start_us = int(us_N[0])
    time_N, bunch, used_N = _spread((us_N - start_us).astype(np.float64))
    row_N = np.flatnonzero(used_N)
    if row_N.size < 2:
        return None
    found, off_N = _pace(time_N if row_N.size == time_N.size else time_N[row_N], row_N, bunch, start_us)
    if off_N.any() and (~off_N).sum() >= 2:
        row_N = row_N[~off_N]
        found, _ = _pace(time_N[row_N], row_N, bunch, start_us)
    return found


def _pace(time_N: Float, row_N: Int, bunch: float, start_us: int) -> tuple[PacedRows, NDArray[np.bool_]]:
    """Find rates, losses and times of rows; return also which rows the fitted times leave out."""
    first_P, period_P = _parts(time_N, CHUNK_ROWS)
    step_N, begins_N = np.ones(time_N.size, dtype=np.int64), np.zeros(time_N.size, dtype=bool)
    for first, stop, period in zip(first_P, np.append(first_P[1:], time_N.size), period_P, strict=True):
        ahead = max(_look_ahead(time_N[first:stop], period), math.ceil(2 * bunch) if bunch > 1 else 1)
        _index(time_N, first, stop, period, ahead, step_N, begins_N)
    sample_N = np.cumsum(step_N) - 1
    row_G = np.flatnonzero(begins_N)
    part_G = np.searchsorted(first_P, row_G, side="right") - 1
    off_N = np.zeros(time_N.size, dtype=bool)
    first_K, time_K, period_K, segment_K, squares = _fit(time_N, sample_N, row_G, period_P[part_G], bunch, off_N)
    return PacedRows(
        row_N=row_N,
        sample_N=sample_N,
        begin_G=row_G,
        samples=int(sample_N[-1]) + 1,
        first_K=first_K,
        us_K=start_us + np.rint(time_K).astype(np.int64),
        period_us_K=period_K,
        sequence_K=np.arange(first_K.size) + segment_K,
        rates=_different(period_P, np.diff(first_P, append=time_N.size)),
        jitter_ms=float(np.sqrt(squares / time_N.size) / 1000),
    ), off_N


def fill(counts_CN: NDArray[np.int16], paced: PacedRows) -> NDArray[np.int16]:
    """Return the samples (3, samples): the rows at their places, and interpolation where rows are lost."""
    samples_CM = np.empty((3, paced.samples), dtype=np.int16)
    is_all = paced.row_N.size == counts_CN.shape[1]
    _fill(counts_CN if is_all else counts_CN[:, paced.row_N], paced.sample_N, paced.begin_G, samples_CM)
    return samples_CM


def _spread(time_N: Float) -> tuple[Float, float, NDArray[np.bool_]]:
    """Spread bunches of rows that share a stamp; return also the mean number of rows of a bunch, and which rows to use.

    A bunch follows the pace of its neighbours. One that lacks rows, or in which the rate changes, says nothing about
    where in its time its rows belong: these are not used, unless a pause begins or ends there.
    """
    every_N = np.ones(time_N.size, dtype=np.bool_)
    step_N = np.diff(time_N)
    if not step_N.size:
        return time_N, 1.0, every_N
    near_N = _crowded(time_N, step_N)
    if near_N.mean() < MIN_BUNCHED:
        return time_N, 1.0, every_N
    first_B = np.append(0, np.flatnonzero(~near_N) + 1)
    rows_B = np.diff(first_B, append=time_N.size)
    until_B = np.diff(time_N[first_B], append=np.inf)
    start_B, pace_B, is_used_B = _place(time_N[first_B], rows_B, until_B, _breaks(until_B))
    within_N = np.arange(time_N.size) - np.repeat(first_B, rows_B)
    spread_N = np.repeat(start_B, rows_B) + within_N * np.repeat(pace_B, rows_B)
    return spread_N, float(rows_B.mean()), np.repeat(is_used_B, rows_B)


def _crowded(time_N: Float, step_N: Float) -> NDArray[np.bool_]:
    """Return which steps are within a bunch: short, and the bunch too lasts less than the time until the next one."""
    positive_N = step_N[step_N > 0]
    if not positive_N.size:
        return np.zeros(step_N.size, dtype=np.bool_)
    usual = np.minimum(step_N, BREAK * np.median(positive_N)).mean()
    del positive_N
    near_N = step_N < BUNCHED * usual
    if near_N.mean() < MIN_BUNCHED:
        return near_N
    first_B = np.append(0, np.flatnonzero(~near_N) + 1)
    rows_B = np.diff(first_B, append=time_N.size)
    lasts_B = time_N[first_B + rows_B - 1] - time_N[first_B]
    until_B = np.diff(time_N[first_B], append=np.inf)
    is_crowded_B = lasts_B <= BUNCHED * np.minimum(until_B, BREAK * np.median(until_B))
    return near_N & np.repeat(is_crowded_B, rows_B)[:-1]


@njit(cache=True, nogil=True)
def _breaks(until_B: Float) -> NDArray[np.bool_]:
    """Return the bunches that a pause follows: much longer than the time until the next bunch is before or after."""
    is_break_B = np.empty(until_B.size, dtype=np.bool_)
    for b in range(until_B.size):
        before, after = until_B[max(0, b - NEIGHBOURS) : b], until_B[b + 1 : b + 1 + NEIGHBOURS]
        usual = max(np.median(before) if before.size else 0.0, np.median(after) if after.size > 1 else 0.0)
        is_break_B[b] = not until_B[b] <= BREAK * usual
    return is_break_B


@njit(cache=True, nogil=True)
def _place(
    start_B: Float, rows_B: Int, until_B: Float, is_break_B: NDArray[np.bool_]
) -> tuple[Float, Float, NDArray[np.bool_]]:
    """Return start and pace of each bunch, and whether its rows can be placed."""
    bunches = start_B.size
    found_B, pace_B, off_B = start_B.copy(), np.empty(bunches), np.zeros(bunches)
    is_used_B = np.ones(bunches, dtype=np.bool_)
    until, rows = np.empty(2 * NEIGHBOURS), np.empty(2 * NEIGHBOURS)
    usual = np.median(until_B / rows_B)
    for b in range(bunches):
        pace, off, complete = float(usual), np.inf, 0.0
        number, before = 0, 0
        for side in (-1, 1):
            for away in range(1, NEIGHBOURS + 1):
                other = b + side * away
                if other < 1 or other >= bunches or is_break_B[other if side < 0 else other - 1]:
                    break
                if not is_break_B[other] and not is_break_B[other - 1]:
                    until[number], rows[number] = until_B[other], rows_B[other]
                    number += 1
            before = number if side < 0 else before
        is_changed = False
        if 0 < before < number and not is_break_B[b]:
            earlier = _mean_pace(until[:before], rows[:before])
            later = _mean_pace(until[before:number], rows[before:number])
            is_changed = abs(until_B[b] / earlier - until_B[b] / later) > MAX_UNPLACED
        for first, stop in ((0, number), (0, before), (before, number)):
            if stop > first and off > ROUNDED and not (is_changed and stop - first == number):
                one = _mean_pace(until[first:stop], rows[first:stop])
                away_rows = 0.0 if is_break_B[b] else abs(until_B[b] / one - rows_B[b])
                if away_rows < off:
                    pace, off, complete = one, away_rows, float(np.median(rows[first:stop]))
        pace_B[b] = pace
        is_first = b == 0 or is_break_B[b - 1]
        if is_break_B[b]:
            off_B[b] = max(0.0, rows_B[b] - complete) if complete >= MANY else 0.0
            is_used_B[b] = off_B[b] == 0
            continue
        late = until_B[b] - rows_B[b] * pace
        is_complete = rows_B[b] >= COMPLETE * complete
        if off <= ROUNDED and rows_B[b] >= MANY:
            pace_B[b] = until_B[b] / rows_B[b]
        if is_first and not is_complete:
            found_B[b] += max(late, 0.0)
            off_B[b] = 0.0 if until_B[b] < 1.5 * complete * pace else np.inf
            is_used_B[b] = False
        elif np.isfinite(off):
            off_B[b] = off
            is_used_B[b] = late > 0 and is_complete and not is_changed
    scatter = 0.0 if np.median(until_B) >= FULL_SECONDS_US else 6 * np.median(off_B)
    most = max(MAX_UNPLACED, scatter)
    return found_B, pace_B, is_used_B | (off_B <= most)


@njit(cache=True, nogil=True)
def _mean_pace(until: Float, rows: Float) -> float:
    """Return the time a row over some bunches, without those that are off their median by over 1.6 rows."""
    middle = np.median(until / rows)
    total, number = 0.0, 0.0
    for i in range(rows.size):
        if abs(until[i] / middle - rows[i]) <= MAX_UNPLACED:
            total += until[i]
            number += rows[i]
    return total / number if number > 0 else float(middle)


def _parts(time_N: Float, chunk: int) -> tuple[Int, Float]:
    """Return first row and period of the parts with one rate each."""
    step_N = np.diff(time_N)
    period_Q, scatter = _chunk_periods(step_N, chunk), np.inf
    while period_Q.size > 2:
        scatter = 4 * float(np.median(np.abs(np.diff(np.log(period_Q)))))
        if scatter <= MAX_CHANGE or chunk >= MAX_CHUNK_ROWS:
            break
        chunk *= 2
        period_Q = _chunk_periods(step_N, chunk)
    if not period_Q.size:
        positive = step_N[step_N > 0]
        return np.zeros(1, np.int64), np.array([np.median(positive) if positive.size else 1.0])
    threshold = min(max(scatter, MIN_CHANGE), MAX_CHANGE)
    chunk_P = _changes(np.log(period_Q), threshold)
    period_P = _part_periods(period_Q, chunk_P)
    first_P = chunk_P * chunk
    for p in range(1, first_P.size):
        first_P[p] = _boundary(
            step_N, max(first_P[p] - 2 * chunk, first_P[p - 1] + 1), first_P[p] + chunk, period_P[p - 1], period_P[p]
        )
    for p, stop in enumerate(np.append(first_P[1:], time_N.size)):
        period_P[p] = _mean_period(step_N[first_P[p] : stop - 1], period_P[p])
    keep_P = np.append(True, np.abs(np.diff(np.log(period_P))) > SAME_RATE)
    return first_P[keep_P], period_P[keep_P]


@njit(cache=True, nogil=True)
def _mean_period(step_N: Float, period: float) -> float:
    """Return the mean of the steps near a period, within a half."""
    for _ in range(3):
        total, number = 0.0, 0
        for step in step_N:
            if 0.5 * period < step < 1.5 * period:
                total += step
                number += 1
        if not number:
            return period
        period = total / number
    return period


@njit(cache=True, nogil=True)
def _chunk_periods(step_N: Float, chunk: int) -> Float:
    period_Q = np.empty(step_N.size // chunk)
    for q in range(period_Q.size):
        steps = step_N[q * chunk : (q + 1) * chunk]
        median = np.median(steps)
        if median <= 0:
            median = max(steps.mean(), 1.0)
        period_Q[q] = _mean_period(steps, median)
    return period_Q


@njit(cache=True, nogil=True)
def _changes(log_Q: Float, threshold: float) -> Int:
    """Return the chunks at which the rate changes: two in a row differ from those before by more than the threshold."""
    found = [0]
    level = log_Q[0] if log_Q.size < 3 else np.median(log_Q[:3])
    for q in range(log_Q.size):
        off = log_Q[q] - level
        if abs(off) <= threshold:
            level += 0.1 * off
        elif q + 1 < log_Q.size:
            later = log_Q[q + 1] - level
            if abs(later) > threshold and (later > 0) == (off > 0) and (q > found[-1] + 1 or q < 2):
                if q > 0:
                    found.append(q)
                level = log_Q[q + 1]
    return np.array(found)


def _part_periods(period_Q: Float, chunk_P: Int) -> Float:
    stop_P = np.append(chunk_P[1:], period_Q.size)
    return np.array([np.median(period_Q[a:b]) for a, b in zip(chunk_P.tolist(), stop_P.tolist(), strict=True)])


@njit(cache=True, nogil=True)
def _boundary(step_N: Float, first: int, stop: int, before: float, after: float) -> int:
    """Return the row after which steps fit the period `after` better than the one before."""
    stop = min(stop, step_N.size)
    best, best_cost, cost = first, 0.0, 0.0
    for i in range(first, stop):
        cost += min(1.0, abs(step_N[i] / before - 1)) - min(1.0, abs(step_N[i] / after - 1))
        if cost <= best_cost:  # also after a pause, which fits neither
            best, best_cost = i + 1, cost
    return best


def _look_ahead(time_N: Float, period: float) -> int:
    """Return how many rows decide whether a sample was lost, by the jitter of the first rows."""
    step_N = np.diff(time_N[:100_000])
    jitter = float(np.median(step_N) - np.quantile(step_N, 0.16)) / np.sqrt(2) / period if step_N.size else 0.0
    return next(rows for most, rows in LOOK_AHEAD if jitter < most)


@njit(cache=True, nogil=True)
def _index(
    time_N: Float, first: int, stop: int, period: float, ahead: int, step_N: Int, begins_N: NDArray[np.bool_]
) -> None:
    """Find how many samples each row of a part is after the one before it (0 lost: 1), and where segments begin."""
    begins_N[first] = True
    expected, pace = 0.0, period
    most = min(MAX_FILL, int(MAX_FILL_S * 1e6 / period))
    for i in range(first, stop):
        late = (time_N[i] - expected) / pace
        least = late
        for j in range(1, min(ahead, stop - i)):
            if least <= 0.5:
                break
            least = min(least, (time_N[i + j] - expected) / pace - j)
        lost = 0
        if i > first and least > 0.5:
            lost = int(np.floor(least + 0.5))
        is_set_back = i > first and late < -SET_BACK
        for j in range(1, min(max(ahead, SET_BACK_ROWS), stop - i)):
            if not is_set_back:
                break
            is_set_back = (time_N[i + j] - expected) / pace - j < -SET_BACK
        if i == first or lost > most or is_set_back:
            begins_N[i] = True
            rows = min(5, stop - i)
            offset = np.empty(rows)
            for j in range(rows):
                offset[j] = time_N[i + j] - j * pace
            start = np.median(offset)
            expected = (start if abs(start - time_N[i]) < FIRST_OFF * pace else time_N[i]) + pace
            continue
        step_N[i] = 1 + lost
        expected += lost * pace
        off = min(max(time_N[i] - expected, -pace), pace)
        pace = min(max(pace + 0.004 * off, 0.85 * period), 1.15 * period)
        expected += pace + 0.1 * off


@njit(cache=True, nogil=True)
def _fit(
    time_N: Float, sample_N: Int, row_G: Int, period_G: Float, bunch: float, off_N: NDArray[np.bool_]
) -> tuple[Int, Float, Float, Int, float]:
    """Return blocks (first sample, time, period, segment) and the squared distances of the stamps from them, summed.

    Knots are closer where the line leaves the stamps by more than their scatter explains, or bunches by over half a
    tick. off_N becomes True for rows that even then leave it by as much.
    """
    room = row_G.size + time_N.size // MIN_KNOT_ROWS + 1
    first_K, segment_K = np.empty(room, np.int64), np.empty(room, np.int64)
    time_K, period_K = np.empty(room), np.empty(room)
    blocks, squares = 0, 0.0
    for g in range(row_G.size):
        begin, end = row_G[g], row_G[g + 1] if g + 1 < row_G.size else time_N.size
        rows, period = end - begin, period_G[g]
        every = int(max(KNOT_ROWS, KNOT_S * 1e6 / period, KNOT_BUNCHES * bunch if bunch > 1 else 0))
        pieces = max(1, int(rows // every))
        row_Q = np.array([q * rows // pieces for q in range(pieces)] + [rows - 1])
        sample = sample_N[begin:end]
        off = time_N[begin:end] - sample * period
        tolerance, least = 0.0, max(MIN_KNOT_ROWS, math.ceil(2 * bunch))
        while True:
            knot_Q = sample[row_Q].astype(np.float64)
            off_Q = hat_fit(knot_Q, sample, off) if rows >= MIN_ROWS_FOR_RATE else np.full(row_Q.size, off.mean())
            if tolerance == 0:
                scatter = _scatter(row_Q, knot_Q, off_Q, sample, off)
                tolerance = max(MAX_DRIFT_US, 2 * scatter)
                if bunch > 1:
                    tolerance = max(HALF_TICK_US, 0.5 * period, 3 * scatter)
            closer_Q = _closer(row_Q, knot_Q, off_Q, sample, off, tolerance, least)
            if closer_Q.size == row_Q.size:
                break
            row_Q = closer_Q
        square = _squares(row_Q, knot_Q, off_Q, sample, off)
        limit = max(HALF_TICK_US, 0.5 * period, 3 * np.sqrt(square / rows))
        _mark(row_Q, knot_Q, off_Q, sample, off, limit, off_N[begin:end])
        squares += square
        for q in range(row_Q.size - 1):
            length = knot_Q[q + 1] - knot_Q[q]
            first_K[blocks], segment_K[blocks] = int(knot_Q[q]), g
            time_K[blocks] = knot_Q[q] * period + off_Q[q]
            period_K[blocks] = period + ((off_Q[q + 1] - off_Q[q]) / length if length > 0 else 0.0)
            blocks += 1
    return first_K[:blocks], time_K[:blocks], period_K[:blocks], segment_K[:blocks], squares


@njit(cache=True, nogil=True)
def _residual(sample: int, off: float, q: int, knot_Q: Float, off_Q: Float) -> float:
    length = knot_Q[q + 1] - knot_Q[q]
    slope = (off_Q[q + 1] - off_Q[q]) / length if length > 0 else 0.0
    return off - off_Q[q] - (sample - knot_Q[q]) * slope


@njit(cache=True, nogil=True)
def _scatter(row_Q: Int, knot_Q: Float, off_Q: Float, sample: Int, off: Float) -> float:
    """Return the usual distance of stamps from the line: a standard deviation that changes of rate hardly move."""
    left = np.empty(min(off.size, SCATTER_ROWS))
    q = 0
    for i in range(left.size):
        while q < row_Q.size - 2 and i >= row_Q[q + 1]:
            q += 1
        left[i] = abs(_residual(sample[i], off[i], q, knot_Q, off_Q))
    return 1.4826 * float(np.median(left))


@njit(cache=True, nogil=True)
def _closer(row_Q: Int, knot_Q: Float, off_Q: Float, sample: Int, off: Float, tolerance: float, least: int) -> Int:
    """Return the rows of the knots, with one more in every piece in which the mean of 8 residuals is too large.

    Pieces have `least` rows or more.
    """
    found = [0]
    for q in range(row_Q.size - 1):
        first, stop = row_Q[q], row_Q[q + 1]
        drift = 0.0
        for begin in range(first, stop - DRIFT_ROWS + 1, DRIFT_ROWS):
            total = 0.0
            for i in range(begin, begin + DRIFT_ROWS):
                total += _residual(sample[i], off[i], q, knot_Q, off_Q)
            drift = max(drift, abs(total) / DRIFT_ROWS)
        if drift > tolerance and stop - first >= 2 * least:
            found.append((first + stop) // 2)
        found.append(stop)
    return np.array(found)


@njit(cache=True, nogil=True)
def _squares(row_Q: Int, knot_Q: Float, off_Q: Float, sample: Int, off: Float) -> float:
    total = 0.0
    for q in range(row_Q.size - 1):
        for i in range(row_Q[q], row_Q[q + 1] + (q == row_Q.size - 2)):
            total += _residual(sample[i], off[i], q, knot_Q, off_Q) ** 2
    return total


@njit(cache=True, nogil=True)
def _mark(
    row_Q: Int, knot_Q: Float, off_Q: Float, sample: Int, off: Float, limit: float, off_N: NDArray[np.bool_]
) -> None:
    """Set off_N where the mean of 8 residuals is over the limit."""
    for q in range(row_Q.size - 1):
        for begin in range(row_Q[q], row_Q[q + 1], DRIFT_ROWS):
            stop = min(begin + DRIFT_ROWS, row_Q[q + 1])
            total = 0.0
            for i in range(begin, stop):
                total += _residual(sample[i], off[i], q, knot_Q, off_Q)
            if abs(total) > limit * (stop - begin):
                off_N[begin:stop] = True


def _different(period_P: Float, rows_P: Int) -> int:
    """Return the number of rates that differ by over 5%, among those that last for 0.1% of the rows or more."""
    period_P = np.sort(period_P[rows_P >= 0.001 * rows_P.sum()])
    rates, last = 0, 0.0
    for period in period_P.tolist():
        if period > last * (1 + SAME_RATE):
            rates, last = rates + 1, period
    return rates


@njit(cache=True, nogil=True)
def _fill(x_CN: NDArray[np.int16], sample_N: Int, begin_G: Int, out_CM: NDArray[np.int16]) -> None:
    """Interpolated values stay within those of the rows, so that a rail is one."""
    most = 0
    for c in range(3):
        for i in range(x_CN.shape[1]):
            most = max(most, int(x_CN[c, i]), -int(x_CN[c, i]))
    for c in range(3):
        for g in range(begin_G.size):
            begins, ends = begin_G[g], begin_G[g + 1] if g + 1 < begin_G.size else sample_N.size
            out_CM[c, sample_N[begins]] = x_CN[c, begins]
            for i in range(begins + 1, ends):
                out_CM[c, sample_N[i]] = x_CN[c, i]
                for place in range(sample_N[i - 1] + 1, sample_N[i]):
                    begin = min(max(i - TAPS // 2, begins), max(ends - TAPS, begins))
                    value = 0.0
                    for a in range(begin, min(begin + TAPS, ends)):
                        weight = 1.0
                        for b in range(begin, min(begin + TAPS, ends)):
                            if a != b:
                                weight *= (place - sample_N[b]) / (sample_N[a] - sample_N[b])
                        value += weight * x_CN[c, a]
                    out_CM[c, place] = min(max(np.rint(value), -most), most)
