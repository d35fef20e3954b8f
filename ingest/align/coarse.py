"""The seconds by which one device's clock is ahead of another's, from the motion of every second.

What both devices see is when the person moves and how much. The logarithm of motion, without its mean over ten minutes
(or the rhythm of day and night would correlate at any lag), is cross-correlated over all lags at once by Fourier
transforms. A correlation counts with the root of the seconds it is over. A pair is refused unless the highest peak
stands clear of every other one: by chance, and with movements that repeat, there are several alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft

Float = NDArray[np.float32]

MAX_LAG_S = 50 * 3_600
"""Lags that are searched: clocks that are wrong by up to two days are recognised."""
MAX_CLOCK_S = 14 * 3_600
"""Lags that are accepted: clocks may be set to different time zones, but not to different dates."""
MIN_OVERLAP_S = 300
"""Seconds that both devices were worn."""
MEAN_S = 600
"""Length of the mean that is subtracted."""
FLOOR_G = 0.01
"""Motion that a device's noise may show."""
MIN_BLUR_S, DRIFT = 3, 40e-6
"""Motion is averaged over this many seconds, or over those by which clocks drift apart during the recordings."""
RIVAL_S = 300
"""Peaks further away than this are rivals of the highest."""
MIN_RATIO = 1.2
"""Of the highest peak to its highest rival."""


@dataclass(frozen=True)
class Peak:
    """The lag with the highest correlation. `lag_s`: the other clock shows this much more at the same moment."""

    lag_s: int
    correlation: float
    ratio: float
    """To the highest rival; infinite where there is none."""
    blur_s: int
    """The lag is exact to about this."""

    @property
    def is_clear(self) -> bool:
        """Whether it stands clear of all rivals."""
        return self.ratio >= MIN_RATIO


def find_peak(motion_S: Float, other_S: Float, ahead_s: int) -> Peak | None:
    """Return the highest peak of two recordings' motion; None if no lag has enough seconds in common.

    `motion_S` and `other_S` are in g, NaN where a second is not eligible. The other begins `ahead_s` seconds later, by
    the devices' own clocks.
    """
    blur_s = _odd(max(MIN_BLUR_S, DRIFT * max(motion_S.size, other_S.size)))
    x_S, is_x_S = _prepared(motion_S, blur_s)
    y_S, is_y_S = _prepared(other_S, blur_s)
    size = next_fast_len(x_S.size + y_S.size, real=True)
    ours = [np.conj(rfft(part, size)) for part in (x_S, x_S**2, is_x_S)]
    x_F, x2_F, is_x_F = ours
    y_F, y2_F, is_y_F = (rfft(part, size) for part in (y_S, y_S**2, is_y_S))
    product_L, own_L, other_L, count_L = (
        irfft(spectrum, size) for spectrum in (x_F * y_F, x2_F * is_y_F, is_x_F * y2_F, is_x_F * is_y_F)
    )
    lag_L = np.arange(size)
    lag_L[lag_L >= y_S.size] -= size
    lag_L += ahead_s
    usable_L = (count_L >= MIN_OVERLAP_S) & (np.abs(lag_L) <= MAX_LAG_S)
    if not usable_L.any():
        return None
    power_L = np.maximum(own_L * other_L, 1e-12)
    r_L = np.where(usable_L, product_L / np.sqrt(power_L), 0.0)
    score_L = r_L * np.sqrt(np.maximum(count_L, 0.0))
    best = int(np.argmax(score_L))
    rivals = usable_L & (np.abs(lag_L - lag_L[best]) > RIVAL_S)
    rival = float(score_L[rivals].max()) if rivals.any() else 0.0
    ratio = float(score_L[best]) / rival if rival > 0 else np.inf
    return Peak(int(lag_L[best]), float(r_L[best]), ratio, blur_s)


def _prepared(motion_S: Float, blur_s: int) -> tuple[Float, Float]:
    """The logarithm of motion without its moving mean, blurred, 0 where there is none; and where there is some."""
    is_S = np.isfinite(motion_S)
    log_S = np.log(np.where(is_S, motion_S, 0.0) + FLOOR_G) * is_S
    count_S = _moving_sum(is_S.astype(np.float64), MEAN_S + 1)
    level_S = np.where(is_S, log_S - _moving_sum(log_S, MEAN_S + 1) / np.maximum(count_S, 1.0), 0.0)
    return (_moving_sum(level_S, blur_s) / blur_s * is_S).astype(np.float32), is_S.astype(np.float32)


def _moving_sum(values_S: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """Sums over `length` (odd) neighbours, centred; shorter at the ends."""
    total_S = np.concatenate(([0.0], np.cumsum(values_S)))
    end_S = np.minimum(np.arange(values_S.size) + length // 2 + 1, values_S.size)
    first_S = np.maximum(np.arange(values_S.size) - length // 2, 0)
    return np.asarray(total_S[end_S] - total_S[first_S])


def _odd(seconds: float) -> int:
    return 2 * int(seconds / 2) + 1
