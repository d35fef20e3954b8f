"""When each sample was taken: a piecewise-linear fit of the device's own block stamps.

A device samples by one oscillator and stamps by another, its calendar clock. True rates are 97 to 103 Hz at a nominal
100 and drift with temperature; a stamp is off by up to two samples, because samples wait in a buffer. So neither a
single stamp nor the nominal rate is trusted: within a segment (`stamps`), time is a continuous line with a knot every
50 stamps (a minute of an AX3), fitted by least squares (linear splines; de Boor 1978, A Practical Guide to Splines).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ingest.recording import Recording
from ingest.signal.stamps import MIN_STAMPS_FOR_RATE, RATE_TOLERANCE, read_stamps
from ingest.signal.timeline import ROUNDING_S, Timeline
from pipeline.errors import UserError
from pipeline.grid import SECONDS_PER_DAY
from pipeline.numerics.jit import njit
from pipeline.numerics.linear_spline import hat_fit

STAMPS_PER_KNOT = 50
MAX_DAYS = 100
"""From first to last sample, whatever --max-days: memory holds the seconds of every day."""
MAX_CONTRADICTIONS = 0.01
"""As a share of the blocks: more are due to a clock that was set, not to stray stamps."""
ALLOWED_BLOCKS, ALLOWED_SHARE = 100, 0.1
"""Fewer contradictions than this number, or than this share of a short recording, are always allowed."""

MAX_OVERLAP_US = 2_000_000
"""Parts of a table overlap by less where stamps scatter; by more, the clock was set back."""

_DAY_US = SECONDS_PER_DAY * 1_000_000


class ContradictoryStamps(UserError):
    """Too many stamps contradict the others. `period` is the seconds a sample by those that are used."""

    def __init__(self, period: float, message: str) -> None:
        super().__init__(message)
        self.period = period


def fit(recording: Recording, max_days: int = MAX_DAYS) -> Timeline:
    """The timeline of a recording.

    Raises UserError when no block has a time, the true rate is more than 10% off the nominal one, or the recording
    spans more than `max_days`; ContradictoryStamps when the stamps of over 1% of the blocks contradict the others (time
    runs backwards, or jumps ahead by over a day).
    """
    max_days = min(max_days, MAX_DAYS)
    if not recording.stamped_K.any():
        raise UserError("no block has a calendar time: the device's clock was never set. Leave this recording out.")
    midnight_us = int(recording.stamp_us_K[recording.stamped_K.argmax()]) // _DAY_US * _DAY_US
    timeline = _of_pace(recording, midnight_us) if recording.pace else _of_stamps(recording, midnight_us, max_days)
    if timeline.days > max_days:
        raise UserError(too_long(timeline.days, max_days))
    return timeline


def _of_stamps(recording: Recording, midnight_us: int, max_days: int) -> Timeline:
    """The timeline of a recording with one rate, fitted to the stamps of its blocks."""
    stamps = read_stamps(recording, midnight_us, max_days * SECONDS_PER_DAY)
    blocks = recording.first_K.size
    limit = max(min(ALLOWED_BLOCKS, math.ceil(ALLOWED_SHARE * blocks) + 1), MAX_CONTRADICTIONS * blocks)
    if stamps.contradictions >= limit:
        raise ContradictoryStamps(
            stamps.period,
            f"the device's clock runs backwards, or jumps ahead by over a day: {stamps.contradictions:,} of "
            f"{blocks:,} blocks have times that contradict the others; up to {math.ceil(limit) - 1:,} are allowed. Its "
            "clock was set during the recording, or its rows are not in order or not evenly spaced: split, sort or "
            "resample it, or leave it out.",
        )
    if abs(stamps.period * recording.nominal_rate_hz - 1) > RATE_TOLERANCE:
        raise UserError(
            f"the device says {recording.nominal_rate_hz:g} Hz and its clock {1 / stamps.period:.4g} Hz; expected "
            f"them within {RATE_TOLERANCE:.0%}. The stamps or the header are damaged: leave this recording out."
        )
    segment_R, sample_R, sample_stop_R, second_R, period_R, residual = _fit_segments(
        stamps.first_G, stamps.stop_G, stamps.segment_S, stamps.sample_S, stamps.second_S, stamps.period
    )
    days = math.floor((second_R[0] + ROUNDING_S) / SECONDS_PER_DAY)  # from the first stamp to the first one used
    return Timeline(
        midnight=np.datetime64(midnight_us, "us").astype("datetime64[D]") + days,
        first_G=stamps.first_G,
        stop_G=stamps.stop_G,
        segment_R=segment_R,
        sample_R=sample_R,
        sample_stop_R=sample_stop_R,
        second_R=second_R - days * SECONDS_PER_DAY,
        period_R=period_R,
        duplicate_blocks=stamps.duplicate_blocks,
        backward_blocks=stamps.backward_blocks,
        mended_stamps=stamps.mended_stamps,
        residual_ms=residual * 1e3,
    )


def _of_pace(recording: Recording, midnight_us: int) -> Timeline:
    """The timeline of a recording whose blocks have a rate each: they are its pieces; raises ContradictoryStamps."""
    begins_K = np.diff(recording.sequence_K, prepend=recording.sequence_K[:1] - 2) != 1
    ends_K = np.append(begins_K[1:], True)
    stop_K = recording.first_K + recording.count_K
    assert recording.pace is not None
    end_us_K = recording.stamp_us_K + recording.count_K * recording.pace.period_us_K
    back = begins_K[1:] & (recording.stamp_us_K[1:] < end_us_K[:-1] - MAX_OVERLAP_US)
    if back.any():
        raise ContradictoryStamps(
            float(np.median(recording.pace.period_us_K)) * 1e-6,
            "the rows' clock runs backwards: it was set during the recording, or the rows are not in order: split or "
            "sort them, or leave the recording out.",
        )
    return Timeline(
        midnight=np.datetime64(midnight_us, "us").astype("datetime64[D]"),
        first_G=recording.first_K[begins_K],
        stop_G=stop_K[ends_K],
        segment_R=np.cumsum(begins_K) - 1,
        sample_R=recording.first_K.astype(np.float64),
        sample_stop_R=(stop_K - ends_K).astype(np.float64),
        second_R=(recording.stamp_us_K - midnight_us) * np.float64(1e-6),
        period_R=recording.pace.period_us_K * 1e-6,
        duplicate_blocks=0,
        backward_blocks=0,
        mended_stamps=0,
        residual_ms=recording.pace.jitter_ms,
    )


def too_long(days: int, max_days: int) -> str:
    """Why a recording of this many days is not accepted."""
    more = f"more than --max-days {max_days}" if max_days < MAX_DAYS else f"more than {MAX_DAYS}, the most that we read"
    return (
        f"it spans {days:,} days by its own clock, {more}: the clock was set during the recording, or its stamps are "
        "damaged. Where it was set, --clock keep-first or keep-last keeps one side"
    )


@njit(cache=True, nogil=True)
def _fit_segments(
    first_G: NDArray[np.int64],
    stop_G: NDArray[np.int64],
    segment_S: NDArray[np.int64],
    sample_S: NDArray[np.int64],
    second_S: NDArray[np.float64],
    period: float,
) -> tuple[
    NDArray[np.int64],
    NDArray[np.float64],
    NDArray[np.float64],
    NDArray[np.float64],
    NDArray[np.float64],
    float,
]:
    """The pieces of the fit (segment, first and last position, second, period) and its rms distance from the stamps."""
    room = first_G.size + segment_S.size // STAMPS_PER_KNOT
    segment_R = np.empty(room, dtype=np.int64)
    sample_R, sample_stop_R, second_R, period_R = np.empty(room), np.empty(room), np.empty(room), np.empty(room)
    pieces = 0
    squares = 0.0
    begin = 0
    for g in range(first_G.size):
        end = begin
        while end < segment_S.size and segment_S[end] == g:
            end += 1
        stamps = end - begin
        parts = max(1, stamps // STAMPS_PER_KNOT)
        knot_Q = np.empty(parts + 1)
        knot_Q[0], knot_Q[parts] = first_G[g], stop_G[g] - 1
        for q in range(1, parts):
            knot_Q[q] = sample_S[begin + q * stamps // parts]
        sample, off = sample_S[begin:end], second_S[begin:end] - sample_S[begin:end] * period
        off_Q = hat_fit(knot_Q, sample, off) if stamps >= MIN_STAMPS_FOR_RATE else np.full(parts + 1, off.mean())
        for q in range(parts):
            length = knot_Q[q + 1] - knot_Q[q]
            segment_R[pieces] = g
            sample_R[pieces], sample_stop_R[pieces] = knot_Q[q], knot_Q[q + 1]
            second_R[pieces] = knot_Q[q] * period + off_Q[q]
            period_R[pieces] = period + ((off_Q[q + 1] - off_Q[q]) / length if length > 0 else 0.0)
            pieces += 1
        q = 0
        for s in range(stamps):
            while q < parts - 1 and sample[s] >= knot_Q[q + 1]:
                q += 1
            length = knot_Q[q + 1] - knot_Q[q]
            slope = (off_Q[q + 1] - off_Q[q]) / length if length > 0 else 0.0
            squares += (off[s] - off_Q[q] - (sample[s] - knot_Q[q]) * slope) ** 2
        begin = end
    return (
        segment_R[:pieces],
        sample_R[:pieces],
        sample_stop_R[:pieces],
        second_R[:pieces],
        period_R[:pieces],
        np.sqrt(squares / max(1, segment_S.size)),
    )
