"""Days whose objects are damaged, or are those of another day, are found by reading them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.store.person_day import PersonDay
from pipeline.store.store import Store
from pipeline.verify.checks import check_store
from pipeline.verify.choice import all_slots, no_slots
from tests.pipeline.verify.three_recordings import RECORDINGS, SLOTS, a_day, flip, found, object_of


@pytest.mark.parametrize("array", ["signal", "motion", "state"])
@pytest.mark.parametrize("at", [100, -30, -3])
def test_a_flipped_byte_makes_a_day_unreadable(store: Store, array: str, at: int) -> None:
    flip(object_of(store, array, SLOTS[0]), at)
    assert not check_store(store, no_slots).has_faults
    report = check_store(store, all_slots)
    assert found(report) == {"unreadable": [SLOTS[0]]}
    assert report.repairable == [next(iter(RECORDINGS))]
    assert report.read == 5


@given(st.integers(0, 2**30), st.sampled_from(["signal", "motion", "state"]), st.integers(0, 7))
@settings(max_examples=15, deadline=None)
def test_any_flipped_bit_is_found(
    tmp_path_factory: pytest.TempPathFactory, made: Path, at: int, array: str, bit: int
) -> None:
    """Whichever bit of an object changes, its day is reported."""
    copy = tmp_path_factory.mktemp("bit") / "store"
    shutil.copytree(made, copy)
    store = Store.open(str(copy))
    path = object_of(store, array, SLOTS[1])
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 1 << bit
    path.write_bytes(bytes(data))
    report = check_store(store, lambda slots: slots[slots == SLOTS[1]])
    assert list(found(report).values()) == [[SLOTS[1]]]
    shutil.rmtree(copy)


def test_a_truncated_shard_is_unreadable(store: Store) -> None:
    path = object_of(store, "signal", SLOTS[0])
    path.write_bytes(path.read_bytes()[:-100])
    assert found(check_store(store, all_slots)) == {"unreadable": [SLOTS[0]]}


def test_the_signal_of_another_day_is_found_by_its_checksum(store: Store) -> None:
    """The object itself has no fault: only its row shows it."""
    shutil.copy(object_of(store, "signal", SLOTS[3]), object_of(store, "signal", SLOTS[0]))
    assert found(check_store(store, all_slots)) == {"values": [SLOTS[0]]}


def test_motion_of_another_day_and_a_changed_state_are_found_by_the_figures(store: Store) -> None:
    shutil.copy(object_of(store, "motion", SLOTS[3]), object_of(store, "motion", SLOTS[0]))
    day = a_day(SLOTS[1])
    state = day.state_S.copy()
    state[9 * 3600 + 5] |= 32
    store.write_day(SLOTS[1], PersonDay(day.signal_CT, day.motion_S, state))
    assert found(check_store(store, all_slots)) == {"figures": [SLOTS[0], SLOTS[1]]}
