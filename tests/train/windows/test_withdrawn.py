"""Participants withdraw while a run draws their days, and between a run and its resumption."""

from __future__ import annotations

import subprocess
from collections import Counter
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import UserError
from pipeline.store.day_reader import DamagedDay, DayReader, MissingDay
from pipeline.store.store import Store
from pipeline.withdraw.forget import forget
from tests.train.days import MadeDays, write_store
from tests.train.runs import alone, command, overrides, run, wait_for
from tests.waiting import PATIENCE_S
from train.checkpoint import format as ck
from train.distributed.processes import Processes
from train.loop.setup import prepare
from train.loop.trainer import train
from train.random import round_key
from train.recipe import load_recipe
from train.tracking.log import read_lines
from train.windows.draw import draw
from train.windows.lanes import Lane, deal, lane_count, owned, quotas
from train.windows.members import Members, choose_held_out, select
from train.windows.pool import Windows
from train.windows.stream import Stream
from train.windows.validation import draw_validation
from train.windows.withdrawn import Substitutes, starts_of, substitute_draws

SECONDS = 10
DAYS = 2
"""Days of each participant in a made store."""


def person(number: int) -> str:
    return f"{number:064x}"


def slots_of(number: int) -> list[int]:
    return list(range(number * DAYS, (number + 1) * DAYS))


def withdraw(url: str, numbers: list[int]) -> None:
    """Withdraw as `persondays withdraw` does: note, rows, objects, older versions of the tables."""
    forget(Store.open(url), [person(number) for number in numbers], date(2026, 3, 4))


def members_of(count: int, rng: np.random.Generator) -> tuple[Members, np.ndarray[Any, np.dtype[np.int64]]]:
    """Members with one day per participant and a few more windows than their quotas."""
    slots = np.sort(rng.choice(5 * count, count, replace=False)).astype(np.int64)
    quota = rng.integers(1, 8, count)
    names = [person(slot) for slot in slots]
    return Members(slots, quota + rng.integers(0, 6, count), np.arange(count), names), quota


@given(st.integers(1, 40), st.sampled_from([1, 2, 4]), st.integers(0, 2**32), st.data())
@settings(max_examples=150, deadline=None)
def test_withdrawn_days_are_replaced_completely_and_no_window_comes_twice(
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


def test_the_next_days_of_the_lane_come_first() -> None:
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


def test_skipped_windows_are_those_a_day_gives_in_its_own_place() -> None:
    day = MadeDays().read_day(4)
    first, second = (int(word) for word in round_key(1, 2, 3))

    def drawn(quota: int, skip: int = 0) -> list[int]:
        return draw(day.motion_S, day.state_S, SECONDS, quota, (first, second), 4, skip).tolist()

    assert sorted([*drawn(20), *drawn(15, skip=20)]) == drawn(35)
    count = MadeDays().starts(4, SECONDS)
    assert sorted([*drawn(count - 15), *drawn(15, skip=count - 15)]) == drawn(count)
    with pytest.raises(ValueError, match="expected at least"):
        drawn(15, skip=count - 14)


@pytest.fixture
def store(tmp_path: Path) -> str:
    """Six participants with two days each."""
    return write_store(str(tmp_path / "store"), people=6, days=DAYS).folder.url


def batches(store: Store, members: Members, dealt: list[Lane], rank: int, world: int, steps: int) -> list[Windows]:
    substitutes = Substitutes(members, dealt, store.withdrawals.participants)
    days = DayReader(store.folder)
    with Stream(days, owned(dealt, rank, world), 4, SECONDS, ahead=3, substitutes=substitutes) as stream:
        return [next(stream) for _ in range(steps)]


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


def test_an_empty_lane_draws_from_the_others(store: str) -> None:
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


def test_a_noted_withdrawal_counts_before_anything_is_deleted(store: str) -> None:
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


def trained(checkpoints: Path) -> list[int]:
    """Numbers of the participants that a run trains on."""
    held_out = set(ck.open_checkpoint(str(checkpoints)).state.facts.validation_participants)
    return [number for number in range(6) if person(number) not in held_out]


LONG = {"run__windows": 1600, "run__validate_every": 1600, "run__save_every": 160, "data__lanes": 4}


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_run_continues_without_withdrawn_days(store: str, tmp_path: Path, processes: int) -> None:
    out = tmp_path / "out"
    gate = tmp_path / "gate"
    line = command(store, out, processes, held=(14, gate), **LONG)
    process = subprocess.Popen(line, stderr=subprocess.PIPE, text=True)
    wait_for(out, 1)
    left = trained(out)[1:3]
    withdraw(store, left)
    gate.touch()
    _, output = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, output
    assert "Traceback" not in output
    slots = [slot for number in left for slot in slots_of(number)]
    lines = [line for line in read_lines(out / "logs" / "log.jsonl") if line["kind"] == "withdrawn"]
    assert sorted(slot for line in lines for slot in line["slots"]) == slots, "each once"
    assert output.count("have withdrawn (slots") == len(lines)
    assert "From here on, this run is not exactly" in output
    state = ck.open_checkpoint(str(out)).state
    assert state.windows_seen == 1600
    assert state.facts.stream.members == 8


def test_a_run_resumes_after_a_withdrawal_deleted_its_version_of_the_tables(
    store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One participant trained on and one held out have withdrawn; a new one was ingested, and is not drawn."""
    out = tmp_path / "out"
    assert alone(store, out) == 0
    before = ck.open_checkpoint(str(out)).state
    (held_out, *_) = (number for number in range(6) if number not in trained(out))
    opened = Store.open(store)
    rows = opened.person_days.read().to_pylist()
    opened.grow(13)
    opened.write_day(12, MadeDays().read_day(12))
    opened.person_days.append([rows[0] | {"slot": 12, "participant": person(9), "recording": person(9)}])
    withdraw(store, [trained(out)[0], held_out])
    capsys.readouterr()
    assert alone(store, out, run__windows=960) == 0
    output = capsys.readouterr().err
    version = before.facts.stream.table_version
    assert f"version {version} of the tables was deleted with" in output
    assert "8 person-days before, 6 now; 4 lanes before, 4 now" in output
    after = ck.open_checkpoint(str(out)).state
    assert after.facts.stream.table_version > version
    assert after.facts.stream.members == 6
    lines = read_lines(out / "logs" / "log.jsonl")
    (change,) = (line for line in lines if line["kind"] == "withdrawn")
    assert change["before"] == before.facts.stream.to_json()
    assert change["now"] == after.facts.stream.to_json()
    windows_validated = {line["seen"]: line["real"]["windows"] for line in lines if line["kind"] == "validation"}
    assert windows_validated == {0: 400, 160: 400, 320: 400, 480: 400, 640: 200, 800: 200, 960: 200}
    assert alone(store, out, run__windows=1120) == 0, "it then continues like any other run"
    assert "of the tables was deleted" not in capsys.readouterr().err


def test_held_out_participants_who_withdraw_are_not_named_and_not_trained_on(store: str, tmp_path: Path) -> None:
    """Noted but not deleted yet: the version of the tables still has the days."""
    out = tmp_path / "out"
    assert alone(store, out, run__windows=160) == 0
    first = ck.open_checkpoint(str(out)).state
    number = next(number for number in range(6) if number not in trained(out))
    Store.open(store).withdrawals.begin([person(number)], date(2026, 3, 4))
    for windows in (240, 320):
        assert alone(store, out, run__windows=windows) == 0
        state = ck.open_checkpoint(str(out)).state
        assert state.windows_seen == windows
        assert person(number) not in str(state)
        assert state.facts.validation_participants == sorted({*first.facts.validation_participants} - {person(number)})
        assert state.facts.validation_slots_withdrawn == slots_of(number)
        assert state.facts.stream is not None
        assert first.facts.stream is not None
        assert replace(state.facts.stream, slots_end=0) == replace(first.facts.stream, slots_end=0)
        assert state.facts.participants == first.facts.participants
    again = out / "again"
    assert train(load_recipe("demo", overrides({"run__windows": 400})), store, str(out), "auto", again) == 0
    assert person(number) not in (again / "log.jsonl").read_text()
    withdraw(store, [])
    assert alone(store, out, run__windows=480) == 0
    after = ck.open_checkpoint(str(out)).state
    assert after.facts.stream.members == first.facts.stream.members
    assert after.facts.participants == first.facts.participants


def test_a_withdrawal_during_a_run_is_in_its_next_checkpoint(store: str, tmp_path: Path) -> None:
    opened = Store.open(store)
    recipe = load_recipe("demo", overrides({}))
    run = prepare(recipe, opened, None, Processes(1))
    with run.stream:
        ann, bob = run.facts().validation_participants
        opened.withdrawals.begin([ann], date(2026, 3, 4))
        assert run.facts().validation_participants == [bob]
        assert run.facts().validation_slots_withdrawn == slots_of(int(ann, 16))
        opened.withdrawals.begin([bob], date(2026, 3, 4))
        assert run.facts().validation_participants == []
        assert run.facts().validation_slots_withdrawn == sorted([*slots_of(int(ann, 16)), *slots_of(int(bob, 16))])


def test_fewer_days_than_lanes_make_fewer_lanes(store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert alone(store, out) == 0
    withdraw(store, trained(out)[:3])
    capsys.readouterr()
    assert alone(store, out, run__windows=640) == 0
    assert "8 person-days before, 2 now; 4 lanes before, 2 now" in capsys.readouterr().err


def test_a_run_that_cannot_resume_explains_why(store: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert alone(store, out) == 0
    opened = Store.open(store)
    kept = opened.person_days.drop_history()
    folder = opened.person_days.folder
    folder.delete([name for name in folder.names() if name not in kept])
    with pytest.raises(UserError, match="no longer exists"):  # nobody withdrew
        alone(store, out, run__windows=960)
    withdraw(store, [number for number in range(6) if number not in trained(out)])
    with pytest.raises(UserError, match="all participants held out"):
        alone(store, out, run__windows=960)


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_run_stops_at_a_day_missing_without_a_withdrawal(store: str, tmp_path: Path, processes: int) -> None:
    out = tmp_path / "out"
    assert alone(store, out) == 0
    slot = slots_of(trained(out)[0])[1]
    withdraw(store, trained(out)[1:2])
    Store.open(store).delete_days([slot])
    done = run(store, out, processes, run__windows=1920)
    assert done.returncode == 1
    assert f"objects of slot {slot} are missing" in done.stderr
    assert "participants have withdrawn, and version" in done.stderr
