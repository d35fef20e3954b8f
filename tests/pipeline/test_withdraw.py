"""Withdrawals on a folder: what is deleted, what stays, in which order; and that the proof finds what is left."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cli import run_command
from pipeline.errors import UserError
from pipeline.store.layout import ARRAYS, slot_object
from pipeline.store.lease import Lease, LeaseHeld
from pipeline.store.store import Store
from pipeline.store.tables import StoreTable
from pipeline.withdraw.command import withdraw
from pipeline.withdraw.files import StoreFiles
from pipeline.withdraw.forget import delete_old_versions, forget
from pipeline.withdraw.participants import read_participants
from pipeline.withdraw.prove import prove
from pipeline.withdraw.scan import hex_runs, ids_in, may_hold_ids
from pipeline.withdraw.slots import covered_slots
from tests.pipeline import six_participants as people
from tests.pipeline.six_participants import ANN, BOB, CLARA, DORA, EMIL, FAY, KEY, PEOPLE, files_in, traces

ROOT = Path(__file__).parents[2]
TODAY = date(2026, 3, 4)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store, not to be changed."""
    folder = tmp_path_factory.mktemp("made") / "store"
    people.make(str(folder))
    return folder


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Store:
    """A store to be changed."""
    shutil.copytree(made, tmp_path / "store")
    return Store.open(str(tmp_path / "store"))


@pytest.fixture(scope="module")
def made_withdrawn(made: Path) -> Path:
    """A store from which Ann and Dora have withdrawn, not to be changed."""
    folder = made.with_name("withdrawn")
    shutil.copytree(made, folder)
    forget(Store.open(str(folder)), [ANN, DORA], TODAY)
    return folder


@pytest.fixture
def withdrawn(made_withdrawn: Path, tmp_path: Path) -> Store:
    """A store from which Ann and Dora have withdrawn, to be changed."""
    shutil.copytree(made_withdrawn, tmp_path / "store")
    return Store.open(str(tmp_path / "store"))


def again(store: Store) -> Store:
    return Store.open(store.folder.url)


def command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *flags: object
) -> tuple[int, str, str]:
    """Run the command in this process: exit status, standard output, standard error."""
    monkeypatch.setattr(sys, "argv", ["withdraw", *map(str, flags)])
    status = run_command(withdraw, "withdraw")
    output = capsys.readouterr()
    return status, output.out, output.err


class TestForget:
    @pytest.mark.parametrize("who", [[ANN], [BOB, EMIL], [CLARA], [DORA], [FAY], PEOPLE], ids=lambda who: len(who))
    def test_nothing_of_them_is_left_and_others_are_unchanged(self, store: Store, who: list[str]) -> None:
        others = [person for person in PEOPLE if person not in who]
        days, rows = people.days_of(store, others), people.rows_of(store, others)
        assert bool(traces(files_in(store.folder.path), who)) == (who != [FAY])
        forget(store, who, TODAY)
        assert traces(files_in(store.folder.path), who) == []
        after = again(store)
        assert people.rows_of(after, PEOPLE) == rows
        assert people.days_of(after, others) == days
        assert after.withdrawals.participants() == set(who)
        assert after.withdrawals.unfinished() == set()
        assert prove(after).participants == len(who)

    def test_deleted_rows_are_counted(self, store: Store) -> None:
        found = forget(store, [ANN, CLARA, FAY], TODAY)
        assert (found.participants, found.recordings, found.person_days) == (3, 3, 3)
        assert found.duplicates == ()
        again_ = forget(again(store), [ANN, CLARA, FAY], TODAY)
        assert (again_.participants, again_.recordings, again_.person_days) == (3, 0, 0)

    def test_older_versions_can_no_longer_be_read(self, store: Store) -> None:
        tables = (store.plan, store.person_days, store.recordings)
        versions = [table.version for table in tables]
        forget(store, [ANN], TODAY)
        for table, newest in zip(tables, versions, strict=True):
            for version in range(newest + 1):
                with pytest.raises(UserError, match="no longer exists"):
                    table.at(version)
            assert table.at(table.version).read().num_rows == table.read().num_rows

    def test_slots_are_not_given_again(self, store: Store) -> None:
        """Dora's slots reach beyond the arrays: her driver was killed before it grew them."""
        beyond = people.plan_row(DORA, 0, 12, 5)
        store.plan.append([beyond])
        forget(store, PEOPLE, TODAY)
        after = again(store)
        assert after.plan.read().num_rows == 0
        assert after.length == 17

    def test_rows_without_a_participant_stay(self, store: Store) -> None:
        store.recordings.append([{"recording": "0" * 64, "status": "rejected", "person_days": 0}])
        forget(store, [ANN], TODAY)
        assert "0" * 64 in again(store).recordings.read(["recording"])["recording"].to_pylist()

    def test_statistics_in_the_log_are_those_of_the_others(self, store: Store) -> None:
        forget(store, [EMIL], TODAY)
        log = Path(store.folder.path) / "tables" / "person_days" / "_delta_log"
        (checkpoint,) = log.glob("*.checkpoint.parquet")
        adds = [add for add in pq.read_table(checkpoint)["add"].to_pylist() if add]
        assert max(json.loads(add["stats"])["maxValues"]["slot"] for add in adds) == 6
        assert len(list(log.glob("*.json"))) == 1

    def test_text_columns_still_have_no_statistics(self, store: Store) -> None:
        forget(store, [ANN], TODAY)
        for file in Path(store.folder.path).glob("tables/*/*.parquet"):
            group = pq.ParquetFile(file).metadata.row_group(0)
            for column in map(group.column, range(group.num_columns)):
                is_text = column.physical_type == "BYTE_ARRAY"
                assert not (is_text and column.statistics is not None and column.statistics.has_min_max)

    def test_days_that_others_have_too_are_reported(self, store: Store) -> None:
        """Bob's recording was also ingested as Emil's."""
        checksum = store.read_day(3).checksum()
        store.person_days.append([people.day_row(EMIL, 0, 11, 1, checksum)])
        assert forget(store, [BOB], TODAY).duplicates == ((11, people.recordings_of(EMIL)[0]),)

    def test_while_another_run_writes_it_is_registered_and_completed_later(self, store: Store) -> None:
        """Fay's first day is committed after she registered: that run read the withdrawals when it began."""
        with Lease(store.folder, heartbeat_s=0.1) as lease:
            for table in (store.plan, store.person_days, store.recordings):
                table.fence(lease.epoch)
            with pytest.raises(
                LeaseHeld, match=r"another run is writing[^$]*2 participants is registered[^$]*same command"
            ):
                forget(again(store), [ANN, FAY], TODAY)
            assert again(store).withdrawals.unfinished() == {ANN, FAY}
            assert people.rows_of(again(store), [ANN])
            store.plan.append([people.plan_row(EMIL, 0, 12, 1) | {"participant": FAY, "recording": KEY.recording("f")}])
            store.grow(13)
            store.write_day(12, people.a_day(12))
            row = people.day_row(EMIL, 0, 12, 0, people.a_day(12).checksum())
            store.person_days.append([row | {"participant": FAY, "recording": KEY.recording("f")}])
        found = forget(again(store), [ANN, FAY], TODAY)
        assert (found.participants, found.recordings, found.person_days) == (2, 3, 4)
        left = files_in(store.folder.path)
        assert traces(left, [ANN, FAY]) == []
        assert not [name for name in left if "/c/12/" in name]
        assert prove(again(store)).participants == 2

    def test_a_driver_that_lost_the_lease_commits_nothing(self, store: Store) -> None:
        late = again(store)
        for table in (late.plan, late.person_days, late.recordings):
            table.fence(1)
        store = again(store)
        with Lease(store.folder):
            pass
        forget(store, [ANN], TODAY)
        with pytest.raises(UserError):
            late.person_days.append([people.day_row(ANN, 0, 2, 0, "f" * 64)])
        with pytest.raises(UserError):
            late.recordings.replace(people.recordings_of(ANN), [people.recording_row(ANN, 0, 1)])
        assert people.rows_of(again(store), [ANN]) == []
        forget(again(store), [ANN], TODAY)  # the files that it wrote for its commit
        assert traces(files_in(store.folder.path), [ANN]) == []


@pytest.mark.parametrize("array", ARRAYS)
def test_objects_that_a_late_worker_writes_meanwhile_are_deleted_too(
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
    assert prove(again(store)).participants == 1


class TestLeftovers:
    """What killed and late writers leave after a withdrawal: the proof finds it, the next withdrawal deletes it."""

    def assert_found_and_deleted(self, store: Store, where: str) -> None:
        with pytest.raises(UserError, match=re.escape(where)) as raised:
            prove(store)
        assert not re.search("[0-9a-f]{64}", str(raised.value))
        forget(again(store), [], TODAY)
        assert prove(again(store)).participants == 2
        assert people.days_of(again(store), [BOB, EMIL]).keys() == {3, 4, 10}

    @pytest.mark.parametrize("array", ARRAYS)
    def test_a_late_worker_writes_into_a_slot(self, withdrawn: Store, array: str) -> None:
        withdrawn._arrays[array][8] = getattr(
            people.a_day(1), {"signal": "signal_CT", "motion": "motion_S", "state": "state_S"}[array]
        )
        self.assert_found_and_deleted(withdrawn, f"{array}/c/8/")

    def test_a_worker_was_killed_in_a_slot(self, withdrawn: Store) -> None:
        left = Path(withdrawn.folder.path) / "signal" / "c" / "5" / "0" / "0.1234.partial"
        left.parent.mkdir(parents=True)
        left.write_bytes(b"half a day")
        self.assert_found_and_deleted(withdrawn, "signal/c/5/0/0.1234.partial")

    @pytest.mark.parametrize(
        ("name", "what"),
        [
            ("_delta_log/_commit_1.json.tmp", ANN),
            ("_delta_log/00000000000000000002.json", people.recordings_of(ANN)[0]),
            ("part-0.parquet", people.recordings_of(DORA)[0]),
            ("part-0.parquet#1", "cut off"),
            (f"{ANN}.txt", ""),
        ],
    )
    def test_a_table_has_files_of_no_version(self, withdrawn: Store, name: str, what: str) -> None:
        path = Path(withdrawn.folder.path) / "tables" / "plan" / name
        if name.endswith(".parquet"):
            pq.write_table(pa.table({"recording": [what] * 3}), path, compression="zstd")
        else:
            path.write_text(f'{{"predicate": "recording in (\'{what}\')"}}')
        self.assert_found_and_deleted(withdrawn, f"tables/plan/{name}" if what else "tables/plan/")


class TestProve:
    @pytest.mark.parametrize(
        ("id_", "before"),
        [(ANN, 0), (people.recordings_of(ANN)[1], 7), (DORA, (1 << 25) - 30), (ANN, (1 << 25) + 100)],
    )
    def test_an_id_is_found_at_any_place(self, withdrawn: Store, id_: str, before: int) -> None:
        file = Path(withdrawn.folder.path) / "signal" / "c" / "3" / "0" / "0"
        file.write_bytes(b"\xff" * before + id_.encode() + b"\xff" * 50)
        with pytest.raises(UserError, match=f"signal/c/3/0/0: an id .{id_[:12]}"):
            prove(withdrawn)

    def test_two_ids_end_to_end_are_found(self, withdrawn: Store) -> None:
        (Path(withdrawn.folder.path) / "lease" / "x").write_text(BOB + ANN + BOB)
        with pytest.raises(UserError, match=ANN[:12]):
            prove(withdrawn)

    def test_an_id_in_a_nested_column_is_found(self, withdrawn: Store) -> None:
        kind = pa.struct([("path", pa.string()), ("tags", pa.map_(pa.string(), pa.string()))])
        rows = pa.array([{"path": "x", "tags": [("predicate", f"participant = '{ANN}'")]}] * 2, kind)
        path = Path(withdrawn.folder.path) / "tables" / "old.parquet"
        pq.write_table(pa.table({"remove": rows}), path, compression="zstd")
        with pytest.raises(UserError, match=r"tables/old.parquet: an id in the column remove"):
            prove(withdrawn)

    def test_ids_of_the_others_are_no_traces(self, withdrawn: Store) -> None:
        """Ids of participants who stay, of their recordings, of a device that Ann wore too; days replaced since."""
        log = Path(withdrawn.folder.path) / "lease" / "note"
        log.write_text(f"{BOB} {people.recordings_of(EMIL)[0]} {people.SHARED_DEVICE} {KEY.check}")
        withdrawn.person_days.replace(people.recordings_of(BOB), [people.day_row(BOB, 0, 3, 0, "1" * 64)])
        proof = prove(withdrawn)
        every = files_in(withdrawn.folder.path)
        assert (proof.files, proof.bytes) == (len(every), sum(map(len, every.values())))
        assert proof.foreign == 0

    def test_rows_of_a_withdrawn_participant_are_a_trace(self, withdrawn: Store) -> None:
        withdrawn.recordings.append([people.recording_row(ANN, 0, 1)])
        with pytest.raises(UserError, match=f"tables/recordings: rows of a participant .{ANN[:12]}"):
            prove(withdrawn)

    def test_an_unfinished_withdrawal_is_not_proven(self, withdrawn: Store) -> None:
        withdrawn.withdrawals.begin([BOB], TODAY)
        with pytest.raises(UserError, match="1 withdrawals are not finished"):
            prove(withdrawn)

    def test_without_a_withdrawal_there_is_nothing_to_prove(self, store: Store) -> None:
        with pytest.raises(UserError, match="nobody has withdrawn"):
            prove(store)

    def test_while_another_run_writes_nothing_is_proven(self, withdrawn: Store) -> None:
        with (
            Lease(withdrawn.folder, heartbeat_s=0.1),
            pytest.raises(UserError, match="another run is writing"),
        ):
            prove(withdrawn)


class TestScan:
    @given(
        st.lists(
            st.one_of(
                st.binary(max_size=200),
                st.text("0123456789abcdef", max_size=150).map(str.encode),
                st.integers(0, 2**256 - 1).map(lambda number: f"{number:064x}".encode()),
            ),
            max_size=8,
        )
    )
    def test_runs_equal_those_of_a_scan_of_every_byte(self, parts: list[bytes]) -> None:
        data = b"".join(parts)
        found, run = [], ""
        for byte in [*data, 0]:
            if chr(byte) in "0123456789abcdef":
                run += chr(byte)
            else:
                found += [run] if len(run) >= 64 else []
                run = ""
        assert list(hex_runs(data)) == found
        assert may_hold_ids(data) or not found

    def test_random_bytes_are_skipped(self) -> None:
        assert not may_hold_ids(np.random.default_rng(0).bytes(10_000_000))

    def test_every_place_in_a_run_is_tried(self) -> None:
        assert [id_[:1] for id_ in ids_in("a" + "b" * 64 + "c")] == ["a", "b", "b"]


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 9)), max_size=8), st.sets(st.integers(0, 49), max_size=5))
def test_covered_slots(spans: list[tuple[int, int]], single: set[int]) -> None:
    first, sizes = np.array(spans, np.int64).reshape(-1, 2).T
    expected = single.union(*(range(start, start + size) for start, size in spans))
    found = covered_slots(50, first, first + sizes, np.array(sorted(single), np.int64))
    assert set(np.flatnonzero(found)) == expected


class TestParticipants:
    def _read(self, path: Path, text: str) -> list[tuple[str, int]]:
        path.write_text(text, encoding="utf-8-sig")
        return [(person.id, person.line) for person in read_participants(path, lambda: KEY)]

    @pytest.mark.parametrize(
        "text",
        [
            "Ann\n\n  Bob \nAnn\n",
            f"Ann\n\n{BOB}\n",
            "date,participant\n2026-01-01,Ann\n2026-01-02,Bob\n".replace("Ann\n", "Ann\n\n"),
            "participant\nAnn\n\nBob\nAnn",
            f"{ANN.upper()}\n\n{BOB}",
            '\n"date",participant,\n"a,\nb",Ann,\n\n , ,\n"c", Bob ,\n',
        ],
    )
    def test_lines_columns_and_keyed_ids(self, tmp_path: Path, text: str) -> None:
        assert [id_ for id_, _ in self._read(tmp_path / "who", text)] == [ANN, BOB]

    def test_lines_are_counted_as_in_an_editor(self, tmp_path: Path) -> None:
        assert self._read(tmp_path / "who", "Ann\n\nBob") == [(ANN, 1), (BOB, 3)]
        assert self._read(tmp_path / "who", "participant\n\nAnn\nBob") == [(ANN, 3), (BOB, 4)]

    def test_keyed_ids_need_no_key(self, tmp_path: Path) -> None:
        (tmp_path / "who").write_text(f"{ANN}\n")
        assert [person.id for person in read_participants(tmp_path / "who", pytest.fail)] == [ANN]

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("", "found none"),
            ("participant\n", "found none"),
            ("name,participant\na.cwa,Ann\n", "ingest's map of all participants"),
            ("participant,date\nAnn,1\n,2\n", "line 3: expected a participant"),
            ("eid,date\nAnn,2026-01-01\n", "line 1: expected only a name, found ','.*names the column participant"),
            ("participant;date\nAnn;2026-01-01\n", "line 1: expected only a name, found ';'"),
            ('Bob\n"Ann"\n', "line 2: expected only a name, found '\"'"),
            ("Bob\nAnn\t1\n", "line 2: expected only a name"),
            ("participant\nSmith, Ann\n", "line 2: expected 1 fields as in the first line, found 2"),
            ('participant\n"Ann\n', "cannot read the participants.*unexpected end"),
        ],
    )
    def test_errors_show_no_name(self, tmp_path: Path, text: str, expected: str) -> None:
        with pytest.raises(UserError, match=expected) as raised:
            self._read(tmp_path / "who", text)
        assert "Ann" not in str(raised.value)

    def test_a_name_with_a_comma_needs_a_column(self, tmp_path: Path) -> None:
        expected = [(KEY.participant('Smith, Ann "A"'), 2)]
        assert self._read(tmp_path / "who", 'participant\n"Smith, Ann ""A"""\n') == expected

    def test_a_missing_file_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="cannot read the participants"):
            read_participants(tmp_path / "nobody", lambda: KEY)


class TestCommand:
    @pytest.fixture
    def flags(self, store: Store, tmp_path: Path) -> list[object]:
        """The store and its key."""
        (tmp_path / "key").write_text(KEY.secret.hex())
        return ["--store", store.folder.url, "--key-file", tmp_path / "key"]

    def test_names_are_hashed_and_never_shown(
        self,
        flags: list[object],
        store: Store,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        who = tmp_path / "who"
        who.write_text("Ann\nZoe Unknown\n")
        status, out, err = command(capsys, monkeypatch, *flags, "--participants", who, "--prove", "--also-unknown")
        assert status == 0, err
        message = "2 participants in the file: 1 known to the store, 1 unknown (line 2), 0 already withdrawn."
        assert out.startswith(message)
        assert "withdrawn: 2 participants; the store still held 2 recordings and 3 person-days of theirs" in out
        assert all(word in out for word in ("backups", "checkpoints and logs of training", "logs of ingest, of Ray"))
        assert "proven: every byte" in out
        assert not any(name in out + err for name in ("Ann", "Zoe", ANN))
        assert store.withdrawals.participants() == {ANN, KEY.participant("Zoe Unknown")}

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("eid\nAnn\n", "1 known to the store, 1 unknown (line 1), 1 already withdrawn"),
            ("Ann\nann\n'Ann'\n", "1 known to the store, 2 unknown (lines 2, 3), 1 already withdrawn"),
            ("Ann\n" + "0" * 64, "1 known to the store, 1 unknown (line 2), 1 already withdrawn"),
            (
                "\n".join(f"Zoe {number}" for number in range(500)),
                "0 known to the store, 500 unknown (lines 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 490 more), 1 already",
            ),
        ],
    )
    def test_unknown_participants_are_an_error_before_anything_is_registered(
        self,
        flags: list[object],
        store: Store,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
        text: str,
        message: str,
    ) -> None:
        forget(store, [BOB], TODAY)
        (tmp_path / "who").write_text(f"{text}\nBob\n")
        before = files_in(store.folder.path)
        status, out, err = command(capsys, monkeypatch, *flags, "--participants", tmp_path / "who", "--prove")
        assert (status, out) == (1, "")
        assert message in err
        assert "--also-unknown" in err
        assert ("header" in err) == text.startswith("eid")
        assert not any(name in err for name in ("Ann", "ann", "Zoe", "Bob"))
        assert files_in(store.folder.path) == before

    def test_participants_with_only_a_rejected_recording_or_slots_are_known(
        self,
        flags: list[object],
        store: Store,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        (tmp_path / "who").write_text("participant,date\nClara,2026-03-04\nDora,2026-03-04\n")
        status, out, err = command(capsys, monkeypatch, *flags, "--participants", tmp_path / "who")
        assert status == 0, err
        assert "2 known to the store, 0 unknown, 0 already withdrawn" in out

    def test_another_key_is_refused_before_anything_is_registered(
        self,
        flags: list[object],
        store: Store,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        (tmp_path / "who").write_text("Ann\n")
        (tmp_path / "key").write_text("0" * 64)
        status, _, err = command(capsys, monkeypatch, *flags, "--participants", tmp_path / "who")
        assert status == 1
        assert "another key" in err
        assert store.withdrawals.participants() == set()

    def test_without_participants_it_finishes_earlier_withdrawals(
        self, flags: list[object], store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert "--participants is missing" in command(capsys, monkeypatch, *flags)[2]
        store.withdrawals.begin([ANN], TODAY)
        assert "not finished" in command(capsys, monkeypatch, *flags, "--prove")[2]
        assert "withdrawn: 1 participant;" in command(capsys, monkeypatch, *flags)[1]
        assert command(capsys, monkeypatch, *flags, "--prove")[0] == 0

    def test_a_table_that_cannot_be_read_is_one_message_without_ids(
        self,
        flags: list[object],
        store: Store,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        (tmp_path / "who").write_text("Ann\n")
        for uri in store.person_days.delta.file_uris():
            Path(uri).write_bytes(b"damaged")
        status, _, err = command(capsys, monkeypatch, *flags, "--participants", tmp_path / "who")
        assert status == 1
        assert err.startswith("error: ")
        assert "the table cannot be read" in err
        assert not re.search("[0-9a-f]{64}|data.where", err)

    def test_while_another_run_writes_it_is_registered_and_the_status_is_1(
        self,
        flags: list[object],
        store: Store,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        (tmp_path / "who").write_text("Ann\n")
        line = [*flags, "--participants", tmp_path / "who"]
        with Lease(store.folder, heartbeat_s=0.1):
            status, out, err = command(capsys, monkeypatch, *line)
        assert (status, "withdrawn:" in out) == (1, False)
        assert "Nothing of them is deleted yet. Run the same command again" in err
        assert store.withdrawals.unfinished() == {ANN}
        status, out, _ = command(capsys, monkeypatch, *line)
        assert (status, "1 already withdrawn" in out, "3 person-days" in out) == (0, True, True)

    def test_the_same_days_under_another_name_are_an_error_that_names_the_recording(
        self,
        flags: list[object],
        store: Store,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        store.person_days.append([people.day_row(EMIL, 0, 11, 1, store.read_day(3).checksum())])
        (tmp_path / "who").write_text("Bob")
        status, out, err = command(capsys, monkeypatch, *flags, "--participants", tmp_path / "who")
        assert (status, "withdrawn:" in out) == (1, True)
        assert people.recordings_of(EMIL)[0][:12] in err


def _exists(pattern: str) -> Callable[[Path], bool]:
    return lambda store: any(store.glob(pattern))


def _is_deleted(name: str) -> Callable[[Path], bool]:
    return lambda store: not (store / name).exists()


MOMENTS = {
    "registered": _exists(f"withdrawn/{ANN}"),
    "days deleted": _exists("tables/person_days/_delta_log/*06.json"),
    "recordings deleted": _exists("tables/recordings/_delta_log/*05.json"),
    "some objects": _is_deleted("signal/c/2/0/0"),
    "more objects": _is_deleted("state/c/8/0"),
    "plan deleted": _exists("tables/plan/_delta_log/*04.json"),
    "a checkpoint": _exists("tables/person_days/_delta_log/*.checkpoint.parquet"),
    "the log shorter": _is_deleted("tables/person_days/_delta_log/00000000000000000000.json"),
    "another checkpoint": _exists("tables/recordings/_delta_log/_last_checkpoint"),
    "the last log shorter": _is_deleted("tables/plan/_delta_log/00000000000000000000.json"),
    "done for one": _exists("withdrawn/*.purged"),
}


KILLED = """
import os, sys, threading
from pathlib import Path
from pipeline.cli import run_command
from pipeline.withdraw.command import withdraw
from tests.pipeline.test_withdraw import MOMENTS
moment, store = MOMENTS[sys.argv.pop(1)], Path(sys.argv.pop(1))
def watch(frame, event, argument):
    if frame.f_globals.get("__name__", "").startswith(("pipeline.", "fsspec.")) and moment(store):
        os.kill(os.getpid(), 9)
threading.setprofile(watch)
sys.setprofile(watch)
sys.exit(run_command(withdraw, "withdraw"))
"""
"""Kills itself at the first call or return at which a moment has come."""


def start(store: Path, who: Path) -> subprocess.Popen[bytes]:
    line = [sys.executable, "-m", "pipeline", "withdraw", "--store", str(store), "--participants", str(who)]
    return subprocess.Popen(line, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _require_others_unchanged(folder: Path) -> None:
    """Rows and days of the others are unchanged at any moment."""
    store = Store.open(str(folder))
    days = people.days_of(store, [BOB, EMIL])
    kept = {row["slot"]: row["checksum"] for row in people.rows_of(store, [BOB, EMIL]) if "checksum" in row}
    assert days == kept
    assert len(days) == 3


def _ends_well(folder: Path, who: list[str]) -> None:
    _require_others_unchanged(folder)
    forget(Store.open(str(folder)), who, TODAY)
    assert traces(files_in(folder), who) == []
    assert prove(Store.open(str(folder))).participants == len(who)
    _require_others_unchanged(folder)


SHORT = ("registered", "days deleted", "some objects", "plan deleted", "the log shorter")


@pytest.mark.parametrize(
    "moment", [moment if moment in SHORT else pytest.param(moment, marks=pytest.mark.slow) for moment in MOMENTS]
)
def test_killed_at_a_step_it_is_completed_by_the_next_run(made: Path, tmp_path: Path, moment: str) -> None:
    folder, who = tmp_path / "store", tmp_path / "who"
    shutil.copytree(made, folder)
    who.write_text(f"{ANN}\n{DORA}\n{CLARA}\n")
    line = [sys.executable, "-c", KILLED, moment, str(folder), "--store", str(folder), "--participants", str(who)]
    killed = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert {ANN, DORA, CLARA} & Store.open(str(folder)).withdrawals.participants()
    _ends_well(folder, [ANN, DORA, CLARA])


@pytest.mark.slow
def test_killed_at_any_moment_it_is_completed_by_the_next_run(made: Path, tmp_path: Path) -> None:
    """Forty kills, spread over the time an undisturbed run takes from registration to its end."""
    random = np.random.default_rng(0)
    who = tmp_path / "who"
    who.write_text(f"{ANN}\n{DORA}\n{CLARA}\n")
    killed = 0
    for number in range(40):
        folder = tmp_path / str(number)
        shutil.copytree(made, folder)
        process = start(folder, who)
        while not (folder / "withdrawn" / ANN).exists():
            time.sleep(0.001)
        time.sleep(random.uniform(0, 0.3))
        os.kill(process.pid, signal.SIGKILL)
        killed += process.wait() != 0
        _ends_well(folder, [ANN, DORA, CLARA])
        shutil.rmtree(folder)
    assert killed > 20
