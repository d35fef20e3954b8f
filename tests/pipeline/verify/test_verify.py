"""An undamaged store passes, and work in progress is not reported as damage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.storage.folder import Folder
from pipeline.store.lease import Lease
from pipeline.store.store import Store
from pipeline.verify.checks import check_store
from pipeline.verify.choice import all_slots, no_slots, random_slots
from tests.pipeline.verify.three_recordings import KEY, RECORDINGS, SLOTS, a_day, found


def test_an_undamaged_store_passes(made: Path) -> None:
    report = check_store(Store.open(str(made)), all_slots)
    assert report.findings == []
    assert not report.has_faults
    assert (report.person_days, report.recordings, report.read, report.repairable) == (5, 3, 5, [])
    assert check_store(Store.open(str(made)), no_slots).read == 0
    assert check_store(Store.open(str(made)), random_slots(2)).read == 2
    assert check_store(Store.open(str(made)), random_slots(100)).read == 5


def test_an_empty_store_passes(tmp_path: Path) -> None:
    assert check_store(Store.create(str(tmp_path / "store"), KEY, {}), all_slots).findings == []


def test_unfinished_work_of_a_running_writer_is_no_fault(store: Store) -> None:
    b = list(RECORDINGS)[1]
    store.recordings.replace([b], [])
    store.write_day(2, a_day(2))
    with Lease(store.folder):
        report = check_store(store, all_slots)
    assert report.being_written
    assert not report.has_faults
    assert {each.kind for each in report.findings} == {"unnoted", "orphans", "waiting"}
    assert set(found(check_store(store, all_slots))) == {"unnoted", "orphans"}


def test_rows_that_change_during_the_check_are_no_faults(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A withdrawal between reading the tables and listing, and another while days are read."""
    import pipeline.verify.checks as module

    a, b, _ = RECORDINGS
    listed, read = module.list_contents, module.check_days

    def list_late(folder: Folder, expected: int) -> Any:
        store.person_days.replace([a], [])
        store.delete_days(SLOTS[:2])
        return listed(folder, expected)

    def read_late(which: Store, rows: Any) -> Any:
        store.person_days.replace([b], [])
        store.delete_days(SLOTS[2:3])
        return read(which, rows)

    monkeypatch.setattr(module, "list_contents", list_late)
    monkeypatch.setattr(module, "check_days", read_late)
    report = check_store(Store.open(store.folder.url), all_slots)
    assert report.being_written
    assert found(report) == {}
    assert report.person_days == 2
