"""Measures of movement by which simulated and real people are compared; a signal is (samples, 3) in g."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly, welch

Signal = NDArray[np.float64]
Bands = tuple[tuple[float, float], ...]


def at_rate(x: Signal, hz: int, to_hz: int) -> Signal:
    """Resample along time; beyond its ends a signal goes on along the line through them."""
    return x if hz == to_hz else resample_poly(x, to_hz, hz, axis=0, padtype="line")


def motion(x: Signal, hz: int) -> Signal:
    """Root of the summed variance of the axes, one value per second, g."""
    seconds = len(x) // hz
    return np.sqrt(x[: seconds * hz].reshape(seconds, hz, 3).var(axis=1).sum(axis=-1))


def magnitude(x: Signal) -> Signal:
    """Length of the acceleration, g."""
    return np.linalg.norm(x, axis=1)


def spectrum(x: Signal, hz: float) -> tuple[Signal, Signal]:
    """Frequencies, and power summed over the axes."""
    hertz, power = welch(x - x.mean(axis=0), hz, nperseg=int(8 * hz), axis=0)
    return hertz, power.sum(axis=1)


def band_shares(x: Signal, hz: float, bands: Bands) -> Signal:
    """Power of each band as a share of all of them."""
    hertz, power = spectrum(x, hz)
    shares = np.array([power[(hertz >= low) & (hertz < high)].sum() for low, high in bands])
    return shares / shares.sum()


def dominant_hz(x: Signal, hz: float) -> float:
    """The frequency from 0.5 Hz up that has the most power."""
    hertz, power = spectrum(x, hz)
    return float(hertz[np.where(hertz >= 0.5, power, 0).argmax()])


def asymmetry(pieces: Sequence[Signal]) -> Signal:
    """Skewness of first differences in time: 0 when a signal looks the same run backwards.

    It is positive where the signal rises faster than it falls. The pieces of a signal are counted as one.
    """
    step = np.concatenate([np.diff(x, axis=0) for x in pieces])
    return (step**3).mean(axis=0) / (step**2).mean(axis=0) ** 1.5
