"""Calibration on gravity: at rest every device should read one g, whatever its orientation.

After van Hees et al. 2014 (doi:10.1152/japplphysiol.00421.2014): a gain and an offset of each axis, and a drift of the
offset with temperature where that spans 3 degrees, are chosen so that the means of the still windows lie on the unit
sphere. As there, the weight of a window is the inverse of its distance from the sphere, at most 100, so that windows
that were not quite still count little. Gauss-Newton solves the equations in tens of steps where the published
alternation takes hundreds.

A gain of zero and an offset of one g fit any data, so a small error alone proves nothing: the windows have to determine
the fit (few orientations do not, however many windows they have), and the coefficients have to be plausible.

Coefficients are rounded to 1e-7, so that machines whose libraries add in another order agree on them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Outcome = Literal["own", "given", "none"]
PerAxis = tuple[float, float, float]
NO_DRIFT: PerAxis = (0.0, 0.0, 0.0)

MIN_WINDOWS = 50
MIN_REACH_G = 0.3
"""Still windows must lie beyond this on both sides of every axis, or they do not determine the sphere."""
MIN_SPAN_CELSIUS = 3.0
PLAUSIBLE_G = (0.5, 1.5)
"""Length of the mean of a still window on any device; windows outside were not at rest."""
MAX_ERROR_MG = 10.0
"""A fit with a larger remaining error has failed (van Hees et al. 2014)."""
GAIN_RANGE = (0.8, 1.25)
MAX_OFFSET_G = 0.5
"""No accelerometer has coefficients beyond these."""
CELL_G = 0.2
CELL_CELSIUS = 2.0
"""Windows in one cell of this size count as one orientation at one temperature."""
MIN_SINGULAR = 0.03
"""Smallest singular value of the equations of distinct orientations; a uniform sphere has 0.37."""
MAX_WEIGHT = 100.0
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

    The outcome is `own` where the windows suffice and the fit succeeds, else `given` if `given` is there, else `none`.
    """
    length_W = np.sqrt((mean_CW**2).sum(axis=0))
    at_rest = (length_W > PLAUSIBLE_G[0]) & (length_W < PLAUSIBLE_G[1])
    mean_CW, celsius_W = mean_CW[:, at_rest], celsius_W[at_rest]
    windows = mean_CW.shape[1]
    before = _error_mg(mean_CW) if windows else float("nan")
    none = Calibration(windows=windows, error_before_mg=before, error_after_mg=before)
    enough = windows >= MIN_WINDOWS
    if enough and (mean_CW.min(axis=1) < -MIN_REACH_G).all() and (mean_CW.max(axis=1) > MIN_REACH_G).all():
        own = _own(mean_CW, celsius_W, before)
        if own is not None and plausible(own) and own.error_after_mg < min(before, MAX_ERROR_MG):
            return own
    if given is None:
        return none
    after = _error_mg(apply(given, mean_CW, celsius_W)) if windows else float("nan")
    coefficients = (given.gain_C, given.offset_C, given.drift_C, given.reference_celsius)
    return Calibration("given", *coefficients, windows, before, after)


def apply(calibration: Calibration, x_CW: NDArray[np.float64], celsius_W: NDArray[np.float64]) -> NDArray[np.float64]:
    """Calibrate raw values in g; without a temperature, as at the reference."""
    warmer_W = np.nan_to_num(celsius_W - calibration.reference_celsius)
    gain, offset, drift = (
        np.array(value)[:, None] for value in (calibration.gain_C, calibration.offset_C, calibration.drift_C)
    )
    calibrated: NDArray[np.float64] = x_CW * gain + offset + drift * warmer_W
    return calibrated


def _own(mean_CW: NDArray[np.float64], celsius_W: NDArray[np.float64], before: float) -> Calibration | None:
    """The fit to the windows, with a drift where they determine one; None where they do not determine a fit."""
    warm = bool(np.isfinite(celsius_W).all()) and float(np.ptp(celsius_W)) >= MIN_SPAN_CELSIUS
    reference = round(float(celsius_W.mean()), 2) if warm else 0.0
    basis_KCW = np.stack([mean_CW, np.ones_like(mean_CW)])
    if warm:
        drifting_KCW = np.concatenate([basis_KCW, np.broadcast_to(celsius_W - reference, (1, *mean_CW.shape))])
        warm = _determined(drifting_KCW)
        basis_KCW = drifting_KCW if warm else basis_KCW
    if not warm and not _determined(basis_KCW):
        return None
    try:
        gain, offset, *drift = map(_rounded, _solve(basis_KCW))
    except np.linalg.LinAlgError:
        return None
    own = Calibration(
        "own", gain, offset, drift[0] if warm else NO_DRIFT, reference if warm else 0.0, mean_CW.shape[1], before
    )
    return replace(own, error_after_mg=_error_mg(apply(own, mean_CW, celsius_W)))


def _determined(basis_KCW: NDArray[np.float64]) -> bool:
    """Whether the distinct orientations (and temperatures) determine every coefficient, linearised about identity."""
    mean_CW, warmer_W = basis_KCW[0], basis_KCW[2:, 0]
    cell_XW = np.rint(np.concatenate([mean_CW / CELL_G, warmer_W / CELL_CELSIUS])).astype(np.int64)
    place_XW = cell_XW - cell_XW.min(axis=1, keepdims=True)
    _, distinct_D = np.unique(np.ravel_multi_index(tuple(place_XW), place_XW.max(axis=1) + 1), return_index=True)
    scale_K = np.array([1, 1, *warmer_W.std(axis=1)])
    length_W = np.sqrt((mean_CW**2).sum(axis=0))
    slope_PW = (basis_KCW / scale_K[:, None, None] * (mean_CW / length_W)).reshape(-1, len(length_W))
    slope_PD = slope_PW[:, distinct_D] / np.sqrt(len(distinct_D))
    return len(distinct_D) >= len(slope_PD) and float(np.linalg.svd(slope_PD, compute_uv=False)[-1]) >= MIN_SINGULAR


def _solve(basis_KCW: NDArray[np.float64]) -> NDArray[np.float64]:
    """Coefficients (K, C) by weighted Gauss-Newton on the distance from the unit sphere; may raise LinAlgError."""
    coefficients_KC = np.zeros((len(basis_KCW), 3))
    coefficients_KC[0] = 1
    for _ in range(STEPS):
        y_CW = (basis_KCW * coefficients_KC[:, :, None]).sum(axis=0)
        length_W = np.sqrt((y_CW**2).sum(axis=0))
        residual_W = length_W - 1
        weight_W = 1 / np.maximum(np.abs(residual_W), 1 / MAX_WEIGHT)
        slope_PW = (basis_KCW * (y_CW / length_W)).reshape(-1, len(length_W))
        step = np.linalg.solve((slope_PW * weight_W) @ slope_PW.T, (slope_PW * weight_W) @ residual_W)
        coefficients_KC -= step.reshape(coefficients_KC.shape)
        if np.abs(step).max() < TOLERANCE:
            break
    return coefficients_KC


def plausible(found: Calibration) -> bool:
    """Whether an accelerometer can have these coefficients (NaN is not plausible)."""
    return all(GAIN_RANGE[0] <= gain <= GAIN_RANGE[1] for gain in found.gain_C) and all(
        abs(offset) < MAX_OFFSET_G for offset in found.offset_C
    )


def _rounded(value_C: NDArray[np.float64]) -> PerAxis:
    x, y, z = (round(float(value), DECIMALS) + 0.0 for value in value_C)
    return x, y, z


def _error_mg(x_CW: NDArray[np.float64]) -> float:
    return float(np.abs(np.sqrt((x_CW**2).sum(axis=0)) - 1).mean() * 1000)
