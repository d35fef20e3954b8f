"""Pauses of any length are gaps; a clock that was set is a question, and each answer keeps what it says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.process import process
from ingest.recording import Recording
from ingest.settings import ClockChoice, SignalSettings
from ingest.signal.clock import timed
from ingest.signal.timing import fit
from pipeline.errors import UserError
from tests.ingest.made import START, of_day, recording

HOUR = 3600
BLOCK_S = 120 / 98.7
DAY = 86_400


def made_with_step(seconds: float, at: int, step_s: float) -> Recording:
    """A recording whose stamps are later by `step_s` from block `at` on."""
    made, _ = recording(seconds)
    stamp_us_K = made.stamp_us_K.copy()
    stamp_us_K[at:] += round(step_s * 1e6)
    return replace(made, stamp_us_K=stamp_us_K)


@pytest.mark.parametrize("days", [1.1, 30])
@pytest.mark.parametrize("kind", ["resumed", "not counted"])
def test_a_pause_is_a_gap(days: float, kind: str) -> None:
    made = made_with_step(900, 300, days * DAY)
    if kind == "resumed":
        resumed_K = np.arange(made.first_K.size) == 300
        made = replace(made, resumed_K=resumed_K, sequence_K=made.sequence_K - 300 * (made.sequence_K >= 300))
    else:
        made = replace(made, is_counted=False)
    timeline = fit(made)
    assert timeline.backward_blocks == 0
    assert timeline.start_G[1] - timeline.end_G[0] == pytest.approx(days * DAY + 1 / 98.7, abs=1e-3)


@settings(max_examples=30, deadline=None)
@given(
    pauses=st.dictionaries(st.integers(5, 700), st.floats(0.1, 14), min_size=1, max_size=4),
    counted=st.booleans(),
    strays=st.sets(st.integers(1, 730), max_size=5),
)
def test_any_pauses_keep_every_sample_at_its_time(pauses: dict[int, float], counted: bool, strays: set[int]) -> None:
    """Also with some stamps that are off by years."""
    made, second_N = recording(900)
    stamp_us_K, sequence_K, resumed_K = made.stamp_us_K.copy(), made.sequence_K.copy(), made.first_K < 0
    for block, days in pauses.items():
        stamp_us_K[block:] += round(days * DAY * 1e6)
        second_N[block * 120 :] += days * DAY
        sequence_K[block:] -= sequence_K[block]
        resumed_K[block] = True
    for block in strays - {block + near for block in pauses for near in (-1, 0, 1)}:
        stamp_us_K[block] -= 20 * 365 * DAY * 1_000_000
    made = replace(made, stamp_us_K=stamp_us_K)
    made = replace(made, sequence_K=sequence_K, resumed_K=resumed_K) if counted else replace(made, is_counted=False)
    timeline = fit(made)
    assert len(timeline.first_G) == len(pauses) + 1
    assert timeline.backward_blocks == 0
    assert np.abs(timeline.seconds_of(np.arange(made.samples)) - of_day(made, second_N)).max() < 0.01


def test_a_pause_longer_than_max_days_is_a_question() -> None:
    made = replace(made_with_step(900, 300, 70 * DAY), is_counted=False)
    assert fit(made).days == 71
    with pytest.raises(UserError, match=r"it spans 71 days by its own clock, more than --max-days 60.*keep-first"):
        timed(made, None, max_days=60)
    assert timed(made, "keep-last", max_days=60)[1].days == 1


@pytest.mark.parametrize("stamps", [1, 50])
def test_a_few_first_blocks_of_another_year_are_left_out_although_the_device_was_resumed(stamps: int) -> None:
    made, _ = recording(4 * HOUR)
    stamp_us_K = made.stamp_us_K.copy()
    stamp_us_K[:stamps] -= 24 * 365 * DAY * 1_000_000
    timeline = fit(replace(made, stamp_us_K=stamp_us_K, resumed_K=np.arange(made.first_K.size) == stamps))
    assert (timeline.backward_blocks, timeline.days) == (stamps, 1)


@pytest.mark.parametrize("step_h", [-72.0, -1.0, 30.0])
@pytest.mark.parametrize("choice", ["keep-first", "keep-last", "split"])
def test_each_choice_keeps_what_it_says(choice: ClockChoice, step_h: float) -> None:
    blocks = round(4 * HOUR / BLOCK_S)
    cut = blocks // 4
    made = made_with_step(4 * HOUR, cut, step_h * HOUR)
    with pytest.raises(UserError, match=rf"after 1\.0 h it was set \w+ by {abs(step_h)} h.*keeps the 1\.0 h before"):
        timed(made, None)
    chosen, timeline, was_set = timed(made, choice)
    assert was_set
    first, last = np.arange(blocks) < cut, np.arange(blocks) >= cut
    overlap = max(0, min(cut, round(HOUR / BLOCK_S))) if step_h == -1 else 0
    kept = {"keep-first": first.sum(), "keep-last": last.sum(), "split": blocks - overlap}[choice]
    assert abs(len(chosen.first_K) - kept) <= 2
    assert timeline.backward_blocks + len(chosen.first_K) == len(made.first_K)
    assert (timeline.start_G[1:] > timeline.end_G[:-1]).all()
    for k in range(0, len(chosen.first_K), 97):  # every block is where its own stamp is
        stamp_s = (chosen.stamp_us_K[k] - timeline.midnight.astype("datetime64[us]").astype(np.int64)) * 1e-6
        off = (chosen.stamp_sample_K[k] - chosen.first_K[k]) / 98.7
        assert timeline.seconds_of(chosen.first_K[k : k + 1])[0] == pytest.approx(stamp_s - off, abs=0.02)


def test_samples_stay_with_their_block() -> None:
    made, _ = recording(2 * HOUR, signal=lambda t: np.stack((np.sin(t), np.cos(t), t * 0)))
    stamp_us_K = made.stamp_us_K.copy()
    stamp_us_K[3000:] -= 72 * HOUR * 1_000_000
    made = replace(made, stamp_us_K=stamp_us_K)
    chosen, _, _ = timed(made, "split")
    at = int(made.first_K[3000])
    assert np.array_equal(chosen.counts_CN, np.roll(made.counts_CN, -at, axis=1))


def test_the_choice_is_a_figure_and_a_doubt() -> None:
    made = made_with_step(4 * HOUR, 3000, -72 * HOUR)
    processed = process(made, SignalSettings(clock="split"))
    assert processed.figures.extras["clock_choice"] == "split"
    assert [str(day) for day, _, _ in processed.days()] == ["2024-03-01", "2024-03-04"]
    usual, _ = recording(900)
    assert "clock_choice" not in process(usual, SignalSettings(clock="split")).figures.extras


def test_noise_is_not_a_clock_that_was_set() -> None:
    made, _ = recording(4 * HOUR)
    noise: Any = np.random.default_rng(0).integers(-DAY, DAY, made.first_K.size) * 1_000_000
    with pytest.raises(UserError, match="contradict the others"):
        timed(replace(made, stamp_us_K=made.stamp_us_K + noise), "split")


def test_start_is_not_in_the_message() -> None:
    with pytest.raises(UserError) as raised:
        timed(made_with_step(4 * HOUR, 3000, -72 * HOUR), None)
    assert str(START)[:4] not in str(raised.value)
