"""A stream does not draw withdrawn days; a day missing for another reason is an error."""

from __future__ import annotations

from collections import Counter
from datetime import date

import pytest
import torch

from pipeline.errors import UserError
from pipeline.store.day_reader import MissingDay
from pipeline.store.store import Store
from tests.train.windows.withdrawn.six_people import DAYS, SECONDS, batches, person, slots_of, withdraw
from train.windows.lanes import deal, quotas
from train.windows.members import select
from train.windows.pool import Windows


def as_set(windows: Windows) -> Counter[tuple[int, ...]]:
    ids = torch.stack((windows.lane_B, windows.round_B, windows.slot_B, windows.start_B), 1)
    return Counter(tuple(row) for row in ids.tolist())


def test_a_stream_without_withdrawn_days_is_the_same_at_every_world_size(store: str) -> None:
    opened = Store.open(store)
    members = select(opened, SECONDS, 0.0, None)
    dealt = deal(members.slots, quotas(members.starts, 1500), 4, 3, 2)
    steps = 2 * max(lane.begin(1) for lane in dealt) // 4 + 2
    whole = Windows.join(batches(opened, members, dealt, 0, 1, steps))
    withdraw(store, [1, 4])
    alone_ = batches(opened, members, dealt, 0, 1, steps)
    shared = [batches(opened, members, dealt, rank, 2, steps) for rank in range(2)]
    for step, batch in enumerate(alone_):
        assert as_set(batch) == as_set(Windows.join([part[step] for part in shared]))
    now = Windows.join(alone_)
    assert len(now) == len(whole)
    assert not set(now.slot_B.tolist()) & {*slots_of(1), *slots_of(4)}
    assert (now.signal_BCT[:, 0] == now.slot_B[:, None]).all()
    first_round, before = as_set(now.take(now.round_B == 0)), as_set(whole.take(whole.round_B == 0))
    assert max(first_round.values()) == 1
    kept = {key for key in before if key[2] not in {*slots_of(1), *slots_of(4)}}
    assert kept < set(first_round)
    for lane in dealt:
        mine = [key for key in first_round if key[0] == lane.number]
        assert len(mine) == lane.begin(1)


def test_a_lane_without_days_draws_from_other_lanes(store: str) -> None:
    opened = Store.open(store)
    members = select(opened, SECONDS, 0.0, None)
    dealt = deal(members.slots, quotas(members.starts, 1500), 4, 3, 2)
    opened.withdrawals.begin({person(slot // DAYS) for slot in dealt[1].slots.tolist()}, date(2026, 3, 4))
    for batch in batches(opened, members, dealt, 1, 4, 20):
        assert (batch.lane_B == 1).all()
        assert not set(batch.slot_B.tolist()) & set(dealt[1].slots.tolist())
    opened.withdrawals.begin([person(number) for number in range(6)], date(2026, 3, 4))
    with pytest.raises(UserError, match="12 of 12 person-days belong to participants who have withdrawn"):
        batches(opened, members, dealt, 0, 1, 1)


def test_a_registered_withdrawal_counts_before_anything_is_deleted(store: str) -> None:
    opened = Store.open(store)
    members = select(opened, SECONDS, 0.0, None)
    dealt = deal(members.slots, quotas(members.starts, 1500), 4, 3, 2)
    opened.withdrawals.begin([person(2)], date(2026, 3, 4))
    drawn = Windows.join(batches(opened, members, dealt, 0, 1, 20))
    assert not set(drawn.slot_B.tolist()) & set(slots_of(2))


def test_a_missing_object_without_a_withdrawal_is_an_error(store: str) -> None:
    opened = Store.open(store)
    members = select(opened, SECONDS, 0.0, None)
    dealt = deal(members.slots, quotas(members.starts, 1500), 4, 3, 2)
    withdraw(store, [1])
    opened.delete_days([7])
    with pytest.raises(MissingDay, match="slot 7"):
        batches(opened, members, dealt, 0, 1, 30)
