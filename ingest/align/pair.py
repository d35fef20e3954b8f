"""Align two recordings of one participant: coarse, fine, a line, and a row for each pair of days that it joins.

Ticks and seconds are those of a device's own clock, counted from 1970-01-01, so that the difference of two clocks is a
lag whatever the days.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ingest.align.coarse import MAX_CLOCK_S, MIN_OVERLAP_S, Float, find_peak
from ingest.align.fine import SHORT_S, SHORT_STRETCH_S, STRETCH_S, Stretch, correlate, magnitude
from ingest.align.line import Line, clearness, consensus, fit
from pipeline.grid import AXES, FILL, SECONDS_PER_DAY, TICKS_PER_DAY, TICKS_PER_HOUR, TICKS_PER_SECOND, WINDOW_SECONDS
from pipeline.store.alignments import REFUSED, Alignment, shared_starts
from pipeline.store.day_reader import DayReader, StoredDay
from pipeline.store.states import eligible, eligible_starts

METHOD = "motion 1 s, magnitude 30 Hz, line"
NEVER_TOGETHER, NO_PEAK = "never worn at the same time", "no clear peak"
CLOCKS, NO_LINE = f"clocks differ by over {MAX_CLOCK_S // 3600} hours", "offsets on no line"
SEVERAL_LINES = "offsets on several lines"
NO_WINDOW = "no window eligible in both"

BLOCK_S = 3 * 3_600
"""In each block of this length, the stretches of one hour are compared."""
MARGIN_S = 20
"""Lags on both sides of the coarse one, besides its blur."""
MIN_CORRELATION = 0.1
"""Of a stretch that counts."""
MIN_STRETCHES, MIN_WEIGHT = 6, 0.25
"""Stretches, and the share of all weight (squared correlation), that have to be on the line."""
MIN_CLEARNESS = 2.0
"""Of the line's weight to that of a parallel line a few steps away."""
NEAR_TICKS = 6
"""How far from the line a stretch's peak is looked for, once the line is known."""
LOCAL_DAYS = 1.5
"""A day's line is fitted to the stretches within this many days of its middle: drift changes with temperature."""
MAX_SD_TICKS = 1.0
"""A row is valid where the offset is this certain."""
OPEN_DAYS = 3


@dataclass(frozen=True)
class RecordedDay:
    """A person-day: its slot, and its day as a number from 1970-01-01."""

    slot: int
    day: int


Days = tuple[RecordedDay, ...]


@dataclass(frozen=True)
class Pair:
    """Two recordings of one participant, by their person-days in order."""

    days: Days
    other_days: Days

    @property
    def slots(self) -> tuple[int, int]:
        """The first slots of both, by which the pair is known."""
        return self.days[0].slot, self.other_days[0].slot

    @property
    def seconds(self) -> int:
        """From the first to the last day, of both."""
        return sum((days[-1].day - days[0].day + 1) * SECONDS_PER_DAY for days in (self.days, self.other_days))


def align(pair: Pair, reader: DayReader, counts_per_g: float) -> list[Alignment]:
    """Return the rows of a pair: two for each pair of days, or two that say why it was refused.

    Raises UnreadableDay for a missing or damaged day.
    """
    recorded, other = (Recorded(days, reader, counts_per_g) for days in (pair.days, pair.other_days))
    peak = find_peak(recorded.motion_S, other.motion_S, other.first_s - recorded.first_s)
    if peak is None:
        return refused(pair, NEVER_TOGETHER)
    together = shared_seconds(recorded, other, 0) >= MIN_OVERLAP_S
    if not peak.is_clear:
        return refused(pair, NO_PEAK if together else NEVER_TOGETHER, 0, peak.correlation)
    found = find_line(read_stretches(recorded, other, peak.lag_s, MARGIN_S + peak.blur_s))
    if isinstance(found, str):
        return refused(pair, found if together else NEVER_TOGETHER, peak.lag_s, peak.correlation)
    if abs(peak.lag_s) > MAX_CLOCK_S:
        return refused(pair, CLOCKS, peak.lag_s, peak.correlation)
    tick_N, offset_N, correlation_N = found
    rows = []
    for day in pair.days:
        line = _line_of_day(day, tick_N, offset_N, correlation_N)
        for there in pair.other_days:
            rows += _rows(day, there, line, float(np.median(correlation_N)), recorded, other)
    return rows or refused(pair, NO_WINDOW, peak.lag_s, peak.correlation)


def refused(pair: Pair, reason: str, lag_s: int = 0, correlation: float = 0.0) -> list[Alignment]:
    """The two rows by which a refused pair is remembered: valid for no second."""
    slot, other = pair.slots
    row = Alignment(slot, other, 0, 0, lag_s * TICKS_PER_SECOND, 0.0, correlation, REFUSED + reason, 0, 0, 0)
    return [row, replace(row, slot=other, other_slot=slot, offset_ticks=-row.offset_ticks)]


class Recorded:
    """The days of a recording as one series, read when needed."""

    def __init__(self, days: Days, reader: DayReader, counts_per_g: float) -> None:
        self.days, self._reader, self._counts_per_g = {day.day: day.slot for day in days}, reader, counts_per_g
        self.first_day = days[0].day
        self.first_s = self.first_day * SECONDS_PER_DAY
        self.motion_S: Float = np.full((days[-1].day - days[0].day + 1) * SECONDS_PER_DAY, np.nan, np.float32)
        """Motion of eligible seconds in g, NaN elsewhere."""
        self.eligible: dict[int, NDArray[np.bool_]] = {}
        """By slot: eligible seconds."""
        for day in days:
            motion_S, state_S = StoredDay(day.slot, reader).states()
            self.eligible[day.slot] = eligible(state_S)
            first = (day.day - self.first_day) * SECONDS_PER_DAY
            self.motion_S[first : first + SECONDS_PER_DAY] = np.where(eligible(state_S), motion_S, np.nan)
        self._open: OrderedDict[int, StoredDay] = OrderedDict()

    def motion(self, first_s: int, count: int) -> Float:
        """Motion of some seconds, NaN outside the recording."""
        motion_S = np.full(count, np.nan, np.float32)
        begin, end = max(first_s - self.first_s, 0), min(first_s - self.first_s + count, self.motion_S.size)
        if begin < end:
            at = begin - (first_s - self.first_s)
            motion_S[at : at + end - begin] = self.motion_S[begin:end]
        return motion_S

    def magnitude(self, first_tick: int, count: int) -> Float:
        """The fast part of the magnitude in g of some ticks, 0 where it is not measured."""
        signal_CT = np.full((AXES, count), FILL, np.int16)
        hour = first_tick // TICKS_PER_HOUR
        while hour * TICKS_PER_HOUR < first_tick + count:
            day, of_day = divmod(hour, TICKS_PER_DAY // TICKS_PER_HOUR)
            if day in self.days:
                for _, hour_CT in self._opened(self.days[day]).hours([of_day]):
                    start = hour * TICKS_PER_HOUR - first_tick
                    begin, end = max(start, 0), min(start + TICKS_PER_HOUR, count)
                    signal_CT[:, begin:end] = hour_CT[:, begin - start : end - start]
            hour += 1
        return magnitude(signal_CT, FILL, self._counts_per_g)

    def _opened(self, slot: int) -> StoredDay:
        """An opened day; few are kept, because from object storage each is in memory."""
        if slot not in self._open:
            self._open[slot] = self._reader.open_day(slot)
            if len(self._open) > OPEN_DAYS:
                self._open.popitem(last=False)
        self._open.move_to_end(slot)
        return self._open[slot]


def shared_seconds(recorded: Recorded, other: Recorded, lag_s: int) -> int:
    """Seconds that are eligible in both, if the other clock shows `lag_s` more."""
    there_S = other.motion(recorded.first_s + lag_s, recorded.motion_S.size)
    return int((np.isfinite(recorded.motion_S) & np.isfinite(there_S)).sum())


def read_stretches(recorded: Recorded, other: Recorded, lag_s: int, margin_s: int) -> list[Stretch]:
    """Correlate the stretches of some hours: in every block, the hour in which both devices moved most."""
    stretches: list[Stretch] = []
    length = TICKS_PER_SECOND * (SHORT_STRETCH_S if shared_seconds(recorded, other, lag_s) < SHORT_S else STRETCH_S)
    for first_s in range(recorded.first_s, recorded.first_s + recorded.motion_S.size, BLOCK_S):
        own_S, there_S = recorded.motion(first_s, BLOCK_S), other.motion(first_s + lag_s, BLOCK_S)
        both_S = np.nan_to_num(np.sqrt(np.minimum(own_S, 1.0) * np.minimum(there_S, 1.0)))
        hour_H = both_S.reshape(-1, 3_600).sum(1)
        if hour_H.max() > 0:
            hour_s = first_s + 3_600 * int(np.argmax(hour_H))
            stretches += _stretches_of_hour(recorded, other, hour_s, lag_s, margin_s, length)
    return stretches


def _stretches_of_hour(
    recorded: Recorded, other: Recorded, first_s: int, lag_s: int, margin_s: int, length: int
) -> list[Stretch]:
    margin = margin_s * TICKS_PER_SECOND
    first, first_lag = first_s * TICKS_PER_SECOND, (lag_s - margin_s) * TICKS_PER_SECOND
    own_T = recorded.magnitude(first, TICKS_PER_HOUR)
    there_T = other.magnitude(first + first_lag, TICKS_PER_HOUR + 2 * margin)
    found = []
    for start in range(0, TICKS_PER_HOUR, length):
        own, there = own_T[start : start + length], there_T[start : start + length + 2 * margin]
        stretch = correlate(own, there, first + start + length // 2, first_lag)
        found += [stretch] if stretch is not None else []
    return found


def find_line(stretches: list[Stretch]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]] | str:
    """Return tick, offset and correlation of the stretches on the line, or the reason why there is none."""
    peaks = np.array([(stretch.tick, *stretch.peak()) for stretch in stretches]).reshape(-1, 3)
    peaks = peaks[peaks[:, 2] >= MIN_CORRELATION]
    if len(peaks) < MIN_STRETCHES:
        return NO_LINE
    tick_N, offset_N, correlation_N = peaks.T
    weight_N = correlation_N**2
    line = consensus(tick_N, offset_N, weight_N)
    on = np.abs(offset_N - line.at(tick_N)) <= NEAR_TICKS
    if on.sum() < MIN_STRETCHES or weight_N[on].sum() < MIN_WEIGHT * weight_N.sum():
        return NO_LINE
    if clearness(line, tick_N, offset_N, weight_N) < MIN_CLEARNESS:
        return SEVERAL_LINES
    line = fit(tick_N[on], offset_N[on], correlation_N[on])
    again = [(stretch.tick, *stretch.peak_near(float(line.at(stretch.tick)), NEAR_TICKS)) for stretch in stretches]
    near = np.array(again).reshape(-1, 3)
    near = near[near[:, 2] >= MIN_CORRELATION]
    return near[:, 0], near[:, 1], near[:, 2]


def _line_of_day(
    day: RecordedDay, tick_N: NDArray[np.float64], offset_N: NDArray[np.float64], weight_N: NDArray[np.float64]
) -> Line:
    """The line by the stretches around a day; by all, if these are few."""
    middle = (day.day + 0.5) * TICKS_PER_DAY
    near_N = np.abs(tick_N - middle) <= LOCAL_DAYS * TICKS_PER_DAY
    if near_N.sum() < MIN_STRETCHES:
        near_N[:] = True
    return fit(tick_N[near_N], offset_N[near_N], weight_N[near_N])


def _rows(
    day: RecordedDay, there: RecordedDay, line: Line, correlation: float, recorded: Recorded, other: Recorded
) -> list[Alignment]:
    """The row from one day to the other and the row back; none if they share no window."""
    reach = line.ticks_within(MAX_SD_TICKS)
    start, start_there = day.day * TICKS_PER_DAY, there.day * TICKS_PER_DAY
    # the other day begins and ends at these ticks of ours
    begin, end = (_inverse(line, start_there + tick) for tick in (0, TICKS_PER_DAY))
    first = np.ceil((max(begin, line.tick - reach, start) - start) / TICKS_PER_SECOND)
    last = np.floor((min(end, line.tick + reach, start + TICKS_PER_DAY) - start) / TICKS_PER_SECOND)
    if last - first < min(WINDOW_SECONDS):
        return []
    tick = start + first * TICKS_PER_SECOND
    offset = float(line.at(tick)) + start - start_there
    row = Alignment(
        day.slot, there.slot, int(first), int(last - first), offset, line.drift * 1e6, correlation, METHOD, 0, 0, 0
    )
    rows = [row, mirrored(row)]
    states = recorded.eligible | other.eligible
    counted = [with_counts(each, states[each.slot], states[each.other_slot]) for each in rows]
    return counted if any(each.eligible_5s for each in counted) else []


def _inverse(line: Line, other_tick: float) -> float:
    """The tick at which the other clock shows `other_tick`."""
    return (other_tick - line.offset + line.drift * line.tick) / (1 + line.drift)


def mirrored(row: Alignment) -> Alignment:
    """The same alignment, seen from the other day: its whole seconds within the row's ticks."""
    drift = row.drift_ppm / 1e6
    tick = row.first_second * TICKS_PER_SECOND
    begin = tick + row.offset_ticks
    first = int(np.ceil(max(begin, 0.0) / TICKS_PER_SECOND))
    end = min(begin + row.seconds * TICKS_PER_SECOND * (1 + drift), TICKS_PER_DAY)
    last = int(np.floor(end / TICKS_PER_SECOND))
    offset = tick + (first * TICKS_PER_SECOND - begin) / (1 + drift) - first * TICKS_PER_SECOND
    back = (1 / (1 + drift) - 1) * 1e6
    return replace(
        row,
        slot=row.other_slot,
        other_slot=row.slot,
        first_second=first,
        seconds=max(last - first, 0),
        offset_ticks=offset,
        drift_ppm=back,
    )


def with_counts(row: Alignment, own_S: NDArray[np.bool_], other_S: NDArray[np.bool_]) -> Alignment:
    """The row with its numbers of starts, from the eligible seconds of both days."""

    def count(length: int) -> int:
        own_starts_S, other_starts_S = eligible_starts(own_S, length), eligible_starts(other_S, length)
        return int(shared_starts(own_starts_S, other_starts_S, row, length).sum())

    return replace(row, eligible_5s=count(5), eligible_10s=count(10), eligible_30s=count(30))
