"""Windows of another day of the same participant: what is chosen, how days share pools, and the sampling law."""

from __future__ import annotations

from collections import Counter
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pipeline.errors import UserError
from pipeline.store.day_reader import DayReader
from pipeline.store.store import Store
from tests.train.days import MadeDays, write_store
from tests.train.runs import alone
from tests.train.windows.companions.streams import (
    SECONDS,
    Streamed,
    check_any_world_size,
    check_resuming,
    check_samples,
)
from train.tracking.log import read_lines
from train.windows.companions.kind import AnchorDay
from train.windows.companions.other_day import OtherDay, OtherDayChooser
from train.windows.lanes import deal, grouped, lane_count, packed, quotas
from train.windows.members import Members, select
from train.windows.pool import Windows
from train.windows.settings import DataSettings
from train.windows.stream import Stream
from train.windows.validation import draw_validation
from train.windows.withdrawn import Substitutes

DAYS = 3
SLOTS = np.arange(21)
PARTICIPANT_M = SLOTS // DAYS


def of_same_person(slot: int) -> list[int]:
    return [day for day in SLOTS.tolist() if day // DAYS == slot // DAYS]


@pytest.fixture(scope="module")
def streamed() -> Streamed:
    days = MadeDays()
    starts = np.array([days.starts(int(slot), SECONDS) for slot in SLOTS])
    lanes = deal(SLOTS, quotas(starts, 1500), 4, 11, 3, PARTICIPANT_M, together=True)
    return Streamed(days, lanes, OtherDayChooser({slot: np.array(of_same_person(slot)) for slot in SLOTS.tolist()}))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=30), st.integers(1, 6), st.integers(0, 5), st.integers(0, 99))
@settings(max_examples=100, deadline=None)
def test_a_pool_has_two_days_of_a_participant_or_more(days: list[int], per_pool: int, first: int, seed: int) -> None:
    participant_M = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(days)), days))
    order, groups = grouped(participant_M, per_pool)
    assert sorted(order.tolist()) == list(range(participant_M.size))
    cuts = packed(groups, 1 + first % per_pool, per_pool)
    assert cuts[0] == 0
    assert cuts[-1] == participant_M.size
    for begin, end in pairwise(cuts):
        assert 1 <= end - begin <= max(per_pool, 3)
        shared = Counter(participant_M[order[begin:end]].tolist())
        assert all(count >= 2 or days[person] == 1 for person, count in shared.items())


@pytest.mark.parametrize("world_size", [2, 4])
def test_the_global_batch_is_the_same_at_every_world_size(streamed: Streamed, world_size: int) -> None:
    check_any_world_size(streamed, world_size)


@pytest.mark.parametrize("step", [1, 17])
def test_resuming_at_a_step_equals_never_having_stopped(streamed: Streamed, step: int) -> None:
    check_resuming(streamed, step)


def test_companions_are_of_another_day_and_no_further_day_is_read(streamed: Streamed) -> None:
    opened: list[int] = []

    class Counting(MadeDays):
        def open_day(self, slot: int) -> Any:
            opened.append(slot)
            return streamed.days.open_day(slot)

    lane = streamed.lanes[1]
    drawn = Streamed(Counting(), [lane], streamed.chooser).round()
    check_samples(drawn, streamed.days)  # type: ignore[arg-type]
    other = drawn.companion_BK2[:, 0, 0]
    assert (other != drawn.slot_B).all()
    assert torch.equal(other // DAYS, drawn.slot_B // DAYS)
    assert drawn.without_companion == 0
    assert len(drawn) == lane.windows_in(0)
    assert len(opened) <= len(lane.slots) + 4 * 3, "a round, and the pools that are read ahead"
    assert len({(slot, of) for slot, of in zip(drawn.slot_B.tolist(), other.tolist(), strict=True)}) == 6 * (
        len(lane.slots) // DAYS
    ), "all pairs of days"


def test_starts_are_drawn_by_the_weights_of_the_other_day() -> None:
    weight_S = np.zeros(400)
    weight_S[[100, 200, 300, 399]] = [1.0, 2.0, 3.0, 4.0]
    anchor = AnchorDay(5, (1, 2), SECONDS, (5, 6), frozenset(), lambda slot: weight_S)
    found = OtherDayChooser({5: np.array([5, 6])}).choose(anchor, np.arange(3000))[:, 0]
    assert set(found[:, 0].tolist()) == {6}
    starts, counts = np.unique(found[:, 1] // 30, return_counts=True)
    assert starts.tolist() == [100, 200, 300, 399]
    assert stats.chisquare(counts, [300, 600, 900, 1200]).pvalue > 1e-6


def test_one_other_day_is_read_where_the_pool_has_none_and_none_that_is_gone() -> None:
    chooser = OtherDayChooser({5: np.array([4, 5, 6])})

    def days(pooled: tuple[int, ...], *gone: int, lane: int = 0) -> list[int]:
        return list(chooser.days_of(AnchorDay(5, (lane, 2), SECONDS, pooled, frozenset(gone), lambda slot: np.ones(9))))

    assert days((5, 6, 9)) == [6]
    assert {tuple(days((5,), lane=lane)) for lane in range(40)} == {(4,), (6,)}
    assert days((5, 6), 6) == [4]
    assert days((5,), 4, 6) == []
    anchor = AnchorDay(5, (0, 2), SECONDS, (5,), frozenset({4, 6}), lambda slot: np.ones(9))
    assert chooser.choose(anchor, np.array([3]))[0].tolist() == [[5, 90]]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return write_store(str(tmp_path / "store"), people=6, days=DAYS)


def test_withdrawn_people_leave_with_their_companions_and_their_places_are_filled(store: Store) -> None:
    bound = OtherDay().bind(select(store, SECONDS, 0.0, None), store, DataSettings(), {})
    members = bound.members
    dealt = deal(members.slots, quotas(members.starts, 300), 2, 3, 2, members.participant_M, bound.people_share_pools)
    store.withdrawals.begin([f"{2:064x}"], date(2026, 3, 4))
    gone = set(range(2 * DAYS, 3 * DAYS))
    store.delete_days(sorted(gone))

    def drawn(rank: int, world: int) -> list[Windows]:
        substitutes = Substitutes(members, dealt, store.withdrawals.participants)
        days = DayReader(store.folder)
        with Stream(days, dealt[rank::world], 4, SECONDS, substitutes=substitutes, chooser=bound.chooser) as stream:
            return [next(stream) for _ in range(40)]

    whole = Windows.join(drawn(0, 1))
    assert not gone & set(whole.slot_B.tolist())
    assert not gone & set(whole.companion_BK2[..., 0].flatten().tolist())
    assert (whole.slot_B != whole.companion_BK2[:, 0, 0]).all()
    both = Windows.join([*drawn(0, 2), *drawn(1, 2)])
    assert Counter(map(tuple, whole.place_BP.tolist())) == Counter(map(tuple, both.place_BP.tolist()))


def test_a_damaged_companion_is_replaced_in_training_and_validation(store: Store) -> None:
    bound = OtherDay().bind(select(store, SECONDS, 0.0, None), store, DataSettings(), {})
    (Path(store.folder.path) / "signal" / "c" / "1" / "0" / "0").unlink()
    members: Members = bound.members.of_participants({f"{0:064x}"})
    damaged: list[int] = []

    def is_gone(slot: int) -> bool:
        damaged.append(slot)
        return True

    found = draw_validation(DayReader(store.folder), members, SECONDS, 0, 0, 1, is_gone=is_gone, chooser=bound.chooser)
    assert set(found.slot_B.tolist()) == {0, 2}
    assert len(found) == 200
    assert 1 not in found.companion_BK2[..., 0]
    assert set(damaged) == {1}


def test_a_store_where_nobody_has_a_second_day_is_refused(tmp_path: Path) -> None:
    lonely = write_store(str(tmp_path / "lonely"), people=5, days=1)
    with pytest.raises(UserError, match="expected participants with at least two person-days to draw from, found none"):
        alone(lonely.folder.url, tmp_path / "out", objective__name="simclr", objective__simclr__positive="other_day")


def test_a_run_resumes_and_days_may_be_chosen_one_per_participant(store: Store, tmp_path: Path) -> None:
    how: dict[str, Any] = {
        "objective__name": "simclr",
        "objective__simclr__positive": "other_day",
        "network__preset": "transformer10",
        "network__width": 0.25,
        "data__one_day_per_participant": True,
    }
    for windows in (80, 160):
        assert alone(store.folder.url, tmp_path / "out", run__windows=windows, **how) == 0
    lines = read_lines(tmp_path / "out" / "logs" / "log.jsonl")
    assert [line["without_companion"] for line in lines if line["kind"] == "train"] == [0, 0]


def test_lanes_hold_whole_people() -> None:
    lanes = deal(SLOTS, np.ones(21, np.int64), lane_count(7, 4), 5, 4, PARTICIPANT_M, together=True)
    for lane in lanes:
        assert all(set(of_same_person(slot)) <= set(lane.slots.tolist()) for slot in lane.slots.tolist())
        assert lane.begin(3) == 3 * len(lane.slots)
        pool = lane.pool_at(lane.begin(1) + 1)
        assert pool.round == 1
        assert pool.size <= lane.largest_pool
