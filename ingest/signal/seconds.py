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
    for r in range(sample_R.size):
        first = int(np.ceil(sample_R[r]))
        last_piece = r + 1 == sample_R.size or sample_R[r + 1] != sample_stop_R[r]
        stop = int(sample_stop_R[r]) + 1 if last_piece else int(np.ceil(sample_stop_R[r]))
        start_s, period = second_R[r], period_R[r]
        second = max(0, int(np.floor(start_s)))
        begin = first
        while begin < stop and second < samples_S.size:
            end = int(np.ceil(sample_R[r] + (second + 1 - start_s) / period))
            end = max(begin, min(end, stop))
            peak = 0
            for c, axis_N in enumerate((x_N, y_N, z_N)):
                total, squares, least, most = moments(axis_N, begin, end)
                sum_CS[c, second] += total
                squares_CS[c, second] += squares
                peak = max(peak, -least, most)
            samples_S[second] += end - begin
            if peak >= rail:
                tick = -1
                for i in range(begin, end):
                    peak = max(abs(int(x_N[i])), abs(int(y_N[i])), abs(int(z_N[i])))
                    if peak >= rail:
                        rail_S[second] += 1
                        nearest = int((start_s + (i - sample_R[r]) * period) * SAMPLE_RATE_HZ + 0.5)
                        rail_ticks_S[second] += nearest != tick
                        tick = nearest
                    impossible_S[second] += peak > limit
            begin = end
            second += 1
