"""Calibration from few orientations: the coefficients of the device, or none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ingest.signal.calibrate import calibrate

GAIN, OFFSET = np.array([1.02, 0.98, 1.02]), np.array([0.02, -0.02, 0.01])
WINDOWS = 240
NONE_C = np.full(WINDOWS, np.nan)


def still(orientations: int, seed: int, noise_g: float = 0.0002) -> np.ndarray:
    """Means of windows at a few orientations that reach 0.35 g both ways on every axis; noise as of a mean of 10 s."""
    rng = np.random.default_rng(seed)
    while True:
        x = rng.normal(size=(3, orientations))
        x /= np.sqrt((x**2).sum(axis=0))
        if (x.min(axis=1) < -0.35).all() and (x.max(axis=1) > 0.35).all():
            break
    true = x[:, np.arange(WINDOWS) % orientations]
    return (true - OFFSET[:, None]) / GAIN[:, None] + rng.normal(0, noise_g, true.shape)


def corners(flips: int) -> np.ndarray:
    """Two orientations that pass the rule of 0.3 g: a corner of the cube and its opposite."""
    x = np.ones((3, WINDOWS)) / np.sqrt(3)
    x[:, ::flips] *= -1
    return (x - OFFSET[:, None]) / GAIN[:, None] + np.random.default_rng(flips).normal(0, 0.0002, x.shape)


@pytest.mark.parametrize("seed", range(16))
@pytest.mark.parametrize("noise_g", [0.0, 0.0002, 0.003])
@pytest.mark.parametrize("orientations", [3, 4, 5])
def test_five_orientations_or_fewer_never_calibrate(orientations: int, noise_g: float, seed: Any) -> None:
    raw = still(orientations, seed, noise_g)
    found = calibrate(raw, NONE_C)
    assert (found.outcome, found.gain_C, found.offset_C) == ("none", (1, 1, 1), (0, 0, 0))
    assert found.error_after_mg == found.error_before_mg > 1
    assert calibrate(raw, np.linspace(20, 30, WINDOWS)).outcome == "none"


def test_two_opposite_orientations_never_calibrate() -> None:
    assert calibrate(corners(2), NONE_C).outcome == "none"
    assert calibrate(corners(5), NONE_C).outcome == "none"


@pytest.mark.parametrize("orientations", [6, 12])
def test_a_calibration_has_the_coefficients_of_the_device(orientations: int) -> None:
    outcomes = []
    for seed in range(40):
        found = calibrate(still(orientations, seed), NONE_C)
        outcomes.append(found.outcome)
        if found.outcome == "own":
            assert np.abs(np.array(found.gain_C) - GAIN).max() < 0.005
            assert np.abs(np.array(found.offset_C) - OFFSET).max() < 0.005
    assert outcomes.count("own") >= (20 if orientations == 6 else 39)


def test_the_six_faces_suffice_however_unevenly_they_are_shown() -> None:
    faces = np.concatenate([np.eye(3), -np.eye(3)], axis=1)
    true = faces[:, np.minimum(np.arange(2_000) // 10, 5)]
    found = calibrate((true - OFFSET[:, None]) / GAIN[:, None], np.full(2_000, np.nan))
    assert found.outcome == "own"
    assert np.allclose(found.gain_C, GAIN, atol=1e-5)
    assert np.allclose(found.offset_C, OFFSET, atol=1e-5)


def test_a_temperature_that_follows_orientation_gives_no_drift() -> None:
    faces = np.concatenate([np.eye(3), -np.eye(3)], axis=1)
    which = np.arange(WINDOWS) % 6
    raw = (faces[:, which] - OFFSET[:, None]) / GAIN[:, None]
    found = calibrate(raw, (20 + 3 * which).astype(np.float64))
    assert (found.outcome, found.drift_C, found.reference_celsius) == ("own", (0, 0, 0), 0)
    assert np.allclose(found.gain_C, GAIN, atol=1e-5)


@pytest.mark.parametrize(("gain", "offset"), [(1.4, 0.0), (0.7, 0.0)])
def test_implausible_coefficients_are_refused(gain: float, offset: float) -> None:
    x = np.random.default_rng(0).normal(size=(3, WINDOWS))
    x /= np.sqrt((x**2).sum(axis=0))
    assert calibrate((x - offset) / gain, NONE_C).outcome == "none"
