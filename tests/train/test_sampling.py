"""Conformance of the sampling law: lanes, quotas, draws (docs/sampling.md)."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pipeline.errors import UserError
from tests.train.days import MadeDays
from train.random import round_key
from train.windows.draw import cut, draw, weights
from train.windows.lanes import Lane, deal, lane_count, owned, per_step, quotas
from train.windows.stream import Stream, Windows

SECONDS = 10


def a_deal(members: int, lanes: int, seed: int = 7, days_per_pool: int = 4) -> list[Lane]:
    random = np.random.default_rng(members)
    slots = np.sort(random.choice(10 * members, members, replace=False))
    return deal(slots, random.integers(1, 40, members), lane_count(members, lanes), seed, days_per_pool)


@given(st.integers(1, 200), st.sampled_from([1, 2, 4, 8, 16, 64]), st.integers(0, 2**63 - 1), st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_a_round_visits_every_member_once_in_one_lane(members: int, lanes: int, seed: int, days_per_pool: int) -> None:
    dealt = a_deal(members, lanes, seed, days_per_pool)
    assert len(dealt) == min(lanes, 1 << (members.bit_length() - 1))
    sizes = [lane.slots.size for lane in dealt]
    assert max(sizes) - min(sizes) <= 1
    visited: list[int] = []
    for lane in dealt:
        for round_ in (0, 1, 5):
            pool = lane.pool_at(round_ * lane.windows_per_round)
            seen: list[int] = []
            while pool.round == round_:
                assert 1 <= pool.slots.size <= days_per_pool
                seen += pool.slots.tolist()
                pool = lane.after(pool)
            assert sorted(seen) == lane.slots.tolist()
            assert pool.first == (round_ + 1) * lane.windows_per_round
        visited += seen
    assert len(set(visited)) == len(visited) == members


@pytest.mark.parametrize("members", [3, 8, 11])
def test_lanes_with_fewer_as_many_and_more_members(members: int) -> None:
    dealt = a_deal(members, 8)
    assert len(dealt) == {3: 2, 8: 8, 11: 8}[members]


def test_the_deal_does_not_depend_on_the_order_of_the_rows() -> None:
    slots, quota = np.arange(0, 300, 3), np.arange(1, 101)
    order = np.random.default_rng(0).permutation(100)
    for lane, again in zip(deal(slots, quota, 8, 1, 4), deal(slots[order], quota[order], 8, 1, 4), strict=True):
        np.testing.assert_array_equal(lane.slots, again.slots)
        np.testing.assert_array_equal(lane.quotas, again.quotas)


def test_order_differs_by_round_lane_and_seed() -> None:
    slots, quota = np.arange(40), np.ones(40, np.int64)
    orders = {
        tuple(Lane(number, seed, 4, slots, quota).round(round_).slots)
        for number in (0, 1)
        for seed in (0, 1)
        for round_ in (0, 1, 2)
    }
    assert len(orders) == 12


def test_starts_are_staggered() -> None:
    firsts = {lane.pool_at(0).slots.size for lane in a_deal(200, 8)}
    assert firsts == {1, 2, 3, 4}


@pytest.mark.parametrize("world_size", [1, 2, 4, 8])
@pytest.mark.parametrize("members", [5, 8, 50])
def test_ranks_share_the_lanes_whatever_the_world_size(world_size: int, members: int) -> None:
    dealt = a_deal(members, 8)
    if len(dealt) % world_size:
        with pytest.raises(UserError, match=r"cannot share 4 lanes evenly: run 4 processes"):
            per_step(16, len(dealt), world_size)
        return
    shares = [lane.number for rank in range(world_size) for lane in owned(dealt, rank, world_size)]
    assert sorted(shares) == list(range(len(dealt)))


def test_a_batch_that_cannot_be_shared_names_the_nearest() -> None:
    assert per_step(512, 64, 8) == 8
    with pytest.raises(UserError, match="make it 448 or 512"):
        per_step(500, 64, 8)
    with pytest.raises(UserError, match="make it 64"):
        per_step(10, 64, 8)
    with pytest.raises(UserError, match="run 2 or 4 processes"):
        per_step(512, 64, 3)


@given(st.lists(st.integers(0, 86_400), min_size=1, max_size=50), st.integers(1, 90_000))
def test_quotas_follow_the_law(starts: list[int], per_day: int) -> None:
    result = quotas(np.array(starts), per_day)
    for value, count in zip(result, starts, strict=True):
        assert value <= count
        if count:
            assert value == min(count, max(1, round(per_day * count / 86_400)))


def batches(
    days: MadeDays, dealt: list[Lane], rank: int, world: int, step: int, steps: int, threads: int
) -> list[Windows]:
    with Stream(days, owned(dealt, rank, world), 4, SECONDS, step, threads, ahead=3) as stream:
        return [next(stream) for _ in range(steps)]


def as_set(windows: Windows) -> Counter[tuple[int, ...]]:
    ids = torch.stack((windows.lane_B, windows.round_B, windows.slot_B, windows.start_B), 1)
    return Counter(tuple(row) for row in ids.tolist())


@pytest.fixture(scope="module")
def small() -> tuple[MadeDays, list[Lane]]:
    days = MadeDays()
    slots = np.arange(1, 22)
    starts = np.array([days.starts(int(slot), SECONDS) for slot in slots])
    return days, deal(slots, quotas(starts, 1500), 8, 11, 3)


@pytest.mark.parametrize("world_size", [2, 4, 8])
def test_the_global_batch_is_the_same_at_every_world_size(small: tuple[MadeDays, list[Lane]], world_size: int) -> None:
    days, dealt = small
    alone = batches(days, dealt, 0, 1, 0, 12, 1)
    shared = [batches(days, dealt, rank, world_size, 0, 12, 3) for rank in range(world_size)]
    for step in range(12):
        together = Windows.join([shared[rank][step] for rank in range(world_size)])
        assert as_set(together) == as_set(alone[step])
        assert len(together) == 32


@pytest.mark.parametrize("step", [1, 5, 17, 40])
def test_resuming_at_a_step_equals_never_having_stopped(small: tuple[MadeDays, list[Lane]], step: int) -> None:
    days, dealt = small
    straight = batches(days, dealt, 1, 2, 0, step + 3, 2)
    resumed = batches(days, dealt, 1, 2, step, 3, 1)
    for left, right in zip(straight[step:], resumed, strict=True):
        for name in Windows.__dataclass_fields__:
            assert torch.equal(getattr(left, name), getattr(right, name)), name


def test_windows_are_cut_where_they_say_and_never_twice_in_a_round(small: tuple[MadeDays, list[Lane]]) -> None:
    days, dealt = small
    lane = dealt[0]
    steps = 2 * lane.windows_per_round // 4 + 1
    given_ = Windows.join(batches(days, [lane], 0, 1, 0, steps, 2))
    assert (given_.signal_BCT[:, 0] == given_.slot_B[:, None]).all()
    seconds = given_.start_B[:, None] + torch.arange(SECONDS * 30) // 30
    assert (given_.signal_BCT[:, 1] == seconds % 30_000).all()
    for round_ in (0, 1):
        mine = given_.take(given_.round_B == round_)
        assert len(mine) == lane.windows_per_round
        assert max(as_set(mine).values()) == 1
        assert Counter(mine.slot_B.tolist()) == dict(zip(lane.slots.tolist(), lane.quotas.tolist(), strict=True))
    first, second = (as_set(given_.take(given_.round_B == round_)) for round_ in (0, 1))
    assert {key[2:] for key in first} != {key[2:] for key in second}


def test_only_eligible_seconds_are_drawn() -> None:
    day = MadeDays().read_day(3)
    weight = weights(day.motion_S, day.state_S, SECONDS)
    count = MadeDays().starts(3, SECONDS)
    assert int((weight > 0).sum()) == count
    every = draw(weight, count, round_key(0, 0, 0), 3)
    assert torch.equal(every, torch.nonzero(weight).flatten())
    windows = cut(day.signal_CT, every, SECONDS)
    assert (windows[:, 0] == 3).all()
    with pytest.raises(ValueError, match="eligible starts"):
        draw(weight, count + 1, round_key(0, 0, 0), 3)


def test_weights_are_the_mean_motion_of_the_window() -> None:
    day = MadeDays().read_day(5)
    weight = weights(day.motion_S, day.state_S, SECONDS).numpy()
    for start in np.flatnonzero(weight)[::37]:
        assert weight[start] == pytest.approx(
            max(day.motion_S[start : start + SECONDS].mean(dtype=float), 1e-6), rel=1e-6
        )


def test_the_first_to_arrive_follows_the_weights() -> None:
    weight = torch.zeros(86_400, dtype=torch.float64)
    weight[[100, 200, 300, 400]] = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
    draws = 1500
    first = Counter(int(draw(weight, 1, round_key(1, 0, round_), 9)) for round_ in range(draws))
    observed = [first[start] for start in (100, 200, 300, 400)]
    assert sum(observed) == draws
    assert stats.chisquare(observed, [draws * share for share in (0.1, 0.2, 0.3, 0.4)]).pvalue > 1e-6


def test_inclusion_follows_numpys_choice_without_replacement() -> None:
    random = np.random.default_rng(3)
    share = random.random(12) + 0.05
    share /= share.sum()
    weight = torch.zeros(86_400, dtype=torch.float64)
    starts = np.arange(12) * 1000 + 7
    weight[torch.from_numpy(starts)] = torch.from_numpy(share)
    draws = 1500
    ours, theirs = np.zeros(12), np.zeros(12)
    for round_ in range(draws):
        ours[np.searchsorted(starts, draw(weight, 5, round_key(2, 3, round_), 1).numpy())] += 1
        theirs[random.choice(12, 5, replace=False, p=share)] += 1
    pooled = (ours + theirs) / (2 * draws)
    z = (ours - theirs) / np.sqrt(2 * draws * pooled * (1 - pooled))
    assert np.abs(z).max() < 5
