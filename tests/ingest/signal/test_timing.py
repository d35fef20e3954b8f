"""The timeline of recordings whose true clock is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.recording import Recording
from ingest.signal.timing import fit
from pipeline.errors import UserError
from tests.ingest.made import START, of_day, recording


def reorder(made: Recording, order: list[int]) -> Recording:
    """The blocks of a recording in another order, some twice, some not at all; each keeps its samples and its stamp."""
    count_K = made.count_K[order]
    first_K = np.cumsum(count_K) - count_K
    samples = np.concatenate([made.first_K[k] + np.arange(made.count_K[k]) for k in order])
    return replace(
        made,
        counts_CN=made.counts_CN[:, samples],
        first_K=first_K,
        count_K=count_K,
        sequence_K=made.sequence_K[order],
        stamp_sample_K=first_K + (made.stamp_sample_K - made.first_K)[order],
        stamp_us_K=made.stamp_us_K[order],
        stamped_K=made.stamped_K[order],
        celsius_K=made.celsius_K[order],
    )


def old_firmware(count: int) -> np.ndarray:
    """Whole-second stamps at whole samples, late by up to two of them: a sawtooth of 20 ms."""
    return 0.02 * (np.arange(count) * 0.27 % 1) - 0.01


@pytest.mark.parametrize("rate", [97.0, 98.7, 100.0, 103.0])
def test_true_rate_is_found(rate: float) -> None:
    made, second_N = recording(1800, rate)
    timeline = fit(made)
    assert timeline.rate_hz == pytest.approx(rate, rel=1e-6)
    assert timeline.midnight == START.astype("datetime64[D]")
    assert np.abs(timeline.seconds_of(np.arange(made.samples)) - of_day(made, second_N)).max() < 1e-4
    assert (len(timeline.first_G), timeline.days) == (1, 1)
    assert timeline.instant(timeline.start_G[0]) == START


def test_late_stamps_are_averaged() -> None:
    made, second_N = recording(1800, 98.7, jitter_s=old_firmware)
    timeline = fit(made)
    assert len(timeline.first_G) == 1
    error_s = timeline.seconds_of(np.arange(made.samples)) - of_day(made, second_N)
    assert np.abs(error_s).max() < 0.006
    assert timeline.residual_ms == pytest.approx(20 / np.sqrt(12), rel=0.1)


def test_a_drifting_oscillator_is_followed() -> None:
    """0.2% faster and slower within the hour, as a cooling device is."""
    made, second_N = recording(
        3600, 98.7, clock=lambda s: s + 0.002 * 3600 / (2 * np.pi) * np.sin(2 * np.pi * s / 3600)
    )
    timeline = fit(made)
    assert len(timeline.first_G) == 1
    assert np.abs(timeline.seconds_of(np.arange(made.samples)) - of_day(made, second_N)).max() < 0.002
    assert timeline.drift_ppm == pytest.approx(4000, rel=0.05)


@pytest.mark.parametrize("lost", [0.035, 0.2, 30.0, 5000.0])
def test_a_jump_of_more_than_three_samples_is_a_gap(lost: float) -> None:
    def clock(s: Any) -> Any:
        return s + lost * (s >= 120 * 300 / 98.7)

    made, second_N = recording(900, 98.7, clock=clock)
    late = (made.stamp_sample_K >= 120 * 300) & (made.first_K < 120 * 300)
    made = replace(made, stamp_us_K=made.stamp_us_K - np.where(late, round(lost * 1e6), 0))
    timeline = fit(made)
    assert timeline.first_G.tolist() == [0, 120 * 300]
    assert timeline.stop_G.tolist() == [120 * 300, made.samples]
    assert timeline.start_G[1] - timeline.end_G[0] == pytest.approx(lost + 1 / 98.7, abs=1e-4)
    assert np.abs(timeline.seconds_of(np.arange(made.samples)) - of_day(made, second_N)).max() < 1e-3


def test_a_shift_within_three_samples_is_not_a_gap() -> None:
    made, _ = recording(900, 98.7, jitter_s=lambda count: np.where(np.arange(count) >= 300, 0.025, 0.0))
    assert len(fit(made).first_G) == 1


def test_lost_blocks_are_gaps_and_short_segments_take_the_common_rate() -> None:
    made, second_N = recording(900, 98.7, missing=((100, 101), (106, 108), (400, 460)), jitter_s=old_firmware)
    timeline = fit(made)
    assert len(timeline.first_G) == 4
    assert np.abs(timeline.seconds_of(np.arange(made.samples)) - of_day(made, second_N)).max() < 0.011


@settings(max_examples=30, deadline=None)
@given(
    rate=st.floats(97, 103),
    seed=st.integers(0, 1000),
    gaps=st.lists(st.tuples(st.floats(5, 800), st.floats(1.5, 60)), max_size=8),
)
def test_any_clock_and_any_gaps_are_recovered(rate: Any, seed: Any, gaps: Any) -> None:
    rng = np.random.default_rng(seed)
    made, second_N = recording(
        900,
        rate,
        missing=tuple((begin, begin + length) for begin, length in gaps),
        jitter_s=lambda count: rng.uniform(-0.002, 0.002, count),
    )
    timeline = fit(made)
    breaks = np.flatnonzero(np.diff(made.sequence_K) > 1) + 1
    assert timeline.first_G.tolist() == [0, *made.first_K[breaks]]
    assert timeline.stop_G.tolist() == [*made.first_K[breaks], made.samples]
    assert np.abs(timeline.seconds_of(np.arange(made.samples)) - of_day(made, second_N)).max() < 0.004
    course = timeline.course()
    assert (course.first_tick_R[1:] >= course.stop_tick_R[:-1]).all()
    last = course.position_R + (course.stop_tick_R - 1 - course.first_tick_R) * course.step_R
    assert (course.position_R > course.lo_R - 1e-3).all()
    assert (last < course.hi_R - 1 + 1e-3).all()


def test_duplicates_are_dropped_and_counted() -> None:
    made, _ = recording(300)
    order = [*range(100), *range(97, 100), *range(100, len(made.first_K))]
    timeline = fit(reorder(made, order))
    assert (timeline.duplicate_blocks, timeline.backward_blocks, timeline.mended_stamps) == (3, 0, 0)
    assert timeline.first_G.tolist() == [0, 103 * 120]
    assert timeline.stop_G.tolist() == [100 * 120, made.samples + 3 * 120]
    assert timeline.start_G[1] - timeline.end_G[0] == pytest.approx(1 / 98.7, abs=1e-4)


def test_a_clock_set_back_loses_the_overlap() -> None:
    made, _ = recording(900)
    late = np.arange(len(made.first_K)) >= 300
    made = replace(made, stamp_us_K=made.stamp_us_K - np.where(late, 60_000_000, 0))
    timeline = fit(made)
    assert timeline.duplicate_blocks == 0
    assert timeline.backward_blocks == pytest.approx(60 / 120 * 98.7, abs=2)
    assert (np.diff(timeline.start_G) > 0).all()
    assert (timeline.start_G[1:] > timeline.end_G[:-1]).all()


def test_swapped_blocks_are_never_joined_out_of_order() -> None:
    made, _ = recording(300)
    order = list(range(len(made.first_K)))
    order[100], order[101] = order[101], order[100]
    timeline = fit(reorder(made, order))
    assert timeline.backward_blocks == 1
    assert timeline.stop_G[0] == 100 * 120
    assert (timeline.start_G[1:] > timeline.end_G[:-1]).all()


@pytest.mark.parametrize("error_s", [-500.0, -2.0, 2.0, 3600.0])
def test_one_wrong_stamp_is_not_used(error_s: float) -> None:
    made, second_N = recording(300)
    stamp_us_K = made.stamp_us_K.copy()
    stamp_us_K[77] += round(error_s * 1e6)
    timeline = fit(replace(made, stamp_us_K=stamp_us_K))
    assert (timeline.mended_stamps, len(timeline.first_G)) == (1, 1)
    assert np.abs(timeline.seconds_of(np.arange(made.samples)) - of_day(made, second_N)).max() < 1e-3


def with_error(made: Recording, blocks: slice, error_s: float) -> Recording:
    stamp_us_K = made.stamp_us_K.copy()
    stamp_us_K[blocks] += round(error_s * 1e6)
    return replace(made, stamp_us_K=stamp_us_K)


@pytest.mark.parametrize("error_s", [3 * 3600.0, 20 * 3600.0, 40 * 86_400.0])
@pytest.mark.parametrize("stamps", [1, 4, 20])
def test_wrong_first_stamps_cost_only_their_blocks(stamps: int, error_s: Any) -> None:
    made, second_N = recording(4 * 3600)
    timeline = fit(with_error(made, slice(0, stamps), error_s))
    assert (timeline.backward_blocks, timeline.mended_stamps) == (stamps, 0)
    assert (timeline.first_G.tolist(), timeline.stop_G.tolist()) == ([stamps * 120], [made.samples])
    assert timeline.midnight == START.astype("datetime64[D]")
    kept = np.arange(stamps * 120, made.samples)
    assert np.abs(timeline.seconds_of(kept) - of_day(made, second_N)[kept]).max() < 1e-3


@pytest.mark.parametrize("error_s", [-7200.0, -0.5, 0.5, 7200.0, 3 * 86_400.0])
@pytest.mark.parametrize("stamps", [4, 20, 99])
def test_consecutive_wrong_stamps_are_not_used(stamps: int, error_s: Any) -> None:
    made, second_N = recording(4 * 3600)
    timeline = fit(with_error(made, slice(5_000, 5_000 + stamps), error_s))
    assert (timeline.backward_blocks, timeline.mended_stamps, len(timeline.first_G)) == (0, stamps, 1)
    assert np.abs(timeline.seconds_of(np.arange(made.samples)) - of_day(made, second_N)).max() < 1e-3


def test_scattered_wrong_stamps_are_not_used() -> None:
    made, second_N = recording(4 * 3600, jitter_s=old_firmware)
    rng = np.random.default_rng(0)
    wrong = rng.choice(np.arange(1, len(made.first_K) - 1), 90, replace=False)
    stamp_us_K = made.stamp_us_K.copy()
    stamp_us_K[wrong] += rng.integers(-86_400, 86_400, 90) * 1_000_000
    timeline = fit(replace(made, stamp_us_K=stamp_us_K))
    assert (timeline.backward_blocks, timeline.mended_stamps, len(timeline.first_G)) == (0, 90, 1)
    assert np.abs(timeline.seconds_of(np.arange(made.samples)) - of_day(made, second_N)).max() < 0.03


@pytest.mark.parametrize("at", [300, 5_000, 11_000])
def test_a_clock_set_back_by_an_hour_is_refused(at: int) -> None:
    made, _ = recording(4 * 3600)
    with pytest.raises(UserError, match=r"runs backwards.*: [\d,]+ of 11,844 blocks.*up to 118 are allowed"):
        fit(with_error(made, slice(at, None), -3600))


def test_a_recording_that_repeats_itself_is_kept_once() -> None:
    made, _ = recording(900)
    blocks = len(made.first_K)
    timeline = fit(reorder(made, [*range(blocks), *range(blocks)]))
    assert (timeline.duplicate_blocks, timeline.backward_blocks) == (blocks, 0)
    assert (timeline.first_G.tolist(), timeline.stop_G.tolist()) == ([0], [made.samples])


def test_blocks_without_a_stamp_keep_their_samples() -> None:
    made, second_N = recording(300)
    stamped_K = made.stamped_K.copy()
    stamped_K[50:60] = False
    timeline = fit(replace(made, stamped_K=stamped_K, stamp_us_K=np.where(stamped_K, made.stamp_us_K, 0)))
    assert (timeline.mended_stamps, len(timeline.first_G)) == (10, 1)
    assert np.abs(timeline.seconds_of(np.arange(made.samples)) - of_day(made, second_N)).max() < 1e-3


@pytest.mark.parametrize("blocks", [1, 2, 5, 24, 26])
def test_short_recordings_have_a_timeline_too(blocks: int) -> None:
    made, second_N = recording(blocks * 1.2158, 98.7)
    timeline = fit(made)
    true = of_day(made, second_N)
    assert np.abs(timeline.seconds_of(np.arange(made.samples)) - true).max() < (0.02 if blocks < 3 else 1e-3)


def test_a_first_sample_before_midnight_begins_a_day() -> None:
    start = np.datetime64("2024-03-04T23:59:59.500", "us")
    made, _ = recording(300, start=start)
    timeline = fit(made)
    assert timeline.midnight == np.datetime64("2024-03-04")
    assert timeline.start_G[0] == pytest.approx(86_399.5, abs=1e-4)
    assert timeline.days == 2


def test_a_clock_that_jumps_by_days_is_refused() -> None:
    made, _ = recording(600)
    with pytest.raises(UserError, match=r"jumps ahead by over a day: 200 of 494 blocks"):
        fit(with_error(made, slice(294, None), 48 * 3600))


@pytest.mark.parametrize("error_s", [-20 * 365 * 86_400.0, -30 * 3600.0, 30 * 3600.0, 30 * 365 * 86_400.0])
@pytest.mark.parametrize("end", ["first", "last"])
@pytest.mark.parametrize("stamps", [1, 50])
def test_a_clock_that_was_set_near_an_end_costs_little(stamps: int, end: str, error_s: Any) -> None:
    made, second_N = recording(4 * 3600)
    timeline = fit(with_error(made, slice(0, stamps) if end == "first" else slice(-stamps, None), error_s))
    lost = stamps if end == "first" else 0
    assert (timeline.backward_blocks, timeline.mended_stamps) == (lost, stamps - lost)
    assert (timeline.first_G.tolist(), timeline.stop_G.tolist()) == ([lost * 120], [made.samples])
    assert timeline.midnight == START.astype("datetime64[D]")
    kept = np.arange(lost * 120, made.samples)
    assert np.abs(timeline.seconds_of(kept) - of_day(made, second_N)[kept]).max() < 2e-3


def test_a_rate_that_contradicts_the_header_is_refused() -> None:
    made, _ = recording(300, 50.0)
    with pytest.raises(UserError, match="100 Hz and its clock 50"):
        fit(made)


def test_ticks_are_on_the_grid_that_begins_at_midnight() -> None:
    made, _ = recording(200, 98.7, start=np.datetime64("2024-03-04T00:00:00.010", "us"))
    course = fit(made).course()
    assert course.first_tick_R[0] == 1
    assert course.position_R[0] == pytest.approx((1 / 30 - 0.010) * 98.7, abs=1e-2)
    assert np.array_equal(course.first_tick_R[1:], course.stop_tick_R[:-1])
