"""Calibration on gravity: at rest every device should read one g, whatever its orientation.

After van Hees et al. 2014 (doi:10.1152/japplphysiol.00421.2014): a gain and an offset of each axis, and a
drift of the offset with temperature where that spans 3 degrees, are chosen so that the means of the still
windows lie on the unit sphere. As there, a window weighs by the inverse of its distance from the sphere, at
most by 100, so that windows that were not quite still count little; the equations are solved by Gauss and
Newton's steps, which take tens where the published alternation takes hundreds.

The coefficients are rounded to 1e-7, so that machines whose libraries add in another order agree on them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Outcome = Literal["own", "given", "none"]
PerAxis = tuple[float, float, float]
NO_DRIFT: PerAxis = (0.0, 0.0, 0.0)

LEAST_WINDOWS = 50
LEAST_REACH_G = 0.3
"""Still windows lie beyond this on both sides of every axis, or the sphere is not determined."""
LEAST_SPAN_CELSIUS = 3.0
PLAUSIBLE_G = (0.5, 1.5)
"""A window at rest is nearer to one g than this on any device; others were not at rest."""
MOST_ERROR_MG = 10.0
"""A fit that leaves more has failed (van Hees et al. 2014)."""
MOST_WEIGHT = 100.0
STEPS = 200
TOLERANCE = 1e-10
DECIMALS = 7


@dataclass(frozen=True)
class Calibration:
    """calibrated = gain * raw + offset + drift * (temperature - reference), per axis, in g and degrees Celsius.

    error_mg: mean distance of the still windows from one g, before and after; NaN without windows.
    """

    outcome: Outcome = "none"
    gain_C: PerAxis = (1.0, 1.0, 1.0)
    offset_C: PerAxis = (0.0, 0.0, 0.0)
    drift_C: PerAxis = NO_DRIFT
    reference_celsius: float = 0.0
    windows: int = 0
    error_before_mg: float = float("nan")
    error_after_mg: float = float("nan")


def calibrate(
    mean_CW: NDArray[np.float64], celsius_W: NDArray[np.float64], given: Calibration | None = None
) -> Calibration:
    """The calibration of a recording from the means (g) and temperatures (NaN for none) of its still windows.

    Outcome `own` where the windows suffice and the fit succeeds, else `given` where there is one, else `none`.
    """
    length_W = np.sqrt((mean_CW**2).sum(axis=0))
    at_rest = (length_W > PLAUSIBLE_G[0]) & (length_W < PLAUSIBLE_G[1])
    mean_CW, celsius_W = mean_CW[:, at_rest], celsius_W[at_rest]
    windows = mean_CW.shape[1]
    before = _error_mg(mean_CW) if windows else float("nan")
    none = Calibration(windows=windows, error_before_mg=before, error_after_mg=before)
    enough = windows >= LEAST_WINDOWS
    if enough and (mean_CW.min(axis=1) < -LEAST_REACH_G).all() and (mean_CW.max(axis=1) > LEAST_REACH_G).all():
        own = _own(mean_CW, celsius_W, before)
        if own.error_after_mg < min(before, MOST_ERROR_MG):
            return own
    if given is None:
        return none
    after = _error_mg(apply(given, mean_CW, celsius_W)) if windows else float("nan")
    coefficients = (given.gain_C, given.offset_C, given.drift_C, given.reference_celsius)
    return Calibration("given", *coefficients, windows, before, after)


def apply(calibration: Calibration, x_CW: NDArray[np.float64], celsius_W: NDArray[np.float64]) -> NDArray[np.float64]:
    """Raw values in g as calibrated ones; without a temperature, at the reference."""
    warmer_W = np.nan_to_num(celsius_W - calibration.reference_celsius)
    gain, offset, drift = (
        np.array(value)[:, None] for value in (calibration.gain_C, calibration.offset_C, calibration.drift_C)
    )
    calibrated: NDArray[np.float64] = x_CW * gain + offset + drift * warmer_W
    return calibrated


def _own(mean_CW: NDArray[np.float64], celsius_W: NDArray[np.float64], before: float) -> Calibration:
    """The fit to the windows: weighted Gauss-Newton on the distance from the unit sphere."""
    known = np.isfinite(celsius_W)
    warm = bool(known.all()) and float(np.ptp(celsius_W)) >= LEAST_SPAN_CELSIUS
    reference = round(float(celsius_W.mean()), 2) if warm else 0.0
    parts = [mean_CW, np.ones_like(mean_CW)]
    if warm:
        parts.append(np.broadcast_to(celsius_W - reference, mean_CW.shape))
    basis_KCW = np.stack(parts)
    coefficients_KC = np.zeros((len(parts), 3))
    coefficients_KC[0] = 1
    for _ in range(STEPS):
        y_CW = (basis_KCW * coefficients_KC[:, :, None]).sum(axis=0)
        length_W = np.sqrt((y_CW**2).sum(axis=0))
        residual_W = length_W - 1
        weight_W = 1 / np.maximum(np.abs(residual_W), 1 / MOST_WEIGHT)
        slope_PW = (basis_KCW * (y_CW / length_W)).reshape(-1, len(length_W))
        step = np.linalg.solve((slope_PW * weight_W) @ slope_PW.T, (slope_PW * weight_W) @ residual_W)
        coefficients_KC -= step.reshape(coefficients_KC.shape)
        if np.abs(step).max() < TOLERANCE:
            break
    gain, offset, *drift = map(_rounded, coefficients_KC)
    own = Calibration("own", gain, offset, drift[0] if warm else NO_DRIFT, reference, mean_CW.shape[1], before)
    return replace(own, error_after_mg=_error_mg(apply(own, mean_CW, celsius_W)))


def _rounded(value_C: NDArray[np.float64]) -> PerAxis:
    x, y, z = (round(float(value), DECIMALS) + 0.0 for value in value_C)
    return x, y, z


def _error_mg(x_CW: NDArray[np.float64]) -> float:
    return float(np.abs(np.sqrt((x_CW**2).sum(axis=0)) - 1).mean() * 1000)
