"""Objects without a row, rows without an object, and leftover files are found by listing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.store.store import Store
from pipeline.verify.checks import check_store
from pipeline.verify.choice import all_slots, no_slots
from tests.pipeline.verify.three_recordings import BOB, KEY, RECORDINGS, SLOTS, a_day, found, object_of, plan_row


@pytest.mark.parametrize("array", ["signal", "motion", "state"])
@pytest.mark.parametrize("how", ["deleted", "emptied"])
def test_a_missing_object_is_found(store: Store, array: str, how: str) -> None:
    path = object_of(store, array, SLOTS[2])
    path.unlink() if how == "deleted" else path.write_bytes(b"")
    report = check_store(store, no_slots)
    assert found(report) == {"missing": [SLOTS[2]]}
    assert report.repairable == [list(RECORDINGS)[1]]


def test_rows_without_objects_are_found(store: Store) -> None:
    store.delete_days([SLOTS[3], SLOTS[4]])
    report = check_store(store, all_slots)
    assert found(report) == {"missing": SLOTS[3:]}
    assert report.read == 3
    assert report.repairable == [list(RECORDINGS)[2]]


def test_objects_without_rows_are_orphans_unless_their_ingest_is_unfinished(store: Store) -> None:
    """An unused slot of a done recording stays unused; slots of one that is not done may still be filled."""
    waiting = KEY.recording("d")
    store.plan.append([plan_row(waiting, BOB, 9, 2), plan_row(KEY.recording("c"), BOB, 11, 1, "2")])
    store.grow(12)
    for slot in (2, 9, 11):
        store.write_day(slot, a_day(slot))
    report = check_store(store, all_slots)
    assert found(report) == {"orphans": [2]}
    assert {
        each.kind: list[Any](each.slots) or list[Any](each.names) for each in report.findings if not each.wrong
    } == {
        "fillable": [9, 11],
        "waiting": [waiting[:12]],
    }


def test_leftovers_of_killed_writers_and_foreign_files_are_listed(store: Store) -> None:
    root = Path(store.folder.path)
    left = ["signal/c/0/0/0.0123.partial", "tables/plan/_delta_log/_commit_12.json.tmp", "lease/.x.partial"]
    for name in (*left, "signal/c/notes.txt", "mine.csv"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"half")
    report = check_store(store, no_slots)
    assert found(report) == {"leftovers": sorted(left)}
    foreign = report.of("foreign")
    assert foreign is not None
    assert list(foreign.names) == ["mine.csv", "signal/c/notes.txt"]
