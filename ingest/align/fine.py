"""Offsets in ticks, stretch by stretch, from the magnitude of acceleration at 30 Hz.

The magnitude does not depend on how a device is turned. Only what is faster than about 3 Hz is kept, which is mostly
impacts: slower swings of the two arms are opposite to each other. Each stretch of some minutes is cross-correlated with
the other device around the coarse lag. Steps repeat, so a stretch may be wrong by a step: the line through all
stretches decides (line.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft
from scipy.ndimage import uniform_filter1d

Float = NDArray[np.float32]

STRETCH_S, SHORT_STRETCH_S = 240, 60
SHORT_S = 2 * 3_600
"""Recordings with less than this in common are compared in short stretches, so that there are enough of them."""
SLOW_TICKS = 7
"""Length of the mean that is removed."""
MIN_MEASURED = 0.7
"""Share of a stretch that both devices have measured."""
MIN_SPREAD_G = 0.01
"""Standard deviation below which a stretch shows no movement."""


@dataclass(frozen=True)
class Stretch:
    """The correlations of a stretch, by lag in ticks from `first_lag`."""

    tick: int
    """Its middle, in ticks of the first device's clock."""
    first_lag: int
    correlation_L: Float

    def peak_near(self, lag: float, within: int) -> tuple[float, float]:
        """Return lag (interpolated by a parabola) and correlation of the highest value within some ticks of a lag."""
        middle = round(lag) - self.first_lag
        first, end = max(middle - within, 1), min(middle + within + 1, self.correlation_L.size - 1)
        if first >= end:
            return np.nan, 0.0
        best = first + int(np.argmax(self.correlation_L[first:end]))
        before, here, after = self.correlation_L[best - 1 : best + 2].astype(np.float64)
        bend = before - 2 * here + after
        shift = 0.5 * (before - after) / bend if bend < 0 else 0.0
        return self.first_lag + best + float(np.clip(shift, -0.5, 0.5)), float(here)

    def peak(self) -> tuple[float, float]:
        """Return lag and correlation of the highest value of all."""
        return self.peak_near(self.first_lag + self.correlation_L.size // 2, self.correlation_L.size)


def magnitude(signal_CT: NDArray[np.int16], fill: int, counts_per_g: float) -> Float:
    """The fast part of the magnitude in g, 0 where it is not measured: (ticks,)."""
    is_T = (signal_CT != fill).all(0)
    size_T = np.sqrt(np.square(signal_CT.astype(np.float32) / counts_per_g).sum(0))
    count_T = np.maximum(uniform_filter1d(is_T.astype(np.float32), SLOW_TICKS, mode="constant"), 1e-6)
    slow_T = uniform_filter1d(np.where(is_T, size_T, 0.0).astype(np.float32), SLOW_TICKS, mode="constant") / count_T
    return np.where(is_T, size_T - slow_T, 0.0).astype(np.float32)


def correlate(own_T: Float, other_T: Float, tick: int, first_lag: int) -> Stretch | None:
    """Correlate a stretch with a longer piece of the other device, which begins `first_lag` ticks after the stretch.

    Returns None if too little is measured or moves.
    """
    if min((own_T != 0).mean(), (other_T != 0).mean()) < MIN_MEASURED:
        return None
    if min(own_T.std(), other_T.std()) < MIN_SPREAD_G:
        return None
    own_T, other_T = _compressed(own_T), _compressed(other_T)
    lags = other_T.size - own_T.size + 1
    size = next_fast_len(other_T.size, real=True)
    product_L = irfft(np.conj(rfft(own_T, size)) * rfft(other_T, size), size)[:lags]
    square = np.concatenate(([0.0], np.cumsum(np.square(other_T, dtype=np.float64))))
    power_L = (square[own_T.size :] - square[: -own_T.size])[:lags] * float(np.square(own_T, dtype=np.float64).sum())
    correlation_L = product_L / np.sqrt(np.maximum(power_L, 1e-12))
    return Stretch(tick, first_lag, correlation_L.astype(np.float32))


def _compressed(value_T: Float) -> Float:
    """The signed root: a few impacts would decide otherwise."""
    return np.asarray(np.sign(value_T) * np.sqrt(np.abs(value_T)), np.float32)
