"""Resampling compared with analytic sinusoids, a plain float reference, SciPy and NumPy."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.numerics.resample import UNITY, Course, design, resample, resample_windows

RATES = [20.0, 25.0, 30.0, 50.0, 85.7, 97.3, 100.0, 103.0, 200.0]
LOWPASS = [rate for rate in RATES if rate >= 33]
AMPLITUDE = 20_000


def course(first_tick: int, stop_tick: int, position: float, step: float, lo: int, hi: int) -> Course:
    return Course(*(np.array([value]) for value in (first_tick, stop_tick, position, step, lo, hi)))


def resampled(x_CN: NDArray[Any], rate: Any, method: Any, seconds: Any, offset: float = 0.0) -> Any:
    """Resample a stream whose first sample is taken `offset` seconds before tick 0."""
    out_CT = np.zeros((3, int(seconds * 30)), dtype=np.int32)
    resample(
        x_CN, course(0, out_CT.shape[1], offset * rate, rate / 30, 0, x_CN.shape[1]), design(rate, method), 0, out_CT
    )
    return out_CT / UNITY


def tone(rate: Any, hz: Any, seconds: Any, phase: float = 0.3) -> Any:
    t = np.arange(int(seconds * rate) + 1) / rate
    wave = AMPLITUDE * np.sin(2 * np.pi * hz * t + phase)
    return np.stack([wave, -wave, 0.5 * wave]).round().astype(np.int16)


def middle(x_CT: NDArray[Any]) -> Any:
    """Remove two seconds at each end."""
    return x_CT[:, 60:-60]


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("hz", [0.5, 3.0, 7.9, 9.0, 11.0, 12.0])
def test_passband_keeps_size_and_phase(rate: Any, hz: float) -> None:
    if hz > 0.45 * rate:
        pytest.skip("beyond what this rate holds")
    seconds, phase = 20, 0.3
    out_CT = resampled(tone(rate, hz, seconds, phase), rate, "bandlimited", seconds)
    t = np.arange(out_CT.shape[1]) / 30
    exact = AMPLITUDE * np.sin(2 * np.pi * hz * t + phase)
    basis = np.stack([np.sin(2 * np.pi * hz * t + phase), np.cos(2 * np.pi * hz * t + phase)])[:, 60:-60]
    inside, outside = np.linalg.lstsq(basis.T, middle(out_CT)[0], rcond=None)[0]
    assert abs(20 * np.log10(np.hypot(inside, outside) / AMPLITUDE)) < 0.1
    assert abs(np.arctan2(outside, inside)) < 1e-3
    assert np.abs(middle(out_CT)[0] - exact[60:-60]).max() < 0.0117 * AMPLITUDE
    assert np.allclose(out_CT[1], -out_CT[0], atol=1)
    assert np.allclose(out_CT[2], out_CT[0] / 2, atol=1)


@pytest.mark.parametrize("rate", LOWPASS)
@pytest.mark.parametrize("hz", [18.0, 19.5, 22.0, 27.0, 30.0, 33.0, 41.0, 48.0, 70.0, 95.0])
def test_stopband_is_removed(rate: Any, hz: float) -> None:
    if hz > rate / 2:
        pytest.skip("beyond what this rate holds")
    out_CT = resampled(tone(rate, hz, 20), rate, "bandlimited", 20)
    assert np.abs(middle(out_CT)).max() < 0.01 * AMPLITUDE


@pytest.mark.parametrize("rate", LOWPASS)
def test_response_of_the_bank_over_all_frequencies(rate: Any) -> None:
    bank = design(rate, "bandlimited")
    phases, count = bank.taps_PL.shape
    prototype = bank.taps_PL[:, ::-1].T.reshape(-1) / UNITY / phases
    hz, response = scipy.signal.freqz(prototype, worN=1 << 19, fs=rate * phases)
    decibel = 20 * np.log10(np.maximum(np.abs(response), 1e-9))
    assert np.abs(decibel[hz <= 12]).max() < 0.1
    assert decibel[hz >= 18].max() < -40
    assert count % 16 == 0


@pytest.mark.parametrize("rate", [20.0, 25.0, 30.0, 31.9])
def test_slow_recordings_keep_all_but_the_last_tenth_of_their_band(rate: float) -> None:
    for hz in np.linspace(0.1, 0.45 * rate, 12):
        out_CT = resampled(tone(rate, hz, 20), rate, "bandlimited", 20)
        t = np.arange(out_CT.shape[1]) / 30
        exact = AMPLITUDE * np.sin(2 * np.pi * hz * t + 0.3)
        assert np.abs(middle(out_CT)[0] - exact[60:-60]).max() < 0.012 * AMPLITUDE


def reference(x_CN: NDArray[Any], rate: Any, positions: Any) -> Any:
    """The same windowed sinc in float arithmetic at the exact positions, one dot product after the other."""
    count = design(rate, "bandlimited").taps_PL.shape[1]
    beta_db = (count - 1) * 2.285 * 2 * np.pi * 6 / rate + 7.95 if rate >= 33 else 50.0
    cutoff = 15 / rate if rate >= 33 else 0.5
    beta = scipy.signal.kaiser_beta(beta_db)
    out = []
    for position in positions:
        base = int(np.floor(position))
        index = np.arange(base - count // 2 + 1, base + count // 2 + 1)
        away = index - position
        taps = np.sinc(2 * cutoff * away) * np.i0(beta * np.sqrt(np.maximum(0, 1 - (2 * away / count) ** 2)))
        out.append(x_CN[:, np.clip(index, 0, x_CN.shape[1] - 1)] @ (taps / taps.sum()))
    return np.array(out).T


@pytest.mark.parametrize("rate", RATES)
def test_against_a_float_reference(rate: Any) -> None:
    x_CN = np.random.default_rng(1).integers(-8_000, 8_000, (3, int(12 * rate))).astype(np.int16)
    positions = 2.345 + np.arange(300) * rate / 30
    out_CT = np.zeros((3, 300), dtype=np.int32)
    resample(x_CN, course(0, 300, 2.345, rate / 30, 0, x_CN.shape[1]), design(rate, "bandlimited"), 0, out_CT)
    difference = out_CT / UNITY - reference(x_CN, rate, positions)
    assert np.abs(difference).max() < 0.003 * 8_000
    assert difference.std() < 0.0007 * 8_000


def test_against_scipy_at_an_integer_ratio() -> None:
    x_CN = np.random.default_rng(2).integers(-8_000, 8_000, (3, 2_000)).astype(np.int16)
    ours_CT = resampled(x_CN, 90.0, "bandlimited", 20)
    taps = scipy.signal.firwin(301, 15, window=("kaiser", 8), fs=90)
    theirs_CT = scipy.signal.resample_poly(x_CN.astype(float), 1, 3, axis=1, window=taps)[:, : ours_CT.shape[1]]
    f, ours = scipy.signal.welch(middle(ours_CT)[0], fs=30, nperseg=128)
    _, theirs = scipy.signal.welch(middle(theirs_CT)[0], fs=30, nperseg=128)
    assert np.allclose(ours[f < 12], theirs[f < 12], rtol=0.03)
    below = scipy.signal.butter(8, 11, fs=30, output="sos")
    a, b = (scipy.signal.sosfiltfilt(below, x)[:, 60:-60] for x in (ours_CT, theirs_CT))
    assert np.abs(a - b).max() < 0.02 * np.abs(b).max()


@pytest.mark.parametrize("rate", [20.0, 30.0, 97.3, 100.0])
def test_linear_and_nearest_against_numpy(rate: float) -> None:
    x_CN = np.random.default_rng(3).integers(-2_000, 2_000, (3, int(10 * rate) + 1)).astype(np.int16)
    positions = np.arange(300) * (rate / 30)
    linear = np.stack([np.interp(positions, np.arange(x_CN.shape[1]), x) for x in x_CN])
    assert np.abs(resampled(x_CN, rate, "linear", 10) - linear).max() < 4_000 * (rate * 5e-6 + 1 / UNITY)
    clear = np.abs(positions % 1 - 0.5) > 1e-3
    nearest = x_CN[:, np.floor(positions + 0.5).astype(int)]
    assert np.array_equal(resampled(x_CN, rate, "nearest", 10)[:, clear], nearest[:, clear])


@pytest.mark.parametrize("method", ["bandlimited", "linear", "nearest"])
@pytest.mark.parametrize("rate", [20.0, 30.0, 98.7, 1600.0])
def test_gravity_passes_unchanged(rate: float, method: Any) -> None:
    bank = design(rate, method)
    assert (bank.taps_PL.sum(axis=1, dtype=int) == UNITY).all()
    assert np.abs(bank.taps_PL.astype(int)).sum(axis=1).max() < 4 * UNITY
    x_CN = np.full((3, int(3 * rate)), -2_047, dtype=np.int16)
    assert (resampled(x_CN, rate, method, 2.5) == -2_047).all()


def test_thirty_hertz_on_the_grid_is_copied() -> None:
    x_CN = np.random.default_rng(4).integers(-32_768, 32_767, (3, 900)).astype(np.int16)
    for method in ("bandlimited", "linear", "nearest"):
        assert np.array_equal(resampled(x_CN, 30.0, method, 30), x_CN)


def test_largest_values_do_not_overflow() -> None:
    bank = design(100.0, "bandlimited")
    worst = np.where(bank.taps_PL[17] >= 0, 32_767, -32_768).astype(np.int16)
    out_CT = np.zeros((3, 1), dtype=np.int32)
    position = len(worst) // 2 - 1 + 17 / len(bank.taps_PL)
    resample(np.stack([worst] * 3), course(0, 1, position, 1, 0, len(worst)), bank, 0, out_CT)
    assert out_CT[0, 0] == int(worst.astype(np.int64) @ bank.taps_PL[17].astype(np.int64))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_splitting_pieces_and_ticks_makes_no_difference(data: Any) -> None:
    rate = data.draw(st.sampled_from([25.0, 60.0, 98.7]))
    x_CN = np.random.default_rng(5).integers(-2_000, 2_000, (3, 3_000)).astype(np.int16)
    ticks = int(3_000 / rate * 30) - 2
    lo, hi = 100, 2_900
    bank, step = design(rate, "bandlimited"), rate / 30
    at_once = np.full((3, ticks), -1, dtype=np.int32)
    first = int(lo / step) + 1
    resample(x_CN, course(first, ticks - 100, first * step, step, lo, hi), bank, 0, at_once)

    cuts = sorted(data.draw(st.sets(st.integers(first + 1, ticks - 101), max_size=6)))
    begins, ends = np.array([first, *cuts]), np.array([*cuts, ticks - 100])
    pieces = Course(
        begins, ends, begins * step, np.full(len(begins), step), np.full(len(begins), lo), np.full(len(begins), hi)
    )
    in_parts = np.full((3, ticks), -1, dtype=np.int32)
    edges = [0, *sorted(data.draw(st.sets(st.integers(1, ticks - 1), max_size=5))), ticks]
    for begin, end in pairwise(edges):
        resample(x_CN, pieces, bank, begin, in_parts[:, begin:end])
    assert np.array_equal(in_parts, at_once)
    assert (at_once[:, :first] == -1).all()
    assert (at_once[:, ticks - 100 :] == -1).all()


def test_samples_beyond_a_segment_have_no_effect() -> None:
    x_CN = np.zeros((3, 1_000), dtype=np.int16)
    x_CN[:, :400], x_CN[:, 700:] = 9_999, -9_999
    out_CT = np.zeros((3, 80), dtype=np.int32)
    resample(x_CN, course(0, 80, 400.2, 299.0 / 80, 400, 700), design(112.0, "bandlimited"), 0, out_CT)
    assert (out_CT == 0).all()


@pytest.mark.parametrize("rate", [20.0, 30.0, 50.0, 100.0])
@pytest.mark.parametrize("method", ["bandlimited", "linear", "nearest"])
def test_windows_are_resampled_as_recordings_are(rate: float, method: Any) -> None:
    x_BCN = np.random.default_rng(6).integers(-4_000, 4_000, (5, 3, int(10 * rate))).astype(np.int16)
    windows = resample_windows(x_BCN.astype(np.float64), rate, 300, method)
    assert windows.dtype == np.float32
    assert windows.shape == (5, 3, 300)
    for window, x_CN in zip(windows, x_BCN, strict=True):
        assert np.allclose(window, resampled(x_CN, rate, method, 10), atol=0.01)
