"""Stillness, non-wear, calibration, states, quantisation, ENMO and motion, each compared with plain numpy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ingest.signal.calibrate import Calibration, apply, calibrate
from ingest.signal.nonwear import nonwear
from ingest.signal.quantise import quantise
from ingest.signal.seconds import summarise
from ingest.signal.states import coverage, flags, with_nonwear
from ingest.signal.stationary import stationary_windows
from ingest.signal.timing import fit
from pipeline.grid import FILL, TICKS_PER_SECOND
from pipeline.numerics.enmo import enmo
from pipeline.store.person_day import motion
from pipeline.store.states import BAD, CLIPPED, GAP, IDLE, MEASURED, NONWEAR
from tests.ingest.made import START, of_day, recording

TEN = 36_000
"""Second of the day at which the recordings begin."""


def noise(sd_g: float, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)

    def signal(second_N: NDArray[Any]) -> Any:
        x = rng.normal(0, sd_g, (3, len(second_N)))
        x[2] += 1
        return x

    return signal


def bits(state_S: NDArray[Any], bit: Any) -> Any:
    return np.flatnonzero(state_S & bit).tolist()


def test_sums_of_each_second_are_those_of_its_samples() -> None:
    made, _ = recording(300, signal=noise(0.8), missing=((100, 107),))
    timeline = fit(made)
    seconds = summarise(made, timeline)
    of_second = np.floor(timeline.seconds_of(np.arange(made.samples))).astype(int)
    for c in range(3):
        x = made.counts_CN[c].astype(np.int64)
        assert np.array_equal(seconds.sum_CS[c], np.bincount(of_second, x, 86_400).astype(np.int64))
        assert np.array_equal(seconds.squares_CS[c], np.bincount(of_second, x**2, 86_400).astype(np.int64))
    assert np.array_equal(seconds.samples_S, np.bincount(of_second, minlength=86_400))
    rail_N = (np.abs(made.counts_CN.astype(int)) >= 2044).any(axis=0)
    assert np.array_equal(seconds.rail_S, np.bincount(of_second, rail_N, 86_400).astype(int))
    assert not seconds.impossible_S.any()


def test_samples_in_another_order_of_memory_have_the_same_sums() -> None:
    made, _ = recording(300)
    turned = replace(made, counts_CN=np.asfortranarray(made.counts_CN))
    assert turned.counts_CN.strides[-1] == 2
    timeline = fit(made)
    for name, found in vars(summarise(turned, timeline)).items():
        np.testing.assert_array_equal(found, getattr(summarise(made, timeline), name), err_msg=name)


@pytest.mark.parametrize(("sd_g", "still"), [(0.0, True), (0.011, True), (0.015, False), (0.2, False)])
def test_stillness_is_a_standard_deviation_under_13_mg(sd_g: float, still: bool) -> None:
    made, _ = recording(400, signal=noise(sd_g), per_g=1024)
    timeline = fit(made)
    measured_S = (coverage(made, timeline, timeline.course(), 0, 86_400) & MEASURED) != 0
    found = stationary_windows(summarise(made, timeline), measured_S, np.zeros(86_400, bool), made)
    inside = slice(TEN // 10 + 1, TEN // 10 + 39)
    assert (found.still_W[inside] == still).all()
    assert found.complete_W[inside].all()
    assert found.complete_W.sum() in (39, 40)
    assert np.allclose(found.mean_CW[:, inside].T, [0, 0, 1], atol=0.05)
    assert not found.still_W[: TEN // 10].any()


def test_one_moving_axis_is_movement() -> None:
    def signal(second_N: NDArray[Any]) -> Any:
        x = np.zeros((3, len(second_N)))
        x[2] = 1
        x[1] = 0.03 * np.sin(second_N * 5)
        return x

    made, _ = recording(100, signal=signal)
    timeline = fit(made)
    found = stationary_windows(summarise(made, timeline), np.ones(86_400, bool), np.zeros(86_400, bool), made)
    assert not found.still_W[TEN // 10 : TEN // 10 + 10].any()


@pytest.mark.parametrize(("windows_still", "off"), [(540, False), (541, True), (2000, True)])
def test_nonwear_is_over_ninety_minutes(windows_still: int, off: bool) -> None:
    still_W = np.zeros(8640, dtype=bool)
    still_W[100 : 100 + windows_still] = True
    still_W[5000:5400] = True
    expected = np.zeros(86_400, dtype=bool)
    expected[1000 : 1000 + 10 * windows_still] = off
    assert np.array_equal(nonwear(still_W), expected)


def test_nonwear_may_fill_the_recording_or_none_of_it() -> None:
    assert nonwear(np.ones(8640, dtype=bool)).all()
    assert not nonwear(np.zeros(8640, dtype=bool)).any()


def orientations(count: int, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(3, count))
    return x / np.sqrt((x**2).sum(axis=0))


GAIN, OFFSET, DRIFT = np.array([1.03, 0.97, 1.015]), np.array([0.04, -0.03, 0.02]), np.array([0.001, -0.0015, 0.0007])


def test_calibration_finds_gain_offset_and_drift() -> None:
    celsius = np.random.default_rng(1).uniform(20, 35, 400)
    raw = (orientations(400) - OFFSET[:, None] - DRIFT[:, None] * (celsius - 25)) / GAIN[:, None]
    raw += np.random.default_rng(2).normal(0, 0.0005, raw.shape)
    found = calibrate(raw, celsius)
    assert (found.outcome, found.windows) == ("own", 400)
    assert np.allclose(found.gain_C, GAIN, atol=5e-4)
    assert np.allclose(
        np.array(found.offset_C) + np.array(found.drift_C) * (25 - found.reference_celsius), OFFSET, atol=5e-4
    )
    assert np.allclose(found.drift_C, DRIFT, atol=5e-5)
    assert found.error_before_mg > 20
    assert found.error_after_mg < 1
    assert np.allclose(apply(found, raw, celsius), orientations(400), atol=0.003)


@settings(max_examples=25, deadline=None)
@given(
    gain=st.tuples(*[st.floats(0.93, 1.07)] * 3),
    offset=st.tuples(*[st.floats(-0.08, 0.08)] * 3),
    seed=st.integers(0, 100),
)
def test_any_device_is_calibrated_to_a_milligravity(gain: Any, offset: Any, seed: Any) -> None:
    raw = (orientations(120, seed) - np.array(offset)[:, None]) / np.array(gain)[:, None]
    found = calibrate(raw, np.full(120, np.nan))
    if found.outcome == "none":
        assert found.error_before_mg < 1e-3
        return
    assert np.abs(np.array(found.gain_C) - gain).max() < 1e-3
    assert np.abs(np.array(found.offset_C) - offset).max() < 1e-3
    assert found.drift_C == (0, 0, 0)


def test_windows_that_were_not_still_have_little_weight() -> None:
    raw = (orientations(300) - OFFSET[:, None]) / GAIN[:, None]
    raw[:, ::20] *= np.random.default_rng(3).uniform(1.02, 1.2, 15)
    found = calibrate(raw, np.full(300, 25.0))
    assert np.abs(np.array(found.gain_C) - GAIN).max() < 2e-3
    assert np.abs(np.array(found.offset_C) - OFFSET).max() < 2e-3


def test_calibration_needs_a_minimum_of_windows_orientations_and_temperatures() -> None:
    raw = (orientations(60) - OFFSET[:, None]) / GAIN[:, None]
    warm = np.linspace(20, 30, 60)
    assert calibrate(raw, warm).outcome == "own"
    assert calibrate(raw[:, :49], warm[:49]).outcome == "none"
    assert calibrate(raw[:, :50], warm[:50]).outcome == "own"
    assert calibrate(np.stack([raw[0], raw[1], np.abs(raw[2])]), warm).outcome == "none"
    assert calibrate(raw, np.linspace(20, 22.9, 60)).reference_celsius == 0
    assert calibrate(raw, np.linspace(20, 23.1, 60)).reference_celsius == pytest.approx(21.55)
    assert calibrate(raw, np.where(warm > 29, np.nan, warm)).reference_celsius == 0
    assert calibrate(np.empty((3, 0)), np.empty(0)).windows == 0


def test_means_that_are_not_on_a_sphere_are_not_calibrated() -> None:
    raw = orientations(200) * np.random.default_rng(4).uniform(0.8, 1.2, 200)
    found = calibrate(raw, np.full(200, 25.0))
    assert found.outcome == "none"
    assert (found.gain_C, found.offset_C) == ((1, 1, 1), (0, 0, 0))
    assert found.error_after_mg == found.error_before_mg > 50


def test_given_coefficients_are_used_only_where_the_fit_fails() -> None:
    elsewhere = Calibration("own", tuple(GAIN), tuple(OFFSET), (0.0, 0.0, 0.0), 25.0, 900, 30.0, 1.0)
    raw = (orientations(60) - OFFSET[:, None]) / GAIN[:, None]
    celsius = np.full(60, 25.0)
    assert calibrate(raw, celsius, elsewhere).outcome == "own"
    found = calibrate(raw[:, :20], celsius[:20], elsewhere)
    assert (found.outcome, found.gain_C, found.windows) == ("given", elsewhere.gain_C, 20)
    assert found.error_after_mg < 1e-3 < found.error_before_mg
    assert np.isnan(calibrate(raw[:, :0], celsius[:0], elsewhere).error_after_mg)


def test_measured_seconds_gaps_and_edges() -> None:
    start = np.datetime64("2024-03-04T10:00:00.500", "us")
    made, second_N = recording(100, start=start, missing=((40, 47),))
    timeline = fit(made)
    reach = 24
    state_S = coverage(made, timeline, timeline.course(), reach, 86_400)
    true = of_day(made, second_N, start)
    cut = int(np.flatnonzero(np.diff(true) > 1)[0])
    tick_N = np.arange(86_400 * 30) / 30
    covered = ((tick_N >= true[0] - 1e-4) & (tick_N <= true[cut] + 1e-4)) | (
        (tick_N >= true[cut + 1] - 1e-4) & (tick_N <= true[-1] + 1e-4)
    )
    measured = covered.reshape(-1, 30).all(axis=1)
    span = np.zeros(86_400, dtype=bool)
    span[int(true[0]) : int(true[-1]) + 1] = True
    assert np.array_equal((state_S & MEASURED) != 0, measured)
    assert np.array_equal((state_S & GAP) != 0, span & ~measured)
    assert not (state_S & (IDLE | CLIPPED | NONWEAR)).any()
    lost_s = reach / 98.7
    for begin, end in ((true[0], true[cut]), (true[cut + 1], true[-1])):
        assert state_S[int(begin)] & BAD
        assert state_S[int(begin + lost_s)] & BAD
        assert state_S[int(end)] & BAD
        assert state_S[int(end - lost_s)] & BAD
    assert not (state_S[int(true[0]) + 2 : int(true[cut]) - 1] & BAD).any()
    assert not (coverage(made, timeline, timeline.course(), 0, 86_400) & BAD).any()


def test_idle_sleep_is_neither_gap_nor_measured_and_keeps_nonwear() -> None:
    made, _ = recording(100, missing=((40, 60),))
    begin = START.astype(np.int64) + 30_000_000
    made = replace(made, idle_spans_us=np.array([[begin, begin + 40_000_000]]))
    timeline = fit(made)
    state_S = coverage(made, timeline, timeline.course(), 24, 86_400)
    assert not bits(state_S[TEN + 1 : TEN + 99], GAP)
    idle = bits(state_S[TEN:], IDLE)
    assert set(range(42, 58)) <= set(idle) <= set(range(38, 62))
    assert not (state_S & MEASURED)[TEN + np.array(idle)].any()
    found = stationary_windows(summarise(made, timeline), (state_S & MEASURED) != 0, (state_S & IDLE) != 0, made)
    assert found.still_W[TEN // 10 : TEN // 10 + 9].all()


def test_the_rail_is_flagged_and_bad_from_half_a_second_on() -> None:
    def signal(second_N: NDArray[Any]) -> Any:
        x = np.zeros((3, len(second_N)))
        x[2] = 1
        x[0, (second_N > 20.1) & (second_N < 20.15)] = 99
        x[1, (second_N > 40.2) & (second_N < 40.6)] = -99
        x[0, (second_N > 60.2) & (second_N < 60.8)] = 99
        return x

    made, _ = recording(100, signal=signal)
    timeline = fit(made)
    seconds = summarise(made, timeline)
    state_S = flags(seconds, timeline.rate_hz)
    assert bits(state_S[TEN:], CLIPPED) == [20, 40, 60]
    assert bits(state_S[TEN:], BAD) == [60]
    assert seconds.rail_ticks_S[TEN + 20] == pytest.approx(0.05 * 30, abs=1)
    assert seconds.rail_ticks_S[TEN + 60] == pytest.approx(0.6 * 30, abs=1)


def test_values_beyond_the_range_are_bad() -> None:
    made, _ = recording(100)
    made.counts_CN[1, int(50.5 * 98.7)] = 2_049
    made.counts_CN[1, int(70.5 * 98.7)] = -2_048
    state_S = flags(summarise(made, fit(made)), 98.7)
    assert bits(state_S[TEN:], BAD) == [50]
    assert bits(state_S[TEN:], CLIPPED) == [50, 70]


def test_nonwear_marks_only_measured_and_idle_seconds() -> None:
    state_S = np.array([MEASURED, GAP, IDLE, MEASURED | BAD, 0], dtype=np.uint8)
    marked = with_nonwear(state_S, np.array([True, True, True, True, True]))
    assert marked.tolist() == [MEASURED | NONWEAR, GAP, IDLE | NONWEAR, MEASURED | BAD | NONWEAR, 0]
    assert np.array_equal(with_nonwear(state_S, np.zeros(5, bool)), state_S)


def test_quantising_rounds_clips_and_leaves_the_rest() -> None:
    x_CT = np.random.default_rng(5).integers(-40_000, 40_000, (3, 300)).astype(np.int32)
    later_CT = np.ascontiguousarray(x_CT[:, 90:])
    scale_C, offset_CS = np.array([0.5, 1.0, 2.0]), np.random.default_rng(6).normal(0, 9, (3, 10))
    out_CT = np.full((3, 300), FILL, dtype=np.int16)
    quantise(x_CT, 0, np.array([7]), np.array([70]), scale_C, offset_CS, out_CT)
    quantise(later_CT, 90, np.array([100]), np.array([271]), scale_C, offset_CS, out_CT)
    exact = np.clip(np.rint(x_CT * scale_C[:, None] + np.repeat(offset_CS, TICKS_PER_SECOND, axis=1)), -32_767, 32_767)
    written = np.zeros(300, dtype=bool)
    written[7:70] = written[100:271] = True
    assert np.array_equal(out_CT[:, written], exact[:, written])
    assert (out_CT[:, ~written] == FILL).all()


def test_enmo_and_motion_against_numpy() -> None:
    signal_CT = np.random.default_rng(7).integers(-3_000, 3_000, (3, 30 * 50)).astype(np.int16)
    signal_CT[:, :300] = 1024 * np.array([[0], [0], [1]])
    state_S = np.full(50, MEASURED, dtype=np.uint8)
    state_S[40:] = GAP
    length = np.sqrt((signal_CT.astype(float) ** 2).sum(axis=0)) / 1024
    expected = np.maximum(length - 1, 0).reshape(-1, 30).mean(axis=1)
    assert np.allclose(enmo(signal_CT, 1024), expected, rtol=1e-6, atol=1e-7)
    spread = np.sqrt(signal_CT.reshape(3, -1, 30).astype(float).var(axis=2).sum(axis=0)) / 1024
    found = motion(signal_CT, state_S, 1024)
    assert found.dtype == np.float32
    assert np.allclose(found[:40], spread[:40], rtol=1e-6)
    assert np.isnan(found[40:]).all()
    assert (found[:10] == 0).all()


def test_motion_does_not_change_when_the_device_is_turned() -> None:
    x = np.random.default_rng(8).normal(0, 3_000, (3, 3_000))
    turn, _ = np.linalg.qr(np.random.default_rng(9).normal(size=(3, 3)))
    state_S = np.full(100, MEASURED, dtype=np.uint8)
    one, two = (motion(np.rint(y).astype(np.int16), state_S, 1024) for y in (x, turn @ x))
    assert np.allclose(one, two, rtol=1e-3)
