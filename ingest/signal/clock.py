"""Recordings whose clock was set while they ran: only the user can say which side is right.

The sides of such a recording are found by the median course of its stamps, which stray stamps do not change. Without
an answer the recording is rejected, with what each answer would keep. `keep-first` and `keep-last` keep one side.
`split` keeps all sides at their own times, with gaps between them; where two overlap, the later one loses the overlap.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ingest.recording import Recording
from ingest.settings import ClockChoice
from ingest.signal.stamps import GAP_PERIODS, MAX_JUMP_S
from ingest.signal.timeline import Timeline
from ingest.signal.timing import MAX_DAYS, ContradictoryStamps, fit, too_long
from pipeline.errors import UserError
from pipeline.grid import SECONDS_PER_DAY

MEDIAN_BLOCKS = 21
"""Stamps whose median shows the course of the clock: up to ten stray ones in a row are not a clock that was set."""
MIN_STEP_S = 1.0
"""A clock that was set back by less is a matter of stray stamps."""
MAX_SIDES = 10
"""More sides are not a clock that was set, but one that is noise."""


@dataclass(frozen=True)
class Side:
    """Blocks first <= k < stop of a recording, between two settings of its clock; seconds since 1970 by that clock."""

    first: int
    stop: int
    begin: float
    end: float

    @property
    def hours(self) -> float:
        """Its length."""
        return (self.end - self.begin) / 3600


def timed(
    recording: Recording, choice: ClockChoice | None, max_days: int = MAX_DAYS
) -> tuple[Recording, Timeline, bool]:
    """The blocks of a recording that are used, their timeline, and whether `choice` was needed.

    Raises UserError for a recording that `fit` does not accept, and for one whose clock was set if there is no choice.
    """
    try:
        return recording, fit(recording, max_days), False
    except ContradictoryStamps as error:
        max_days = min(max_days, MAX_DAYS)
        second_K = _course(recording, error.period)
        period = error.period
        sides = _sides(recording, second_K, period, max_days * SECONDS_PER_DAY)
        if not 2 <= len(sides) <= MAX_SIDES:
            raise
        if choice is None:
            raise UserError(_question(sides, max_days)) from None
    if choice == "split" and (days := _days(sides)) > max_days:
        raise UserError(too_long(days, max_days))
    in_time = sorted(sides, key=lambda side: side.begin)
    kept = {"keep-first": sides[:1], "keep-last": sides[-1:], "split": in_time}[choice]
    chosen = _only(recording, kept, second_K, 2 * GAP_PERIODS * period)
    timeline = fit(chosen, max_days)
    dropped = recording.first_K.size - chosen.first_K.size
    return chosen, replace(timeline, backward_blocks=timeline.backward_blocks + dropped), True


def _course(recording: Recording, period: float) -> NDArray[np.float64]:
    """When each block begins by the median of the stamps around it, in seconds since 1970."""
    if recording.pace:
        return recording.stamp_us_K * np.float64(1e-6)
    stamped = np.flatnonzero(recording.stamped_K)
    offset_X = recording.stamp_us_K[stamped] * 1e-6 - recording.stamp_sample_K[stamped] * period
    half = MEDIAN_BLOCKS // 2
    padded = np.pad(offset_X, half, mode="reflect")
    offset_X = np.median(np.lib.stride_tricks.sliding_window_view(padded, MEDIAN_BLOCKS), axis=1)
    before_K = np.searchsorted(stamped, np.arange(recording.first_K.size), side="right") - 1
    return offset_X[np.maximum(before_K, 0)] + recording.first_K * period


def _sides(recording: Recording, second_K: NDArray[np.float64], period: float, max_pause: float) -> list[Side]:
    """The sides of a recording in the order of the file; a single one where its clock was never set."""
    period_K = recording.pace.period_us_K * 1e-6 if recording.pace else np.full(second_K.size, period)
    end_K = second_K + recording.count_K * period_K
    late = second_K[1:] - end_K[:-1]
    missing = np.maximum(np.diff(recording.sequence_K) - 1, 0) * recording.count_K[:-1] * period_K[:-1]
    is_pause = recording.resumed_K[1:] if recording.resumed_K.size else np.zeros(late.size, dtype=np.bool_)
    is_pause = is_pause | (not recording.is_counted)
    is_set = (late < -MIN_STEP_S) | (late - missing > np.where(is_pause, max_pause, MAX_JUMP_S))
    bounds = [0, *(np.flatnonzero(is_set) + 1).tolist(), recording.first_K.size]
    return [Side(a, b, float(second_K[a]), float(end_K[b - 1])) for a, b in pairwise(bounds)]


def _only(recording: Recording, sides: list[Side], second_K: NDArray[np.float64], apart: float) -> Recording:
    """The recording with the blocks of some sides, which follow one another in time, so many seconds apart.

    Overlaps are left out.
    """
    parts, end = [], -np.inf
    for side in sides:
        first = side.first + int(np.searchsorted(second_K[side.first : side.stop], end))
        if first < side.stop:
            parts.append(np.arange(first, side.stop))
        end = max(end, side.end + apart)
    blocks = np.concatenate(parts)
    count_K = recording.count_K[blocks]
    first_K = np.cumsum(count_K) - count_K
    resumed_K = np.isin(blocks, [part[0] for part in parts])
    if recording.resumed_K.size:
        resumed_K |= recording.resumed_K[blocks]
    samples = [
        recording.counts_CN[:, recording.first_K[part[0]] : recording.first_K[part[-1]] + recording.count_K[part[-1]]]
        for part in parts
    ]
    return replace(
        recording,
        counts_CN=np.concatenate(samples, axis=1),
        first_K=first_K,
        count_K=count_K,
        sequence_K=recording.sequence_K[blocks],
        stamp_sample_K=first_K + (recording.stamp_sample_K - recording.first_K)[blocks],
        stamp_us_K=recording.stamp_us_K[blocks],
        stamped_K=recording.stamped_K[blocks],
        celsius_K=recording.celsius_K[blocks],
        resumed_K=resumed_K,
        idle_spans_us=_idle_within(recording.idle_spans_us, sides),
        pace=recording.pace and replace(recording.pace, period_us_K=recording.pace.period_us_K[blocks]),
    )


def _idle_within(idle_spans_us: NDArray[np.int64], sides: list[Side]) -> NDArray[np.int64]:
    """The spans of idle sleep within the sides."""
    begin_M, end_M = idle_spans_us.T * 1e-6
    within = [(begin_M >= side.begin) & (end_M <= side.end) for side in sides]
    return idle_spans_us[np.any(within, axis=0)]


def _days(sides: list[Side]) -> int:
    first, last = min(side.begin for side in sides), max(side.end for side in sides)
    return int(last // SECONDS_PER_DAY - first // SECONDS_PER_DAY) + 1


def _question(sides: list[Side], max_days: int) -> str:
    """What was found and what each choice keeps, without dates, which some stores must not contain."""
    if (days := _days(sides)) > max_days:
        return too_long(days, max_days)
    steps = ", ".join(_step(*pair) for pair in pairwise(sides))
    before, after = _length(sides[0].hours), _length(sides[-1].hours)
    return (
        f"the device's clock runs backwards, or jumps ahead by over a day: {steps}. --clock keep-first keeps the "
        f"{before} before, keep-last the {after} after, split keeps all at their own times, without an overlap."
    )


def _step(before: Side, after: Side) -> str:
    """How the clock was set between two sides."""
    hours = (after.begin - before.end) / 3600
    way = "ahead" if hours > 0 else "back"
    return f"after {_length(before.hours)} it was set {way} by {_length(abs(hours))}"


def _length(hours: float) -> str:
    return f"{hours:,.1f} h" if hours >= 0.95 else f"{60 * hours:,.1f} min"
