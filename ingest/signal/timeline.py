"""The result of timing: the segments of a recording, and when each sample was taken."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.grid import SAMPLE_RATE_HZ, SECONDS_PER_DAY
from pipeline.numerics.resample import Course

ROUNDING_S = 1e-6
"""Fitted times are off by less where the device's stamps are exact."""


@dataclass(frozen=True)
class Timeline:
    """The samples of a recording on the clock of its device, in seconds since `midnight` of its first day.

    Segment g holds the samples first_G[g] <= i < stop_G[g], with no gap. Piece r of the fit belongs to
    segment segment_R[r]; in it, sample i is taken at second_R[r] + (i - sample_R[r]) * period_R[r], for
    i from sample_R[r] to sample_stop_R[r] (positions, which may be between samples).
    """

    midnight: np.datetime64
    first_G: NDArray[np.int64]
    stop_G: NDArray[np.int64]
    segment_R: NDArray[np.int64]
    sample_R: NDArray[np.float64]
    sample_stop_R: NDArray[np.float64]
    second_R: NDArray[np.float64]
    period_R: NDArray[np.float64]
    duplicate_blocks: int
    backward_blocks: int
    mended_stamps: int
    residual_ms: float
    """Root mean square distance of the stamps from the fit."""

    @property
    def rate_hz(self) -> float:
        """Mean true sample rate of the recording."""
        length_R = self.sample_stop_R - self.sample_R
        return float(length_R.sum() / (length_R * self.period_R).sum()) if length_R.sum() else 1 / self.period_R[0]

    @property
    def drift_ppm(self) -> float:
        """Difference between the longest and the shortest sample period of the fit, in millionths of their mean."""
        return float((self.period_R.max() - self.period_R.min()) / self.period_R.mean() * 1e6)

    def seconds_of(self, sample_X: NDArray[np.int64]) -> NDArray[np.float64]:
        """When samples of any segment were taken."""
        r_X = np.maximum(np.searchsorted(self.sample_R, sample_X, side="right") - 1, 0)
        return self.second_R[r_X] + (sample_X - self.sample_R[r_X]) * self.period_R[r_X]

    @property
    def start_G(self) -> NDArray[np.float64]:
        """Second of each segment's first sample."""
        return self.seconds_of(self.first_G)

    @property
    def end_G(self) -> NDArray[np.float64]:
        """Second of each segment's last sample."""
        return self.seconds_of(self.stop_G - 1)

    @property
    def days(self) -> int:
        """Calendar days from the first sample to the last."""
        return int(self.end_G[-1] // SECONDS_PER_DAY) + 1

    def instant(self, second: float) -> np.datetime64:
        """A second of this timeline as a time of the device's clock, in microseconds."""
        return self.midnight.astype("datetime64[us]") + np.timedelta64(round(second * 1e6), "us")

    def course(self) -> Course:
        """The positions of the ticks of the 30 Hz grid among the samples; tick 0 is at `midnight`."""
        begin_R = self.second_R * SAMPLE_RATE_HZ
        length_R = (self.sample_stop_R - self.sample_R) * self.period_R * SAMPLE_RATE_HZ
        first_R = np.ceil(begin_R - 1e-6).astype(np.int64)
        stop_R = np.floor(begin_R + length_R + 1e-6).astype(np.int64) + 1
        follows_R = np.flatnonzero(self.segment_R[1:] == self.segment_R[:-1])
        stop_R[follows_R] = first_R[follows_R + 1]
        stop_R[:-1] = np.minimum(stop_R[:-1], first_R[1:])
        step_R = 1 / (self.period_R * SAMPLE_RATE_HZ)
        keep_R = stop_R > first_R
        return Course(
            first_tick_R=first_R[keep_R],
            stop_tick_R=stop_R[keep_R],
            position_R=(self.sample_R + (first_R - begin_R) * step_R)[keep_R],
            step_R=step_R[keep_R],
            lo_R=self.first_G[self.segment_R][keep_R],
            hi_R=self.stop_G[self.segment_R][keep_R],
        )
