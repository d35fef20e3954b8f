"""Ten-second windows in which the device lay still: the basis of calibration and of non-wear.

Still: the standard deviation of every axis is under 13 mg, in the raw signal at its native rate (van Hees et al. 2011,
doi:10.1371/journal.pone.0022922; 13 mg is just above the noise of the devices). Windows are aligned with the device's
clock: the first begins at midnight.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ingest.recording import Recording
from ingest.signal.seconds import Seconds

WINDOW_SECONDS = 10
STILL_G = 0.013


@dataclass(frozen=True)
class StationaryWindows:
    """All ten-second windows of the days of a recording, still or not.

    still_W: no movement in the measured samples, at least a second of them, or idle sleep, in which the device stays at
        its last value.
    complete_W: all ten seconds were measured.
    mean_CW, deviation_CW: mean and standard deviation in g, raw; NaN where nothing was measured.
    """

    still_W: NDArray[np.bool_]
    complete_W: NDArray[np.bool_]
    mean_CW: NDArray[np.float64]
    deviation_CW: NDArray[np.float64]


def stationary_windows(
    seconds: Seconds, measured_S: NDArray[np.bool_], idle_S: NDArray[np.bool_], recording: Recording
) -> StationaryWindows:
    """The windows, from the sums of their seconds: exact, because the sums are integers."""
    samples_W = np.einsum("ws->w", seconds.samples_S.reshape(-1, WINDOW_SECONDS), dtype=np.int64)
    sum_CW, squares_CW = (
        np.einsum("cws->cw", sum_CS.reshape(3, -1, WINDOW_SECONDS)) for sum_CS in (seconds.sum_CS, seconds.squares_CS)
    )
    g_C1 = recording.g_per_count_C[:, None]
    most_CW = (STILL_G / g_C1 * samples_W) ** 2
    unmoved_W = np.all(samples_W * squares_CW - sum_CW * sum_CW < most_CW, axis=0)
    enough_W = samples_W >= recording.nominal_rate_hz
    idle_W = np.any(idle_S.reshape(-1, WINDOW_SECONDS), axis=1)
    with np.errstate(invalid="ignore"):
        mean_CW = sum_CW / samples_W * g_C1 + recording.offset_g_C[:, None]
        deviation_CW = np.sqrt(samples_W * squares_CW - sum_CW * sum_CW) / samples_W * g_C1
    return StationaryWindows(
        still_W=(enough_W & unmoved_W) | (~enough_W & idle_W),
        complete_W=np.all(measured_S.reshape(-1, WINDOW_SECONDS), axis=1),
        mean_CW=mean_CW,
        deviation_CW=deviation_CW,
    )
