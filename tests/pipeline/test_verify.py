"""Verify: an undamaged store passes, and each kind of real damage is found."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import grid
from pipeline.identity import Key
from pipeline.storage.folder import Folder, StorageError
from pipeline.storage.s3 import S3Client
from pipeline.store.day_figures import day_figures
from pipeline.store.layout import slot_object
from pipeline.store.lease import Lease
from pipeline.store.person_day import PersonDay, motion
from pipeline.store.schemas import PERSON_DAYS, PLAN
from pipeline.store.schemas import RECORDINGS as RECORDINGS_SCHEMA
from pipeline.store.states import MEASURED
from pipeline.store.store import Store
from pipeline.verify import tables
from pipeline.verify.checks import check_store
from pipeline.verify.choice import all_slots, no_slots, random_slots
from pipeline.verify.ledger import Ledger, span_slots
from pipeline.verify.repair import repair
from pipeline.verify.report import Report
from tests.s3_here import s3_here

KEY = Key(bytes(range(32)))
ANN, BOB = KEY.participant("Ann"), KEY.participant("Bob")
RECORDINGS = {
    KEY.recording(name): (person, days) for name, person, days in (("a", ANN, 2), ("b", ANN, 1), ("c", BOB, 2))
}
FIRST = {name: 3 * number for number, name in enumerate(RECORDINGS)}
"""Each recording was given three slots: some of them are unused."""
SLOTS = [first + day for name, first in FIRST.items() for day in range(RECORDINGS[name][1])]


def a_day(seed: int, minutes: int = 30) -> PersonDay:
    """Noise around gravity for some minutes."""
    random = np.random.default_rng(seed)
    signal = np.full((3, grid.TICKS_PER_DAY), grid.FILL, np.int16)
    ticks = slice(9 * grid.TICKS_PER_HOUR, 9 * grid.TICKS_PER_HOUR + minutes * 60 * 30)
    signal[:, ticks] = random.normal((0, 0, 1024), 40, (minutes * 60 * 30, 3)).T.round()
    state = np.zeros(grid.SECONDS_PER_DAY, np.uint8)
    state[9 * 3600 : 9 * 3600 + minutes * 60] = MEASURED
    return PersonDay(signal, motion(signal, state), state)


def plan_row(recording: str, participant: str, first: int, slots: int, source: str = "1") -> dict[str, Any]:
    return {
        "recording": recording,
        "participant": participant,
        "source": source,
        "first_slot": first,
        "slots": slots,
    }


def done_row(recording: str, participant: str, days: int, source: str = "1") -> dict[str, Any]:
    named = {"recording": recording, "participant": participant, "source": source}
    return named | {"status": "done", "person_days": days}


def day_row(store: Store, recording: str, participant: str, slot: int, index: int) -> dict[str, Any]:
    """Write a day, and return its row."""
    day = a_day(slot)
    store.write_day(slot, day)
    named = {"slot": slot, "recording": recording, "participant": participant, "day_index": index}
    return named | day_figures(day, grid.COUNTS_PER_G)


def make(url: str) -> Store:
    """A store of three recordings of two people, five days, as ingest leaves it."""
    store = Store.create(url, KEY, {"made": "for tests"})
    store.plan.append([plan_row(name, person, FIRST[name], 3) for name, (person, _) in RECORDINGS.items()])
    store.grow(9)
    store.person_days.append(
        [
            day_row(store, name, person, FIRST[name] + index, index)
            for name, (person, days) in RECORDINGS.items()
            for index in range(days)
        ]
    )
    store.recordings.append([done_row(name, person, days) for name, (person, days) in RECORDINGS.items()])
    return store


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undamaged store; not to be changed."""
    return Path(make(str(tmp_path_factory.mktemp("made") / "store")).folder.path)


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Store:
    """A copy, to be damaged."""
    shutil.copytree(made, tmp_path / "store")
    return Store.open(str(tmp_path / "store"))


def found(report: Report) -> dict[str, Any]:
    """The kinds of faults, each with its slots or names."""
    return {each.kind: list[Any](each.slots) or list[Any](each.names) for each in report.findings if each.wrong}


def object_of(store: Store, array: str, slot: int) -> Path:
    return Path(store.folder.path) / slot_object(array, slot)


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(bytes(data))


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


@pytest.mark.parametrize("array", ["signal", "motion", "state"])
@pytest.mark.parametrize("how", ["deleted", "emptied"])
def test_a_missing_object(store: Store, array: str, how: str) -> None:
    path = object_of(store, array, SLOTS[2])
    path.unlink() if how == "deleted" else path.write_bytes(b"")
    report = check_store(store, no_slots)
    assert found(report) == {"missing": [SLOTS[2]]}
    assert report.repairable == [list(RECORDINGS)[1]]


@pytest.mark.parametrize("array", ["signal", "motion", "state"])
@pytest.mark.parametrize("at", [100, -30, -3])
def test_a_byte_flipped_anywhere_in_an_object(store: Store, array: str, at: int) -> None:
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


def test_a_truncated_shard(store: Store) -> None:
    path = object_of(store, "signal", SLOTS[0])
    path.write_bytes(path.read_bytes()[:-100])
    assert found(check_store(store, all_slots)) == {"unreadable": [SLOTS[0]]}


def test_another_days_signal(store: Store) -> None:
    """The object itself has no fault: only its row shows it."""
    shutil.copy(object_of(store, "signal", SLOTS[3]), object_of(store, "signal", SLOTS[0]))
    assert found(check_store(store, all_slots)) == {"values": [SLOTS[0]]}


def test_another_days_motion_and_a_changed_state(store: Store) -> None:
    shutil.copy(object_of(store, "motion", SLOTS[3]), object_of(store, "motion", SLOTS[0]))
    day = a_day(SLOTS[1])
    state = day.state_S.copy()
    state[9 * 3600 + 5] |= 32
    store.write_day(SLOTS[1], PersonDay(day.signal_CT, day.motion_S, state))
    assert found(check_store(store, all_slots)) == {"figures": [SLOTS[0], SLOTS[1]]}


def test_rows_without_any_object(store: Store) -> None:
    store.delete_days([SLOTS[3], SLOTS[4]])
    report = check_store(store, all_slots)
    assert found(report) == {"missing": SLOTS[3:]}
    assert report.read == 3
    assert report.repairable == [list(RECORDINGS)[2]]


def test_objects_without_a_row_and_of_an_unfinished_ingest(store: Store) -> None:
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


def test_leftovers_of_killed_writers_and_foreign_files(store: Store) -> None:
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


def test_rows_that_disagree_with_recordings(store: Store) -> None:
    """A wrong count, days of a recording that is not done, and of one that was rejected."""
    a, b, c = RECORDINGS
    store.recordings.replace([a, b, c], [done_row(a, ANN, 3), done_row(c, BOB, 2) | {"status": "rejected"}])
    report = check_store(store, all_slots)
    assert found(report) == {"miscounted": [a[:12]], "unnoted": sorted([b[:12], c[:12]])}
    assert report.repairable == sorted(RECORDINGS)


def test_slots_and_days_in_two_rows(store: Store) -> None:
    a = next(iter(RECORDINGS))
    (row,) = (row for row in store.person_days.read().to_pylist() if row["slot"] == SLOTS[0])
    store.person_days.append([row])
    assert found(check_store(store, all_slots)) == {
        "doubled-slots": [SLOTS[0]],
        "doubled-days": [a[:12]],
        "miscounted": [a[:12]],
    }


def test_a_slot_given_twice_matters_where_it_is_used(store: Store) -> None:
    _, b, c = RECORDINGS
    store.plan.append([plan_row(b, ANN, FIRST[c] + 1, 5)])
    report = check_store(store, no_slots)
    assert found(report) == {"given-twice": [FIRST[c] + 1]}
    assert report.repairable == [c]


def test_rows_that_disagree_with_the_plan(store: Store) -> None:
    """In slots of another recording, in a day's wrong slot, and beyond the arrays."""
    a, b, c = RECORDINGS
    rows = {row["slot"]: row for row in store.person_days.read().to_pylist()}
    store.person_days.replace(
        [a, b, c],
        [
            rows[0],
            rows[1] | {"day_index": 2},
            rows[3],
            rows[6] | {"recording": b, "participant": ANN},
            rows[7],
        ],
    )
    assert found(check_store(store, no_slots)) == {
        "unplanned": [1, 6],
        "doubled-days": [b[:12]],
        "miscounted": sorted([b[:12], c[:12]]),
    }


def test_arrays_that_were_shortened(store: Store) -> None:
    for name in ("signal", "motion", "state"):
        path = Path(store.folder.path) / name / "zarr.json"
        text = json.loads(path.read_text())
        text["shape"][0] = 7
        path.write_text(json.dumps(text))
    report = check_store(Store.open(store.folder.url), all_slots)
    assert found(report) == {"beyond": [7]}
    assert report.repairable == [list(RECORDINGS)[2]]


def test_participants(store: Store) -> None:
    a, b, _ = RECORDINGS
    store.recordings.replace([b], [done_row(b, BOB, 1)])
    store.withdrawals.begin([BOB], date(2026, 3, 4))
    object_of(store, "signal", FIRST[a]).unlink()
    object_of(store, "signal", FIRST[b]).unlink()
    report = check_store(store, no_slots)
    assert found(report) == {
        "missing": [FIRST[a], FIRST[b]],
        "two-people": [b[:12]],
        "withdrawn": [BOB[:12]],
        "withdrawals": [BOB[:12]],
    }
    assert report.repairable == [a], "recordings of a withdrawn participant are not ingested again"


def test_a_lost_file_of_a_table(store: Store) -> None:
    (uri,) = store.person_days.delta.file_uris()
    Path(uri).unlink()
    report = check_store(Store.open(store.folder.url), all_slots)
    assert found(report) == {"tables": [f"tables/person_days/{Path(uri).name}"]}


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


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 5)), max_size=8))
def test_spans_as_slots(spans: list[tuple[int, int]]) -> None:
    first, size = np.array([a for a, _ in spans], np.int64), np.array([n for _, n in spans], np.int64)
    assert span_slots(first, first + size).tolist() == sorted({a + i for a, n in spans for i in range(n)})


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 12), st.integers(1, 4)), max_size=6, unique_by=lambda row: row[1]
    ),
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 12)), max_size=5),
)
@settings(deadline=None)
def test_plan_and_rows_against_counting(plan: list[tuple[int, int, int]], days: list[tuple[int, int, int]]) -> None:
    """Any plan over a few slots and any rows, nobody done: compared with counting one by one."""
    ledger = Ledger(
        pa.Table.from_pylist(
            [{"recording": f"{name}", "day_index": index, "slot": slot} for name, index, slot in days], PERSON_DAYS
        ).sort_by("slot"),
        pa.Table.from_pylist([], RECORDINGS_SCHEMA),
        pa.Table.from_pylist([plan_row(f"{name}", "p", first, slots) for name, first, slots in plan], PLAN).sort_by(
            "first_slot"
        ),
        frozenset(),
        frozenset(),
        20,
        (0, 0, 0),
    )
    given_slots = [slot for _, first, slots in plan for slot in range(first, first + slots)]
    newest = {name: max(row[1:] for row in plan if row[0] == name) for name, _, _ in plan}
    fillable = {slot for first, slots in newest.values() for slot in range(first, first + slots)}
    used = {slot for _, _, slot in days}
    last = {
        day: max(((first, slots) for name, first, slots in plan if name == day[0] and first <= day[2]), default=None)
        for day in days
    }
    fits = {day for day, row in last.items() if row and row[0] == day[2] - day[1] and day[2] < sum(row)}
    assert set(ledger.fillable.tolist()) == fillable
    twice = {slot for slot in given_slots if given_slots.count(slot) > 1}
    assert set(tables.twice_given_slots(ledger).tolist()) == twice & (used | fillable)
    assert set(tables.unplanned_slots(ledger).tolist()) == {day[2] for day in days if day not in fits}
    assert set(tables.doubled_slots(ledger).tolist()) == {s for s in used if [d[2] for d in days].count(s) > 1}
    assert set(tables.doubled_days(ledger)) == {f"{d[0]}" for d in days if [e[:2] for e in days].count(d[:2]) > 1}
    assert tables.unnoted_recordings(ledger) == sorted({f"{day[0]}" for day in days})


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline", "verify", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])


def test_the_command_reports_faults_in_its_output_and_exit_status(store: Store, tmp_path: Path) -> None:
    done = run(store.folder.url)
    assert done.returncode == 0, done.stderr
    assert "5 of 5 person-days read" in done.stdout
    assert done.stdout.endswith("no faults found\n")
    object_of(store, "motion", 0).unlink()
    done = run(store.folder.url, "--names-only", "--json", tmp_path / "found.json")
    assert done.returncode == 1
    assert "slots 0" in done.stdout
    result = json.loads((tmp_path / "found.json").read_text())
    assert (result["format"], result["whole"], result["person_days_read"]) == ("persondays-verify", False, 0)
    (finding,) = result["findings"]
    assert (finding["what"], finding["count"], finding["slots"]) == ("missing", 1, [0])
    for arguments in ((store.folder.url, "--names-only", "--sample", "3"), (store.folder.url, "more"), (tmp_path,)):
        done = run(*arguments)
        assert done.returncode == 1
        assert done.stderr.startswith("error: ")
        assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3_here(tmp_path_factory.mktemp("s3"), "ours"):
        yield "s3://ours"


def test_on_object_storage(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Page by page, with an unfinished upload, an orphan, a missing and a damaged object."""
    store = make(f"{bucket}/store")
    assert check_store(store, all_slots).findings == []
    fs = store.folder.fs
    call: Callable[..., Any] = fs.call_s3
    monkeypatch.setattr(
        fs, "call_s3", lambda method, **more: call(method, **more | ({"MaxKeys": 2} if "objects" in method else {}))
    )
    upload = fs.call_s3("create_multipart_upload", Bucket="ours", Key="store/signal/c/0/0/0")["UploadId"]
    store.folder.delete(["motion/c/0/0"])
    data = bytearray(store.folder.read("state/c/3/0"))
    data[-10] ^= 1
    store.folder.write("state/c/3/0", bytes(data))
    store.write_day(8, a_day(8))
    report = check_store(store, all_slots)
    assert found(report) == {
        "missing": [0],
        "unreadable": [3],
        "orphans": [8],
        "leftovers": ["store/signal/c/0/0/0 (upload)"],
    }
    assert S3Client(store.folder).abort_uploads([("store/signal/c/0/0/0", upload)] * 2) == []
    assert "leftovers" not in found(check_store(store, no_slots))


def test_uploads_are_listed_to_the_last_page(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.create(f"{bucket}/uploads", KEY, {})
    fs = store.folder.fs
    made = {
        (key, fs.call_s3("create_multipart_upload", Bucket="ours", Key=key)["UploadId"])
        for key in [f"uploads/signal/c/{number % 5}/0/0" for number in range(7)]
    }
    call: Callable[..., Any] = fs.call_s3
    small = {"list_multipart_uploads": {"MaxUploads": 2}}
    monkeypatch.setattr(fs, "call_s3", lambda method, **more: call(method, **more | small.get(method, {})))
    uploads, unlisted = S3Client(store.folder).unfinished_uploads()
    assert (sorted(uploads), unlisted) == (sorted(made), "")
    assert S3Client(store.folder).abort_uploads(uploads) == []
    assert S3Client(store.folder).unfinished_uploads() == ([], "")


def test_without_permission_to_list_uploads_the_rest_is_checked(bucket: str) -> None:
    store = make(f"{bucket}/audited")
    deny(store, "ListBucketMultipartUploads")
    try:
        done = run(store.folder.url, "--json", "-")
        assert done.returncode == 0, done.stderr
        assert [(each["what"], each["wrong"]) for each in json.loads(done.stdout)["findings"]] == [("unlisted", False)]
        store.folder.delete(["motion/c/0/0"])
        report = check_store(store, all_slots)
    finally:
        store.folder.fs.call_s3("delete_bucket_policy", Bucket="ours")
    assert found(report) == {"missing": [0]}
    unlisted = report.of("unlisted")
    assert unlisted is not None
    assert list(unlisted.names) == ["s3:ListBucketMultipartUploads: not permitted"]
    assert check_store(store, no_slots).of("unlisted") is None


def test_an_upload_that_cannot_be_aborted_is_an_error(bucket: str) -> None:
    store = make(f"{bucket}/kept")
    upload = store.folder.fs.call_s3("create_multipart_upload", Bucket="ours", Key="kept/signal/c/0/0/0")["UploadId"]
    deny(store, "AbortMultipartUpload")
    try:
        with pytest.raises(StorageError, match=r"1 unfinished uploads remain .s3:AbortMultipartUpload: not permitted"):
            repair(store, check_store(store, no_slots), [])
    finally:
        store.folder.fs.call_s3("delete_bucket_policy", Bucket="ours")
    assert S3Client(store.folder).abort_uploads([("kept/signal/c/0/0/0", upload)]) == []


def deny(store: Store, action: str) -> None:
    """Deny everybody a permission."""
    where = ["arn:aws:s3:::ours", "arn:aws:s3:::ours/*"]
    statement = {"Effect": "Deny", "Principal": "*", "Action": [f"s3:{action}"], "Resource": where}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    store.folder.fs.call_s3("put_bucket_policy", Bucket="ours", Policy=policy)


def test_a_storage_failure_is_not_reported_as_damage(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
    done = run(f"{bucket}/store")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
