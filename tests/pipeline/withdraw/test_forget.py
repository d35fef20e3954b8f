"""What a withdrawal deletes, what it keeps, and in which order."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.errors import UserError
from pipeline.store.layout import ARRAYS, slot_object
from pipeline.store.lease import Lease, LeaseHeld
from pipeline.store.store import Store
from pipeline.store.tables import StoreTable
from pipeline.withdraw.files import StoreFiles
from pipeline.withdraw.forget import delete_old_versions, forget
from pipeline.withdraw.prove import prove
from tests.pipeline import six_participants as people
from tests.pipeline.six_participants import (
    ANN,
    BOB,
    CLARA,
    DORA,
    EMIL,
    FAY,
    KEY,
    PEOPLE,
    TODAY,
    files_in,
    reopen,
    traces,
)


@pytest.mark.parametrize("who", [[ANN], [BOB, EMIL], [CLARA], [DORA], [FAY], PEOPLE], ids=lambda who: len(who))
def test_withdrawn_participants_leave_no_trace_and_others_are_unchanged(store: Store, who: list[str]) -> None:
    others = [person for person in PEOPLE if person not in who]
    days, rows = people.days_of(store, others), people.rows_of(store, others)
    assert bool(traces(files_in(store.folder.path), who)) == (who != [FAY])
    forget(store, who, TODAY)
    assert traces(files_in(store.folder.path), who) == []
    after = reopen(store)
    assert people.rows_of(after, PEOPLE) == rows
    assert people.days_of(after, others) == days
    assert after.withdrawals.participants() == set(who)
    assert after.withdrawals.unfinished() == set()
    assert prove(after).participants == len(who)


def test_deleted_rows_are_counted(store: Store) -> None:
    found = forget(store, [ANN, CLARA, FAY], TODAY)
    assert (found.participants, found.recordings, found.person_days) == (3, 3, 3)
    assert found.duplicates == ()
    again_ = forget(reopen(store), [ANN, CLARA, FAY], TODAY)
    assert (again_.participants, again_.recordings, again_.person_days) == (3, 0, 0)


def test_older_versions_can_no_longer_be_read(store: Store) -> None:
    tables = (store.plan, store.person_days, store.recordings)
    versions = [table.version for table in tables]
    forget(store, [ANN], TODAY)
    for table, newest in zip(tables, versions, strict=True):
        for version in range(newest + 1):
            with pytest.raises(UserError, match="no longer exists"):
                table.at(version)
        assert table.at(table.version).read().num_rows == table.read().num_rows


def test_slots_are_not_reused(store: Store) -> None:
    """Dora's slots reach beyond the arrays: her driver was killed before it grew them."""
    beyond = people.plan_row(DORA, 0, 12, 5)
    store.plan.append([beyond])
    forget(store, PEOPLE, TODAY)
    after = reopen(store)
    assert after.plan.read().num_rows == 0
    assert after.length == 17


def test_rows_without_a_participant_stay(store: Store) -> None:
    store.recordings.append([{"recording": "0" * 64, "status": "rejected", "person_days": 0}])
    forget(store, [ANN], TODAY)
    assert "0" * 64 in reopen(store).recordings.read(["recording"])["recording"].to_pylist()


def test_statistics_in_the_log_cover_only_remaining_rows(store: Store) -> None:
    forget(store, [EMIL], TODAY)
    log = Path(store.folder.path) / "tables" / "person_days" / "_delta_log"
    (checkpoint,) = log.glob("*.checkpoint.parquet")
    adds = [add for add in pq.read_table(checkpoint)["add"].to_pylist() if add]
    assert max(json.loads(add["stats"])["maxValues"]["slot"] for add in adds) == 6
    assert len(list(log.glob("*.json"))) == 1


def test_text_columns_still_have_no_statistics(store: Store) -> None:
    forget(store, [ANN], TODAY)
    for file in Path(store.folder.path).glob("tables/*/*.parquet"):
        group = pq.ParquetFile(file).metadata.row_group(0)
        for column in map(group.column, range(group.num_columns)):
            is_text = column.physical_type == "BYTE_ARRAY"
            assert not (is_text and column.statistics is not None and column.statistics.has_min_max)


def test_days_also_stored_for_another_participant_are_reported(store: Store) -> None:
    """Bob's recording was also ingested as Emil's."""
    checksum = store.read_day(3).checksum()
    store.person_days.append([people.day_row(EMIL, 0, 11, 1, checksum)])
    assert forget(store, [BOB], TODAY).duplicates == ((11, people.recordings_of(EMIL)[0]),)


def test_a_withdrawal_during_another_run_is_registered_and_completed_later(store: Store) -> None:
    """Fay's first day is committed after she registered: that run read the withdrawals when it began."""
    with Lease(store.folder, heartbeat_s=0.1) as lease:
        for table in (store.plan, store.person_days, store.recordings):
            table.fence(lease.epoch)
        with pytest.raises(
            LeaseHeld, match=r"another run is writing[^$]*2 participants is registered[^$]*same command"
        ):
            forget(reopen(store), [ANN, FAY], TODAY)
        assert reopen(store).withdrawals.unfinished() == {ANN, FAY}
        assert people.rows_of(reopen(store), [ANN])
        store.plan.append([people.plan_row(EMIL, 0, 12, 1) | {"participant": FAY, "recording": KEY.recording("f")}])
        store.grow(13)
        store.write_day(12, people.a_day(12))
        row = people.day_row(EMIL, 0, 12, 0, people.a_day(12).checksum())
        store.person_days.append([row | {"participant": FAY, "recording": KEY.recording("f")}])
    found = forget(reopen(store), [ANN, FAY], TODAY)
    assert (found.participants, found.recordings, found.person_days) == (2, 3, 4)
    left = files_in(store.folder.path)
    assert traces(left, [ANN, FAY]) == []
    assert not [name for name in left if "/c/12/" in name]
    assert prove(reopen(store)).participants == 2


def test_a_driver_that_lost_the_lease_commits_nothing(store: Store) -> None:
    late = reopen(store)
    for table in (late.plan, late.person_days, late.recordings):
        table.fence(1)
    store = reopen(store)
    with Lease(store.folder):
        pass
    forget(store, [ANN], TODAY)
    with pytest.raises(UserError):
        late.person_days.append([people.day_row(ANN, 0, 2, 0, "f" * 64)])
    with pytest.raises(UserError):
        late.recordings.replace(people.recordings_of(ANN), [people.recording_row(ANN, 0, 1)])
    assert people.rows_of(reopen(store), [ANN]) == []
    forget(reopen(store), [ANN], TODAY)  # the files that it wrote for its commit
    assert traces(files_in(store.folder.path), [ANN]) == []


@pytest.mark.parametrize("array", ARRAYS)
def test_objects_written_by_a_late_worker_are_deleted_too(
    store: Store, monkeypatch: pytest.MonkeyPatch, array: str
) -> None:
    """A worker does not know that its ingest lost the lease: it writes Ann's objects after they were deleted."""
    late = Path(store.folder.path) / slot_object(array, 5)
    data = late.read_bytes()

    def delete_and_write(table: StoreTable, files: StoreFiles) -> None:
        delete_old_versions(table, files)
        late.parent.mkdir(parents=True, exist_ok=True)
        late.write_bytes(data)

    monkeypatch.setattr("pipeline.withdraw.forget.delete_old_versions", delete_and_write)
    forget(store, [ANN], TODAY)
    assert traces(files_in(store.folder.path), [ANN]) == []
    assert prove(reopen(store)).participants == 1
