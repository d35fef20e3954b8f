"""The state of every second of a recording: measured, idle sleep, gap, clipped, non-wear, bad."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ingest.recording import Recording
from ingest.signal.seconds import Seconds
from ingest.signal.timeline import ROUNDING_S, Timeline
from pipeline.grid import SAMPLE_RATE_HZ, TICKS_PER_SECOND
from pipeline.numerics.resample import Course
from pipeline.store.states import BAD, CLIPPED, GAP, IDLE, MEASURED, NONWEAR

RAIL_SECONDS = 0.5
"""A second with this much on the device's rail is bad."""


def segment_ticks(course: Course) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First tick, and the tick after the last, of each contiguous segment that holds a tick."""
    begins = np.flatnonzero(np.diff(course.lo_R, prepend=-1))
    ends = np.append(begins[1:], course.lo_R.size)[: begins.size] - 1
    return course.first_tick_R[begins], course.stop_tick_R[ends]


def coverage(
    recording: Recording, timeline: Timeline, course: Course, reach: int | NDArray[np.int64], seconds: int
) -> NDArray[np.uint8]:
    """The bits measured, idle and gap of the first `seconds` seconds, and bad at the edges of segments.

    At an edge, a filter that reaches `reach` samples to both sides (in all or each of the course's pieces) lacks
    samples.
    """
    rate_R = course.step_R * SAMPLE_RATE_HZ if recording.pace else timeline.rate_hz
    lost_R = np.ceil(np.broadcast_to(reach / rate_R * SAMPLE_RATE_HZ, course.lo_R.shape)).astype(np.int64)
    first_G, stop_G = segment_ticks(course)
    lost = lost_R[np.flatnonzero(np.diff(course.lo_R, prepend=-1))]
    ticks_S = _ticks(first_G, stop_G, seconds)
    midnight_us = timeline.midnight.astype("datetime64[us]").astype(np.int64)
    idle_M2 = np.rint((recording.idle_spans_us - midnight_us) * (SAMPLE_RATE_HZ * 1e-6)).astype(np.int64)
    idle_S = _ticks(idle_M2[:, 0], idle_M2[:, 1], seconds)
    touched_S = np.zeros(seconds, dtype=bool)
    touched_S[int(timeline.start_G[0] + ROUNDING_S) : int(timeline.end_G[-1]) + 1] = True
    edge_S = _ticks(first_G, np.minimum(first_G + lost, stop_G), seconds)
    edge_S += _ticks(np.maximum(stop_G - lost, first_G), stop_G, seconds)
    measured_S = ticks_S >= TICKS_PER_SECOND
    state_S = np.where(measured_S, MEASURED, 0).astype(np.uint8)
    state_S[~measured_S & (idle_S > 0)] |= IDLE
    state_S[touched_S & (ticks_S + idle_S < TICKS_PER_SECOND)] |= GAP
    state_S[edge_S > 0] |= BAD
    return state_S


def flags(seconds: Seconds, rate_hz: float | NDArray[np.int32]) -> NDArray[np.uint8]:
    """The bits clipped, and bad where half a second is on the rail or a value is beyond the device's range."""
    bad_S = (seconds.rail_S >= RAIL_SECONDS * rate_hz) | (seconds.impossible_S > 0)
    return np.where(seconds.rail_S > 0, CLIPPED, 0).astype(np.uint8) | np.where(bad_S, BAD, 0).astype(np.uint8)


def with_nonwear(state_S: NDArray[np.uint8], nonwear_S: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The states with the bit non-wear, which only seconds that are measured or idle get."""
    known_S = (state_S & (MEASURED | IDLE)) != 0
    return state_S | np.where(known_S & nonwear_S, NONWEAR, 0).astype(np.uint8)


def _ticks(first_G: NDArray[np.int64], stop_G: NDArray[np.int64], seconds: int) -> NDArray[np.int64]:
    """The number of ticks of each second that are in spans of ticks; spans may reach beyond the seconds."""
    first_G, stop_G = (np.clip(tick_G, 0, seconds * TICKS_PER_SECOND) for tick_G in (first_G, stop_G))
    change_S = np.zeros(seconds + 2, dtype=np.int64)
    for tick_G, sign in ((first_G, 1), (stop_G, -1)):
        second_G, rest_G = np.divmod(tick_G, TICKS_PER_SECOND)
        np.add.at(change_S, second_G, sign * (TICKS_PER_SECOND - rest_G))
        np.add.at(change_S, second_G + 1, sign * rest_G)
    return np.cumsum(change_S)[:seconds]
