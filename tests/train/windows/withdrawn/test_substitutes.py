"""Which windows of other days replace those of withdrawn ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import UserError
from tests.train.days import MadeDays
from tests.train.windows.withdrawn.six_people import SECONDS, person
from train.random import round_key
from train.windows.draw import draw
from train.windows.lanes import deal, lane_count
from train.windows.members import Members
from train.windows.withdrawn import starts_of, substitute_draws


def members_of(count: int, rng: np.random.Generator) -> tuple[Members, np.ndarray[Any, np.dtype[np.int64]]]:
    """Members with one day per participant and a few more windows than their quotas."""
    slots = np.sort(rng.choice(5 * count, count, replace=False)).astype(np.int64)
    quota = rng.integers(1, 8, count)
    names = [person(slot) for slot in slots]
    return Members(slots, quota + rng.integers(0, 6, count), np.arange(count), names), quota


@given(st.integers(1, 40), st.sampled_from([1, 2, 4]), st.integers(0, 2**32), st.data())
@settings(max_examples=150, deadline=None)
def test_withdrawn_days_are_replaced_completely_and_no_window_is_drawn_twice(
    count: int, lanes: int, seed: int, data: st.DataObject
) -> None:
    members, quota = members_of(count, np.random.default_rng(seed))
    dealt = deal(members.slots, quota, lane_count(count, lanes), seed, 4)
    gone = frozenset(data.draw(st.sets(st.sampled_from(members.slots.tolist()))))
    own_quota = dict(zip(members.slots.tolist(), quota.tolist(), strict=True))
    for lane in dealt:
        need = sum(own_quota[slot] for slot in lane.slots.tolist() if slot in gone)
        mine = set(lane.slots.tolist())
        spare = {slot: starts_of(members, slot) - (own_quota[slot] if slot in mine else 0) for slot in own_quota}
        if need > sum(count for slot, count in spare.items() if slot not in gone):
            with pytest.raises(UserError, match="Start a new run"):
                substitute_draws(lane, 3, dealt, members, gone)
            continue
        filled = substitute_draws(lane, 3, dealt, members, gone)
        assert set(filled) == gone & set(lane.slots.tolist())
        taken = {slot: list(range(own_quota[slot])) for slot in lane.slots.tolist() if slot not in gone}
        for slot, parts in filled.items():
            assert sum(part.count for part in parts) == own_quota[slot]
            for part in parts:
                assert part.slot not in gone
                taken.setdefault(part.slot, []).extend(range(part.skip, part.skip + part.count))
        for slot, places in taken.items():
            assert len(set(places)) == len(places)
            assert max(places) < starts_of(members, slot)


def test_the_next_days_of_the_lane_are_the_first_substitutes() -> None:
    members, quota = members_of(9, np.random.default_rng(0))
    members = replace(members, starts=quota + 100)
    (lane,) = deal(members.slots, quota, 1, 5, 4)
    order = lane.round(2).slots.tolist()
    first, second, last = order[3], order[4], order[8]
    filled = substitute_draws(lane, 2, [lane], members, frozenset({first, second, last}))
    assert [part.slot for part in filled[first]] == [order[5]]
    assert [part.slot for part in filled[second]] == [order[5]]
    assert [part.slot for part in filled[last]] == [order[0]]
    assert filled[second][0].skip == filled[first][0].skip + filled[first][0].count


def test_a_substitute_skips_the_windows_of_its_own_draw() -> None:
    day = MadeDays().read_day(4)
    first, second = (int(word) for word in round_key(1, 2, 3))

    def drawn(quota: int, skip: int = 0) -> list[int]:
        return draw(day.motion_S, day.state_S, SECONDS, quota, (first, second), 4, skip).tolist()

    assert sorted([*drawn(20), *drawn(15, skip=20)]) == drawn(35)
    count = MadeDays().starts(4, SECONDS)
    assert sorted([*drawn(count - 15), *drawn(15, skip=count - 15)]) == drawn(count)
    with pytest.raises(ValueError, match="expected at least"):
        drawn(15, skip=count - 14)
