"""Nearby windows of the same day: what is chosen, and that the sampling law stays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pipeline.errors import UserError
from tests.train.days import MadeDays
from tests.train.windows.companions.streams import (
    SECONDS,
    Streamed,
    check_any_world_size,
    check_resuming,
    check_samples,
)
from train.windows.companions.kind import NO_COMPANIONS, AnchorDay
from train.windows.companions.nearby import Nearby
from train.windows.lanes import deal, quotas
from train.windows.settings import DataSettings


@pytest.fixture(scope="module")
def streamed() -> Streamed:
    days, slots = MadeDays(), np.arange(1, 22)
    starts = np.array([days.starts(int(slot), SECONDS) for slot in slots])
    return Streamed(days, deal(slots, quotas(starts, 1500), 8, 11, 3), Nearby(30))


def test_anchors_are_those_of_a_stream_without_companions(streamed: Streamed) -> None:
    plain = Streamed(streamed.days, streamed.lanes, NO_COMPANIONS)
    for with_, without in zip(streamed.batches(0, 1, 0, 12), plain.batches(0, 1, 0, 12), strict=True):
        assert with_.signal_BDCT.shape == (32, 2, 3, 300)
        assert without.signal_BDCT.shape == (32, 1, 3, 300)
        assert torch.equal(with_.signal_BCT, without.signal_BCT)
        assert torch.equal(with_.place_BP[:, :4], without.place_BP)


@pytest.mark.parametrize("world_size", [2, 4, 8])
def test_the_global_batch_is_the_same_at_every_world_size(streamed: Streamed, world_size: int) -> None:
    check_any_world_size(streamed, world_size)


@pytest.mark.parametrize("step", [1, 17])
def test_resuming_at_a_step_equals_never_having_stopped(streamed: Streamed, step: int) -> None:
    check_resuming(streamed, step)


def test_companions_are_near_do_not_overlap_and_are_eligible(streamed: Streamed) -> None:
    drawn = streamed.round()
    assert len(drawn) == streamed.lanes[0].windows_in(0)
    check_samples(drawn, streamed.days)  # type: ignore[arg-type]
    assert torch.equal(drawn.companion_BK2[:, 0, 0], drawn.slot_B)
    distance = (drawn.companion_BK2[:, 0, 1] - 30 * drawn.start_B).abs() / 30
    assert drawn.without_companion == 0
    assert distance.min() >= SECONDS
    assert distance.max() <= 30


def chosen(weight_S: Any, start_N: Any, within_s: float, seconds: int = SECONDS, lane: int = 0) -> Any:
    anchor = AnchorDay(7, (3, lane), seconds, (7,), frozenset(), lambda slot: weight_S)
    return Nearby(within_s).choose(anchor, np.asarray(start_N))


@given(st.integers(0, 2**32), st.integers(0, 60), st.sampled_from([1, 5, 10]))
@settings(max_examples=60, deadline=None)
def test_candidates_are_those_of_a_plain_loop(seed: int, more_s: int, seconds: int) -> None:
    random = np.random.default_rng(seed)
    weight_S = np.repeat(random.choice([0.0, 0.3], 30), random.integers(1, 20, 30))
    start_N = np.flatnonzero(weight_S)
    anchor = AnchorDay(7, (3, 0), seconds, (7,), frozenset(), lambda slot: weight_S)
    number_N = anchor.numbers(start_N)
    found = chosen(weight_S, start_N, seconds + more_s, seconds)[:, 0]
    for (slot, tick), start, number in zip(found.tolist(), start_N.tolist(), number_N.tolist(), strict=True):
        near = [s for s in range(weight_S.size) if weight_S[s] > 0 and seconds <= abs(s - start) <= seconds + more_s]
        assert (slot, tick) == (7, 30 * (near[int(number * len(near))] if near else start))


def test_every_candidate_is_equally_likely() -> None:
    weight_S = np.zeros(200)
    weight_S[[60, 70, 75, 100, 115, 128, 130, 131]] = 1
    ticks = [chosen(weight_S, [100], 30, lane=lane)[0, 0, 1] for lane in range(3000)]
    starts, counts = np.unique(ticks, return_counts=True)
    assert (starts / 30).tolist() == [70, 75, 115, 128, 130]
    assert stats.chisquare(counts).pvalue > 1e-6


def test_a_window_without_neighbours_is_its_own_companion_and_counted() -> None:
    weight_S = np.zeros(200)
    weight_S[[50, 55, 100]] = 1
    assert chosen(weight_S, [50, 100], 30)[:, 0].tolist() == [[7, 1500], [7, 3000]]
    days, slots = MadeDays(seconds=12), np.arange(1, 5)  # three starts, which all overlap
    alone = Streamed(days, deal(slots, np.full(4, 3), 1, 11, 3), Nearby(30)).round()
    assert len(alone) == 12
    assert alone.without_companion == 12
    assert torch.equal(alone.signal_BDCT[:, 0], alone.signal_BDCT[:, 1])


def test_a_distance_within_the_window_is_refused() -> None:
    with pytest.raises(UserError, match=r"starts at least 30 s from it: expected that distance or more, found 20 s"):
        Nearby(20.0).bind(None, None, DataSettings(seconds=30), {})  # type: ignore[arg-type]
