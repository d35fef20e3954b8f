"""Damaged days are errors, or replaced where that is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.store.day_reader import DamagedDay, DayReader
from pipeline.store.store import Store
from tests.train.runs import run
from tests.train.windows.withdrawn.six_people import SECONDS, batches
from train.windows.lanes import deal, quotas
from train.windows.members import choose_held_out, select
from train.windows.pool import Windows
from train.windows.stream import Stream
from train.windows.validation import draw_validation
from train.windows.withdrawn import Substitutes


def test_a_damaged_day_is_replaced_only_if_that_is_allowed(store: str) -> None:
    opened = Store.open(store)
    members = select(opened, SECONDS, 0.0, None)
    dealt = deal(members.slots, quotas(members.starts, 1500), 4, 3, 2)
    shard = Path(store) / "signal" / "c" / "7" / "0" / "0"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    with pytest.raises(DamagedDay, match=r"slot 7 is damaged \(a checksum .*--repair"):
        batches(opened, members, dealt, 0, 1, 30)
    substitutes = Substitutes(members, dealt, opened.withdrawals.participants, skip_damaged=True)
    with Stream(DayReader(opened.folder), dealt, 4, SECONDS, substitutes=substitutes) as stream:
        drawn = Windows.join([next(stream) for _ in range(30)])
    assert 7 not in drawn.slot_B
    assert (drawn.signal_BCT[:, 0] == drawn.slot_B[:, None]).all()
    assert substitutes.take_new() == [(7, True)]


def test_a_damaged_validation_day_is_left_out_and_reported(store: str) -> None:
    opened = Store.open(store)
    members = select(opened, SECONDS, 0.0, None)
    trained = members.without_participants({members.names[0]})
    others = members.of_participants({members.names[0]})
    dealt = deal(trained.slots, quotas(trained.starts, 1500), 4, 3, 2)
    gone = int(others.slots[0])
    shard = Path(store) / "signal" / "c" / str(gone) / "0" / "0"
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(DamagedDay):
        draw_validation(DayReader(opened.folder), others, SECONDS, 0, 0, 1)
    substitutes = Substitutes(members, dealt, opened.withdrawals.participants, skip_damaged=True)
    drawn = draw_validation(DayReader(opened.folder), others, SECONDS, 0, 0, 1, is_gone=substitutes.is_gone)
    assert set(drawn.slot_B.tolist()) == set(others.slots.tolist()) - {gone}
    assert substitutes.take_new() == [(gone, True)]
    assert substitutes.take_new() == []


def test_a_damaged_validation_day_of_one_process_ends_both_with_its_error(store: str, tmp_path: Path) -> None:
    members = select(Store.open(store), SECONDS, 0.0, None)
    slot = int(members.of_participants(choose_held_out(members)).slots[0])
    shard = Path(store) / "signal" / "c" / str(slot) / "0" / "0"
    shard.write_bytes(shard.read_bytes()[:-1])
    done = run(store, tmp_path / "out", 2)
    assert done.returncode == 1
    assert done.stderr.count(f"slot {slot} is damaged") == 1, done.stderr
    assert "TypeError" not in done.stderr
