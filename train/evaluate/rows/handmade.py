"""Hand-made features of windows of acceleration: the usual ones of activity recognition, for many windows at once.

Moments, percentiles, correlations, jerk, spectra and autocorrelation of the axes and of the length of the vector
(surveys: Figo et al. 2010, doi:10.1007/s00779-010-0293-9; Twomey et al. 2018, doi:10.3390/informatics5020027).
`FEATURES` lists them, and docs/evaluation.md says what each is. A feature that a constant signal does not define is 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.grid import SAMPLE_RATE_HZ

Floats = NDArray[np.float64]

CHUNK = 1_024
AXES = ("x", "y", "z")
BANDS_HZ = ((0.3, 1.0), (1.0, 2.0), (2.0, 3.0), (3.0, 5.0), (5.0, 15.0))
LOWEST_HZ = 0.3
"""Slower changes are changes of posture; spectra begin here."""
LAGS_S = (0.2, 2.0)
"""Periods of human movement, where the autocorrelation is searched."""
SILENT_G = 1e-6
"""A standard deviation below which a signal counts as constant."""

FEATURES = (
    *(f"{axis}_{name}" for name in ("mean", "sd", "range", "p10", "p90") for axis in AXES),
    *("xy_correlation", "yz_correlation", "zx_correlation"),
    *(f"length_{name}" for name in ("mean", "sd", "range", "mad", "skewness", "kurtosis")),
    *(f"length_p{share}" for share in (5, 25, 50, 75, 95)),
    *("enmo", "length_crossings"),
    *(f"{axis}_jerk" for axis in AXES),
    "jerk",
    *("length_frequency_1", "length_power_1", "length_frequency_2", "length_power_2"),
    *("length_power", "length_entropy"),
    *(f"length_share_{low:g}_{high:g}_hz" for low, high in BANDS_HZ),
    *(f"{axis}_{name}" for name in ("frequency", "peak_share", "entropy") for axis in AXES),
    *("autocorrelation_max", "autocorrelation_lag", "autocorrelation_min"),
)


def handmade(x_NCT: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return float32 features (windows, len(FEATURES)) of windows in g (windows, 3, ticks) at 30 Hz."""
    chunks = [_of_chunk(x_NCT[start : start + CHUNK].astype(np.float64)) for start in range(0, len(x_NCT), CHUNK)]
    return np.concatenate([np.empty((0, len(FEATURES))), *chunks]).astype(np.float32)


def _of_chunk(x_NCT: Floats) -> Floats:
    length_NT = np.sqrt((x_NCT**2).sum(1))
    parts = (*_of_axes(x_NCT), *_of_length(length_NT), *_jerk(x_NCT), *_spectra(x_NCT, length_NT), *_periods(length_NT))
    return np.hstack([part.reshape(len(x_NCT), -1) for part in parts])


def _of_axes(x_NCT: Floats) -> list[Floats]:
    mean_NC, sd_NC = x_NCT.mean(2), x_NCT.std(2)
    low_NC, high_NC = np.percentile(x_NCT, (10, 90), axis=2)
    centred_NCT = x_NCT - mean_NC[:, :, None]
    pairs = ((0, 1), (1, 2), (2, 0))
    covariance = np.stack([(centred_NCT[:, a] * centred_NCT[:, b]).mean(1) for a, b in pairs], 1)
    product = np.stack([sd_NC[:, a] * sd_NC[:, b] for a, b in pairs], 1)
    return [mean_NC, sd_NC, np.ptp(x_NCT, 2), low_NC, high_NC, _ratio(covariance, product, SILENT_G**2)]


def _of_length(length_NT: Floats) -> list[Floats]:
    mean_N, sd_N = length_NT.mean(1), length_NT.std(1)
    centred_NT = length_NT - mean_N[:, None]
    percentiles_5N = np.percentile(length_NT, (5, 25, 50, 75, 95), axis=1)
    mad_N = np.median(np.abs(length_NT - percentiles_5N[2][:, None]), 1)
    skewness_N = _ratio((centred_NT**3).mean(1), sd_N**3, SILENT_G**3)
    kurtosis_N = _ratio((centred_NT**4).mean(1), sd_N**4, SILENT_G**4)
    crossings_N = (np.diff(np.signbit(centred_NT).astype(np.int8), axis=1) != 0).mean(1) * (sd_N > SILENT_G)
    enmo_N = np.maximum(length_NT - 1, 0).mean(1)
    return [mean_N, sd_N, np.ptp(length_NT, 1), mad_N, skewness_N, kurtosis_N, percentiles_5N.T, enmo_N, crossings_N]


def _jerk(x_NCT: Floats) -> list[Floats]:
    """Changes per second: the SD of each axis's, and the mean length of the vector's."""
    jerk_NCT = np.diff(x_NCT, axis=2) * SAMPLE_RATE_HZ
    return [jerk_NCT.std(2), np.sqrt((jerk_NCT**2).sum(1)).mean(1)]


def _spectra(x_NCT: Floats, length_NT: Floats) -> list[Floats]:
    frequency_F, power_NF = power_spectrum(length_NT)
    rows = np.arange(len(power_NF))
    order_NF = np.argsort(-power_NF, axis=1, kind="stable")
    first, second = order_NF[:, 0], order_NF[:, 1]
    total_N = power_NF.sum(1)
    silent = SILENT_G**2
    moves_N = total_N > silent
    bands = [power_NF[:, (frequency_F >= low) & (frequency_F < high)].sum(1) for low, high in BANDS_HZ]
    _, power_NCF = power_spectrum(x_NCT)
    total_NC = power_NCF.sum(2)
    moves_NC = total_NC > silent
    return [
        frequency_F[first] * moves_N,
        np.log10(power_NF[rows, first] + silent),
        frequency_F[second] * moves_N,
        np.log10(power_NF[rows, second] + silent),
        np.log10(total_N + silent),
        entropy(power_NF) * moves_N,
        _ratio(np.stack(bands, 1), total_N[:, None], silent),
        frequency_F[power_NCF.argmax(2)] * moves_NC,
        _ratio(power_NCF.max(2), total_NC, silent),
        entropy(power_NCF) * moves_NC,
    ]


def power_spectrum(x: Floats) -> tuple[Floats, Floats]:
    """Return frequencies (bins,) from LOWEST_HZ, and the power of signals (..., ticks) in each bin, in g² (..., bins).

    The mean is removed and a Hann window applied. The powers of a signal without slower parts sum to its variance.
    """
    ticks = x.shape[-1]
    window_T = np.hanning(ticks)
    spectrum = np.abs(np.fft.rfft((x - x.mean(-1, keepdims=True)) * window_T)) ** 2
    frequency_F = np.asarray(np.fft.rfftfreq(ticks, 1 / SAMPLE_RATE_HZ), np.float64)
    kept = frequency_F >= LOWEST_HZ
    return frequency_F[kept], 2 * spectrum[..., kept] / (ticks * (window_T**2).sum())


def entropy(power: Floats) -> Floats:
    """Return the entropy of the shares of power (..., bins) in nats, divided by that of white noise: 0 to 1."""
    share = power / np.maximum(power.sum(-1, keepdims=True), np.finfo(float).tiny)
    return -(share * np.log(np.maximum(share, np.finfo(float).tiny))).sum(-1) / np.log(power.shape[-1])


def _periods(length_NT: Floats) -> list[Floats]:
    """Return the highest autocorrelation within LAGS_S, its lag in seconds, and the lowest."""
    ticks = length_NT.shape[1]
    centred_NT = length_NT - length_NT.mean(1, keepdims=True)
    spectrum = np.fft.rfft(centred_NT, 2 * ticks)
    covariance_NT = np.fft.irfft(np.abs(spectrum) ** 2)[:, :ticks]
    correlation_NT = _ratio(covariance_NT, covariance_NT[:, :1], ticks * SILENT_G**2)
    first, last = (round(seconds * SAMPLE_RATE_HZ) for seconds in LAGS_S)
    searched_NL = correlation_NT[:, first : last + 1]
    lag_N = (searched_NL.argmax(1) + first) / SAMPLE_RATE_HZ
    return [searched_NL.max(1), lag_N * (covariance_NT[:, 0] > ticks * SILENT_G**2), searched_NL.min(1)]


def _ratio(numerator: Floats, denominator: Floats, least: float) -> Floats:
    """Return the ratio, or 0 where the denominator is at most `least`."""
    return np.where(denominator > least, numerator / np.where(denominator > least, denominator, 1), 0.0)
