"""Conformance of the sampling law: lanes, quotas, draws (docs/sampling.md)."""

from __future__ import annotations

from collections import Counter
from hashlib import sha256

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pipeline.errors import UserError
from tests.train.days import MadeDays
from train.random import Purpose, round_key, words
from train.windows.draw import Weighting, arrivals, draw, draw_by_weight, own_numbers, reweighted, weights
from train.windows.lanes import Lane, deal, lane_count, owned, per_step, quotas
from train.windows.pool import DayDraw, Windows, distinct_seconds, draw_pool
from train.windows.stream import Stream

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
            pool = lane.pool_at(lane.begin(round_))
            seen: list[int] = []
            while pool.round == round_:
                assert 1 <= pool.slots.size <= days_per_pool
                seen += pool.slots.tolist()
                pool = lane.after(pool)
            assert sorted(seen) == lane.slots.tolist()
            assert pool.first == lane.begin(round_ + 1)
        visited += seen
    assert len(set(visited)) == len(visited) == members


@pytest.mark.parametrize("members", [3, 8, 11])
def test_number_of_lanes_for_few_and_many_members(members: int) -> None:
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
def test_ranks_share_the_lanes_at_any_world_size(world_size: int, members: int) -> None:
    dealt = a_deal(members, 8)
    if len(dealt) % world_size:
        with pytest.raises(UserError, match=r"cannot share 4 lanes evenly: run 4 processes"):
            per_step(16, len(dealt), world_size)
        return
    shares = [lane.number for rank in range(world_size) for lane in owned(dealt, rank, world_size)]
    assert sorted(shares) == list(range(len(dealt)))


def test_an_invalid_batch_names_the_nearest_valid_ones() -> None:
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


def test_a_seed_still_gives_the_windows_that_it_gave(small: tuple[MadeDays, list[Lane]]) -> None:
    """Of release 0.1.0: samples and places of twelve batches, byte by byte."""
    days, dealt = small
    seen = sha256()
    for windows in batches(days, dealt, 0, 1, 0, 12, 1):
        seen.update(windows.signal_BCT.contiguous().numpy().tobytes() + windows.place_BP.numpy().tobytes())
    assert seen.hexdigest() == "dc8c5d1cffa40bb900285362c4f6bcd403a32e9ad7de085d4e8eb3c6952a3b1b"


@pytest.mark.parametrize("world_size", [2, 4, 8])
def test_the_global_batch_is_the_same_at_every_world_size(small: tuple[MadeDays, list[Lane]], world_size: int) -> None:
    days, dealt = small
    alone = batches(days, dealt, 0, 1, 0, 12, 1)
    shared = [batches(days, dealt, rank, world_size, 0, 12, 3) for rank in range(world_size)]
    for step in range(12):
        whole = Windows.join([shared[rank][step] for rank in range(world_size)])
        assert as_set(whole) == as_set(alone[step])
        assert len(whole) == 32


@pytest.mark.parametrize("step", [1, 5, 17, 40])
def test_resuming_at_a_step_equals_never_having_stopped(small: tuple[MadeDays, list[Lane]], step: int) -> None:
    days, dealt = small
    straight = batches(days, dealt, 1, 2, 0, step + 3, 2)
    resumed = batches(days, dealt, 1, 2, step, 3, 1)
    for left, right in zip(straight[step:], resumed, strict=True):
        for name in Windows.__dataclass_fields__:
            assert torch.equal(getattr(left, name), getattr(right, name)), name


def test_windows_have_the_samples_of_their_place_and_are_drawn_once_in_a_round(
    small: tuple[MadeDays, list[Lane]],
) -> None:
    days, dealt = small
    lane = dealt[0]
    steps = lane.begin(2) // 4 + 1
    given_ = Windows.join(batches(days, [lane], 0, 1, 0, steps, 2))
    assert (given_.signal_BCT[:, 0] == given_.slot_B[:, None]).all()
    seconds = given_.start_B[:, None] + torch.arange(SECONDS * 30) // 30
    assert (given_.signal_BCT[:, 1] == seconds % 30_000).all()
    for round_ in (0, 1):
        mine = given_.take(given_.round_B == round_)
        assert len(mine) == lane.windows_in(round_)
        assert max(as_set(mine).values()) == 1
        assert Counter(mine.slot_B.tolist()) == dict(zip(lane.slots.tolist(), lane.quotas.tolist(), strict=True))
    first, second = (as_set(given_.take(given_.round_B == round_)) for round_ in (0, 1))
    assert {key[2:] for key in first} != {key[2:] for key in second}


def key_of(seed: int, lane: int, round_: int) -> tuple[int, int]:
    first, second = round_key(seed, lane, round_)
    return int(first), int(second)


def test_only_eligible_seconds_are_drawn() -> None:
    days = MadeDays()
    day, count = days.read_day(3), days.starts(3, SECONDS)
    weight_S = weights(day.motion_S, day.state_S, SECONDS)
    assert int((weight_S > 0).sum()) == count
    every = draw(day.motion_S, day.state_S, SECONDS, count, key_of(0, 0, 0), 3)
    np.testing.assert_array_equal(every, np.flatnonzero(weight_S))
    windows = np.zeros((count, 3, SECONDS * 30), np.int16)
    days.open_day(3).windows(30 * every, np.arange(count), windows)
    assert (windows[:, 0] == 3).all()
    with pytest.raises(ValueError, match="expected at least"):
        draw(day.motion_S, day.state_S, SECONDS, count + 1, key_of(0, 0, 0), 3)


@given(st.integers(0, 1000), st.integers(1, 3000), st.integers(0, 50), st.sampled_from([0.02, 1.0, 3.0]))
@settings(max_examples=40, deadline=None)
def test_stopping_the_race_early_does_not_change_the_draw(seed: int, quota: int, after: int, spread: float) -> None:
    random = np.random.default_rng(seed)
    motion_S = random.lognormal(-3, spread, 86_400).astype(np.float32)
    state_S = np.repeat(random.choice([0, 1, 1], 96), 900).astype(np.uint8)
    start_N, arrival_N = arrivals(weights(motion_S, state_S, SECONDS), *key_of(seed, 1, 2), 9)
    in_order = start_N[np.argsort(arrival_N)]
    drawn = draw(motion_S, state_S, SECONDS, quota, key_of(seed, 1, 2), 9, after)
    np.testing.assert_array_equal(drawn, np.sort(in_order[after : after + quota]))


def test_no_window_has_a_second_whose_motion_is_nan() -> None:
    day = MadeDays().read_day(3)
    motion_S = day.motion_S.copy()
    first = int(np.flatnonzero(weights(motion_S, day.state_S, SECONDS))[0])
    motion_S[first + 20] = np.nan
    weight_S = weights(motion_S, day.state_S, SECONDS)
    assert np.isfinite(weight_S).all()
    assert not weight_S[first + 20 - SECONDS + 1 : first + 21].any()
    count = int((weight_S > 0).sum())
    assert draw(motion_S, day.state_S, SECONDS, count, key_of(0, 0, 0), 3).size == count


@given(st.integers(0, 100), st.sampled_from([1, 5, 10, 30]))
@settings(max_examples=20, deadline=None)
def test_weights_are_the_mean_motion_of_the_window(seed: int, seconds: int) -> None:
    """Compared with a loop over the starts, on changing states."""
    random = np.random.default_rng(seed)
    state_S = np.repeat(random.choice([0, 1, 1, 1, 17, 33, 3], 40), random.integers(1, 60, 40)).astype(np.uint8)
    motion_S = random.random(state_S.size, np.float32) * random.choice([0, 1e-9, 1], state_S.size)
    motion_S[state_S & 1 == 0] = np.nan
    weight_S = weights(motion_S.astype(np.float32), state_S, seconds)
    for start in range(state_S.size):
        span = slice(start, start + seconds)
        fits = start + seconds <= state_S.size and (state_S[span] & (1 | 16 | 32) == 1).all()
        wanted = max(float(motion_S[span].astype(float).mean()), 1e-6) if fits else 0.0
        assert weight_S[start] == pytest.approx(wanted, rel=1e-6, abs=1e-12)


def test_compiled_random_numbers_equal_those_of_train_random() -> None:
    """The counter of a draw is (slot, block of four starts), that of an order (slot, start), as in `train.random`."""
    key = round_key(5, 6, 7)
    weight_S = np.zeros(86_400)
    weight_S[[0, 3, 4, 500, 86_399]] = [1.0, 2.0, 0.5, 1e-6, 3.0]
    start_N, arrival_N = arrivals(weight_S, int(key[0]), int(key[1]), 2**31 + 5)
    numbers = words(key, 2**31 + 5, torch.arange(86_400 // 4), Purpose.DRAW, 4).flatten().numpy()
    assert start_N.tolist() == [0, 3, 4, 500, 86_399]
    np.testing.assert_allclose(arrival_N, -np.log((numbers[start_N] + 0.5) / 2**32) / weight_S[start_N], rtol=1e-14)
    slots, starts = np.array([1, 2, 2**33]), np.array([9, 0, 86_399])
    two = words(key, torch.from_numpy(slots), torch.from_numpy(starts), Purpose.SHUFFLE, 2).numpy()
    ours = own_numbers(int(key[0]), int(key[1]), slots, starts, int(Purpose.SHUFFLE))
    assert ours.tolist() == [int(first) << 31 | int(second) >> 1 for first, second in two]


def test_the_order_of_a_pool_is_that_of_its_windows_own_numbers() -> None:
    parts = [DayDraw(slot, 300) for slot in (4, 5)]
    windows = draw_pool(MadeDays(), parts, SECONDS, 1, 2, 3)
    two = words(round_key(1, 2, 3), windows.slot_B, windows.start_B, Purpose.SHUFFLE, 2)
    assert ((two[:, 0] << 31) + (two[:, 1] >> 1)).diff().min() > 0
    assert 100 < (windows.slot_B[:300] == 4).sum() < 200, "of 300, with a standard deviation of 6"
    assert 200 < (windows.start_B.diff() > 0).sum() < 400, "in no order"


def a_race(motion: dict[int, float], quota: int, key: tuple[int, int], slot: int) -> np.ndarray:
    """Draw windows of one second from starts with these weights."""
    motion_S, state_S = np.zeros(86_400, np.float32), np.zeros(86_400, np.uint8)
    motion_S[list(motion)], state_S[list(motion)] = list(motion.values()), 1
    return draw(motion_S, state_S, 1, quota, key, slot)


def test_the_first_to_arrive_follows_the_weights() -> None:
    motion = {100: 1.0, 200: 2.0, 300: 3.0, 400: 4.0}
    draws = 1500
    first = Counter(int(a_race(motion, 1, key_of(1, 0, round_), 9)[0]) for round_ in range(draws))
    observed = [first[start] for start in motion]
    assert sum(observed) == draws
    assert stats.chisquare(observed, [draws * share for share in (0.1, 0.2, 0.3, 0.4)]).pvalue > 1e-6


def test_inclusion_follows_numpys_choice_without_replacement() -> None:
    random = np.random.default_rng(3)
    share = random.random(12) + 0.05
    share /= share.sum()
    starts = np.arange(12) * 1000 + 7
    draws = 1500
    ours, theirs = np.zeros(12), np.zeros(12)
    for round_ in range(draws):
        drawn = a_race(dict(zip(starts.tolist(), share.tolist(), strict=True)), 5, key_of(2, 3, round_), 1)
        ours[np.searchsorted(starts, drawn)] += 1
        theirs[random.choice(12, 5, replace=False, p=share)] += 1
    pooled = (ours + theirs) / (2 * draws)
    z = (ours - theirs) / np.sqrt(2 * draws * pooled * (1 - pooled))
    assert np.abs(z).max() < 5


@given(st.integers(0, 1000), st.integers(1, 40))
@settings(max_examples=20, deadline=None)
def test_starts_keep_their_spacing_and_the_quota_always_fits(slot: int, spacing: int) -> None:
    days = MadeDays()
    day = days.read_day(slot)
    (quota,) = quotas(np.array([days.starts(slot, SECONDS)]), 100_000, spacing)
    drawn = draw(day.motion_S, day.state_S, SECONDS, int(quota), key_of(1, 2, 3), slot, spacing=spacing)
    assert drawn.size == quota
    assert spacing == 1 or np.diff(drawn).min(initial=spacing) >= spacing


def test_distinct_seconds_are_counted_once() -> None:
    days = MadeDays()
    parts = [DayDraw(slot, 200) for slot in (1, 2, 3)]
    windows = draw_pool(days, parts, SECONDS, 0, 0, 0)
    covered = {
        (int(slot), second)
        for slot, start in zip(windows.slot_B, windows.start_B.tolist(), strict=True)
        for second in range(start, start + SECONDS)
    }
    assert distinct_seconds(windows, SECONDS) == len(covered)
    assert distinct_seconds(Windows.empty(SECONDS), SECONDS) == 0


@pytest.mark.parametrize("lanes", [1, 4])
def test_a_round_visits_one_day_of_each_participant_and_over_time_all_days(lanes: int) -> None:
    random = np.random.default_rng(0)
    slots, quota, participant_M = np.arange(60), random.integers(1, 9, 60), np.sort(random.integers(0, 20, 60))
    people = np.unique(participant_M)
    dealt = deal(slots, quota, lanes, 3, 4, participant_M)
    shuffled = random.permutation(60)
    again = deal(slots[shuffled], quota[shuffled], lanes, 3, 4, participant_M[shuffled])
    seen: Counter[int] = Counter()
    for round_ in range(40):
        visited = np.concatenate([lane.round(round_).slots for lane in dealt])
        assert np.array_equal(visited, np.concatenate([lane.round(round_).slots for lane in again]))
        assert sorted(participant_M[visited]) == people.tolist()
        seen.update(visited.tolist())
        for lane in dealt:
            assert lane.begin(round_ + 1) - lane.begin(round_) == quota[lane.round(round_).slots].sum()
            pool = lane.pool_at(lane.begin(round_) + 1)
            assert pool.round == round_
            assert pool.first <= lane.begin(round_) + 1 < pool.first + pool.size
    assert len(seen) == 60, "a day is left out of 40 rounds with probability under 1e-5 each"


@pytest.mark.parametrize("weighting", ["motion", "root", "uniform"])
def test_windows_are_drawn_by_the_weighting(weighting: Weighting) -> None:
    """The first arrival of many independent races is a start with probability by its weight."""
    rng = np.random.default_rng(0)
    weight_S = np.where(np.arange(40) % 4 == 0, 0.0, rng.uniform(0.01, 1, 40))
    weighted_S = reweighted(weight_S, weighting)
    expected_S = {"motion": weight_S, "root": weight_S**0.5, "uniform": weight_S > 0}[weighting]
    expected_S = expected_S / expected_S.sum()
    first = [draw_by_weight(weighted_S, 1, (key, 7), 3)[0] for key in range(4000)]
    found_S = np.bincount(first, minlength=40) / len(first)
    assert np.abs(found_S - expected_S).max() < 5 * np.sqrt(expected_S.max() / len(first))
    assert not found_S[weight_S == 0].any()


@pytest.mark.parametrize("weighting", ["root", "uniform"])
def test_a_stream_draws_by_its_weighting(small: tuple[MadeDays, list[Lane]], weighting: Weighting) -> None:
    days, dealt = small
    by_motion = batches(days, dealt, 0, 1, 0, 3, 1)
    with Stream(days, owned(dealt, 0, 1), 4, SECONDS, threads=1, weighting=weighting) as stream:
        other = [next(stream) for _ in range(3)]
    assert as_set(Windows.join(other)) != as_set(Windows.join(by_motion))
