"""Sums over each second of the device's clock, from the native samples: one pass that later steps share.

Whether a second is still, is on the rail, or has values that the device cannot give is decided on the raw samples,
before calibration and resampling smooth them. Sums of integers are exact, so the standard deviation of ten seconds
follows from their sums.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ingest.recording import Recording
from ingest.signal.timeline import Timeline
from pipeline.grid import SAMPLE_RATE_HZ, SECONDS_PER_DAY
from pipeline.numerics.jit import njit
from pipeline.numerics.moments import moments

BATCH = 60
"""Seconds whose sums are taken axis by axis: memory is read in long runs, which the processor foresees."""


@dataclass(frozen=True)
class Seconds:
    """Sums over every second of a recording's days, from the first midnight on.

    samples_S: int32, native samples; sum_CS, squares_CS: int64, sums of their counts and of the squared counts.
    rail_S: int32, samples on the rail on any axis; rail_ticks_S: int32, ticks to which such a sample is nearest.
    impossible_S: int32, samples beyond the device's range.
    """

    samples_S: NDArray[np.int32]
    sum_CS: NDArray[np.int64]
    squares_CS: NDArray[np.int64]
    rail_S: NDArray[np.int32]
    rail_ticks_S: NDArray[np.int32]
    impossible_S: NDArray[np.int32]


def summarise(recording: Recording, timeline: Timeline) -> Seconds:
    """The sums of every second of the recording's days."""
    size = timeline.days * SECONDS_PER_DAY
    seconds = Seconds(
        samples_S=np.zeros(size, np.int32),
        sum_CS=np.zeros((3, size), np.int64),
        squares_CS=np.zeros((3, size), np.int64),
        rail_S=np.zeros(size, np.int32),
        rail_ticks_S=np.zeros(size, np.int32),
        impossible_S=np.zeros(size, np.int32),
    )
    x_N, y_N, z_N = recording.counts_CN
    _sum(
        x_N,
        y_N,
        z_N,
        timeline.sample_R,
        timeline.sample_stop_R,
        timeline.second_R,
        timeline.period_R,
        recording.rail_counts,
        recording.limit_counts,
        seconds.samples_S,
        seconds.sum_CS,
        seconds.squares_CS,
        seconds.rail_S,
        seconds.rail_ticks_S,
        seconds.impossible_S,
    )
    return seconds


@njit(cache=True, nogil=True)
def _sum(
    x_N: NDArray[np.int16],
    y_N: NDArray[np.int16],
    z_N: NDArray[np.int16],
    sample_R: NDArray[np.float64],
    sample_stop_R: NDArray[np.float64],
    second_R: NDArray[np.float64],
    period_R: NDArray[np.float64],
    rail: int,
    limit: int,
    samples_S: NDArray[np.int32],
    sum_CS: NDArray[np.int64],
    squares_CS: NDArray[np.int64],
    rail_S: NDArray[np.int32],
    rail_ticks_S: NDArray[np.int32],
    impossible_S: NDArray[np.int32],
) -> None:
    edge_E, peak_E = np.empty(BATCH + 1, dtype=np.int64), np.empty(BATCH, dtype=np.int64)
    for r in range(sample_R.size):
        last_piece = r + 1 == sample_R.size or sample_R[r + 1] != sample_stop_R[r]
        stop = int(sample_stop_R[r]) + 1 if last_piece else int(np.ceil(sample_stop_R[r]))
        second = max(0, int(np.floor(second_R[r])))
        edge_E[0] = int(np.ceil(sample_R[r]))
        while edge_E[0] < stop and second < samples_S.size:
            count = 0
            while count < min(BATCH, samples_S.size - second) and edge_E[count] < stop:
                end = int(np.ceil(sample_R[r] + (second + count + 1 - second_R[r]) / period_R[r]))
                edge_E[count + 1] = max(edge_E[count], min(end, stop))
                count += 1
            peak_E[:count] = 0
            for c, axis_N in enumerate((x_N, y_N, z_N)):
                _add(axis_N, edge_E[: count + 1], sum_CS[c, second:], squares_CS[c, second:], peak_E)
            for e in range(count):
                begin, end = edge_E[e], edge_E[e + 1]
                samples_S[second + e] += end - begin
                if peak_E[e] >= rail:
                    piece = sample_R[r], second_R[r], period_R[r]
                    on_rail, ticks, impossible = _rail(x_N, y_N, z_N, begin, end, rail, limit, *piece)
                    rail_S[second + e] += on_rail
                    rail_ticks_S[second + e] += ticks
                    impossible_S[second + e] += impossible
            second += count
            edge_E[0] = edge_E[count]


@njit(cache=True, nogil=True)
def _add(
    x_N: NDArray[np.int16],
    edge_E: NDArray[np.int64],
    sum_S: NDArray[np.int64],
    squares_S: NDArray[np.int64],
    peak_E: NDArray[np.int64],
) -> None:
    """Add the samples of an axis between neighbouring edges to the sums of a second each; peak: largest magnitude."""
    for e in range(edge_E.size - 1):
        total, squares, least, most = moments(x_N, edge_E[e], edge_E[e + 1])
        sum_S[e] += total
        squares_S[e] += squares
        peak_E[e] = max(peak_E[e], -least, most)


@njit(cache=True, nogil=True)
def _rail(
    x_N: NDArray[np.int16],
    y_N: NDArray[np.int16],
    z_N: NDArray[np.int16],
    begin: int,
    end: int,
    rail: int,
    limit: int,
    sample: float,
    second: float,
    period: float,
) -> tuple[int, int, int]:
    """The number of samples on the rail, of ticks nearest to one, and of samples beyond the range.

    Sample i is taken at second + (i - sample) * period.
    """
    on_rail, ticks, impossible, tick = 0, 0, 0, -1
    for i in range(begin, end):
        peak = max(abs(int(x_N[i])), abs(int(y_N[i])), abs(int(z_N[i])))
        if peak >= rail:
            nearest = int((second + (i - sample) * period) * SAMPLE_RATE_HZ + 0.5)
            on_rail += 1
            ticks += nearest != tick
            tick = nearest
        impossible += peak > limit
    return on_rail, ticks, impossible
