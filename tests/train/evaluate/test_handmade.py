"""Hand-made features of signals whose features are known, and against plain NumPy and SciPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from train.evaluate.rows.handmade import CHUNK, FEATURES, handmade

TIME = np.arange(300) / 30


def features_of(x_CT: NDArray[Any]) -> dict[str, float]:
    """The features of one window, by name."""
    return dict(zip(FEATURES, handmade(x_CT[None].astype(np.float32))[0].tolist(), strict=True))


def test_a_swing_of_two_hertz() -> None:
    swing = 0.4 * np.sin(2 * np.pi * 2 * TIME)
    found = features_of(np.stack((0 * TIME, 0 * TIME, 1 + swing)))
    expected = {
        "z_mean": 1.0,
        "z_sd": 0.4 / 2**0.5,
        "z_range": 0.8,
        "x_sd": 0.0,
        "xy_correlation": 0.0,
        "length_mean": 1.0,
        "length_sd": 0.4 / 2**0.5,
        "length_frequency_1": 2.0,
        "z_frequency": 2.0,
        "x_frequency": 0.0,
        "length_share_2_3_hz": 0.83,  # a Hann window puts a sixth of the power into the bin below, at 1.9 Hz
        "length_share_1_2_hz": 0.17,
        "autocorrelation_lag": 0.5,
        "enmo": 0.4 / np.pi,
        "length_crossings": 4 / 30,
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=0.01), name
    assert found["autocorrelation_max"] > 0.9
    assert found["autocorrelation_min"] < -0.9
    assert found["z_jerk"] == pytest.approx(0.4 * 2 * np.pi * 2 / 2**0.5, rel=0.02)
    assert found["jerk"] == pytest.approx(0.4 * 2 * np.pi * 2 * 2 / np.pi, rel=0.02)
    assert 10 ** found["length_power"] == pytest.approx(0.4**2 / 2, rel=0.02)


def test_a_window_of_noise_against_numpy_and_scipy() -> None:
    x = np.random.default_rng(0).normal((0.1, -0.2, 0.9), (0.1, 0.2, 0.3), (300, 3)).astype(np.float32).T
    found, length = features_of(x), np.linalg.norm(x.astype(np.float64), axis=0)
    expected = {
        **{f"{axis}_p10": np.quantile(row, 0.1) for axis, row in zip("xyz", x, strict=True)},
        "xy_correlation": np.corrcoef(x[0], x[1])[0, 1],
        "yz_correlation": np.corrcoef(x[1], x[2])[0, 1],
        "zx_correlation": np.corrcoef(x[2], x[0])[0, 1],
        "length_skewness": stats.skew(length),
        "length_kurtosis": stats.kurtosis(length, fisher=False),
        "length_mad": stats.median_abs_deviation(length),
        "length_p25": np.quantile(length, 0.25),
        "y_jerk": np.std(np.diff(x[1]) * 30),
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(float(value), abs=1e-4), name
    shares = [value for name, value in found.items() if name.startswith("length_share")]
    assert 0.95 < sum(shares) <= 1 + 1e-6  # all bands but the highest bin
    assert found["length_entropy"] > 0.8
    assert features_of(np.stack((0 * TIME, 0 * TIME, 1 + np.sin(12 * TIME))))["length_entropy"] < 0.4


@pytest.mark.parametrize("ticks", [150, 300, 900])
def test_constant_windows_and_chunks_give_finite_features(ticks: int) -> None:
    x = np.random.default_rng(1).normal(0, 1, (CHUNK + 3, 3, ticks)).astype(np.float32)
    x[0], x[1, 0] = 0, 0.5
    found = handmade(x)
    assert found.shape == (CHUNK + 3, len(FEATURES))
    assert np.isfinite(found).all()
    assert np.array_equal(found[-1:], handmade(x[-1:]))
    assert handmade(x[:0]).shape == (0, len(FEATURES))
    assert len(set(FEATURES)) == len(FEATURES)
