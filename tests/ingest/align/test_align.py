"""`persondays align` on stores: what is written, what a second run does, what stops it, and what is refused by name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow.compute as pc
import pytest

from ingest.align import run as align_run
from ingest.align.pair import NO_PEAK
from ingest.align.pairs import ONE_DEVICE, OTHER_DATES, SAME_SAMPLES, undecided
from ingest.align.run import require_alignments, run_align, summary
from pipeline.errors import UserError
from pipeline.store.alignments import Alignment, read_alignments
from pipeline.store.lease import Lease, LeaseHeld
from pipeline.store.store import Store
from pipeline.verify.checks import check_store
from pipeline.verify.choice import all_slots
from tests.ingest.align import worn
from tests.ingest.align.worn import Worn
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("ray_here")
ROOT = Path(__file__).parents[3]


def rows(store: Store) -> list[Alignment]:
    store.alignments.refresh()
    found = read_alignments(store, store.alignments.version)
    return sorted(found, key=lambda row: (row.slot, row.other_slot))


def test_pairs_are_aligned_or_refused_once_and_new_recordings_are_added(tmp_path: Path) -> None:
    """Ann's devices fit, Bob's do not; then Clara comes with three. Each pair is decided once."""
    url, (first, second) = str(tmp_path / "store"), worn.pair()
    stranger = replace(second, person="Bob", movement=1)
    store = worn.write(url, first, second, replace(first, person="Bob", noise=4), stranger, Worn("Dora", movement=3))
    made = run_align(url)
    assert (made.new, made.refused, made.decided_before) == (2, 1, 0)
    assert "1 pair of person-days, 3.0 hours together" in summary(made)
    assert f"refused       1 pair of recordings: 1 {NO_PEAK}" in summary(made)
    require_alignments(made)
    before, version = rows(store), store.alignments.version
    assert [(row.slot, row.other_slot, row.refused) for row in before] == [
        (0, 1, False),
        (1, 0, False),
        (2, 3, True),
        (3, 2, True),
    ]

    again = run_align(url)
    assert (again.new, again.decided_before) == (0, 2)
    store.alignments.refresh()
    assert store.alignments.version == version

    third = replace(second, person="Clara", movement=5, place="right wrist", noise=9, offset_ticks=-31.0)
    worn.add(store, *(replace(each, person="Clara", movement=5) for each in (first, second)), third)
    more = run_align(url)
    assert (more.new, more.refused, more.decided_before) == (3, 0, 2)
    assert [row for row in rows(store) if row.slot < 4] == before
    assert check_store(Store.open(url), all_slots).findings == []


def test_one_process_or_two_write_the_same_rows(tmp_path: Path) -> None:
    stores = []
    for workers in (1, 2):
        recordings = [replace(each, movement=m) for m in range(3) for each in worn.pair(f"person {m}")]
        stores.append(worn.write(str(tmp_path / f"store-{workers}"), *recordings))
        run_align(stores[-1].folder.url, workers)
    assert rows(stores[0]) == rows(stores[1])


def test_what_a_store_cannot_align_is_said_before_anything_is_written(tmp_path: Path) -> None:
    first, second = worn.pair()

    def refused(name: str, message: str, *recordings: Worn, **how: object) -> None:
        store = worn.write(str(tmp_path / name), *recordings, **how)  # type: ignore[arg-type]
        with pytest.raises(UserError, match=message):
            run_align(store.folder.url)
        assert not store.alignments.exists
        assert not store.folder.folder("lease").names()

    refused("relative", "no calendar dates .--relative-dates", first, second, relative_dates=True)
    refused("alone", "each recording is a participant of its own", first, second, people="alone")
    refused("one", "every participant has worn one device", first, Worn("Bob", movement=1))


def test_pairs_that_cannot_be_are_counted_and_not_compared(tmp_path: Path) -> None:
    """Other dates, one device by its serial number, and the same samples under two names; nothing is aligned."""
    first, _ = worn.pair()
    late = replace(first, person="Bob", first_s=86_400 * 5 + 3600, noise=3, movement=8)
    store = worn.write(
        str(tmp_path / "store"),
        replace(first, serial="1"),
        replace(first, serial="1", movement=1),
        replace(first, person="Bob", noise=5),
        replace(late, first_s=86_400 + 3600),
        replace(first, person="Clara", noise=6),
        replace(first, person="Clara", noise=6),
    )
    days = store.person_days.read().to_pylist()
    moved = next(row for row in days if row["slot"] == 3)
    store.person_days.replace([moved["recording"]], [moved | {"day": moved["day"].replace(day=28)}])
    made = run_align(store.folder.url)
    assert made.candidates.left_out == {ONE_DEVICE: 1, OTHER_DATES: 1, SAME_SAMPLES: 1}
    assert "not compared  3 pairs of recordings" in summary(made)
    assert not store.alignments.exists
    with pytest.raises(UserError, match="no pair of recordings could be aligned"):
        require_alignments(made)


def test_devices_without_a_location_are_aligned_and_noted(tmp_path: Path) -> None:
    store = worn.write(str(tmp_path / "store"), *(replace(each, place=None) for each in worn.pair()))
    made = run_align(store.folder.url)
    require_alignments(made)
    assert "2 recordings in pairs do not say where they were worn" in summary(made)


def test_rows_of_replaced_days_are_deleted_and_the_new_ones_compared(tmp_path: Path) -> None:
    first, second = worn.pair()
    store = worn.write(str(tmp_path / "store"), first, second)
    run_align(store.folder.url)
    (old,) = store.person_days.rows_where("slot = 1", ["recording"])["recording"].to_pylist()
    worn.add(store, replace(second, noise=12))
    store.person_days.replace([old], [])
    made = run_align(store.folder.url)
    assert (made.new, made.decided_before) == (1, 0)
    assert {(row.slot, row.other_slot) for row in rows(store)} == {(0, 2), (2, 0)}


def test_an_unreadable_day_decides_nothing(tmp_path: Path) -> None:
    store = worn.write(str(tmp_path / "store"), *worn.pair(), *worn.pair("Bob", movement=2))
    (Path(store.folder.path) / "motion/c/3/0").unlink()
    made = run_align(store.folder.url)
    assert (made.new, made.unreadable) == (1, 1)
    assert "unreadable    1 pair of recordings: run `persondays verify --repair`" in summary(made)
    assert {row.slot for row in rows(store)} == {0, 1}


def test_another_run_keeps_the_lease(tmp_path: Path) -> None:
    store = worn.write(str(tmp_path / "store"), *worn.pair())
    with Lease(store.folder, heartbeat_s=0.1), pytest.raises(LeaseHeld):
        run_align(store.folder.url)
    assert not store.alignments.exists


def test_a_killed_run_leaves_whole_pairs_and_the_next_one_completes_them(tmp_path: Path, ray_here: str) -> None:
    """The run commits each pair by itself, and is killed after the first commit."""
    recordings = [replace(each, movement=m) for m in range(4) for each in worn.pair(f"person {m}")]
    store, whole = (worn.write(str(tmp_path / name), *recordings) for name in ("store", "whole"))
    run_align(whole.folder.url)
    command = [sys.executable, "-m", "tests.ingest.align.held", store.folder.url, ray_here, str(tmp_path / "waits")]
    with subprocess.Popen(command, cwd=ROOT, start_new_session=True) as process:
        until((tmp_path / "waits").exists, process)
        os.killpg(process.pid, signal.SIGKILL)
    some = rows(store)
    assert 0 < len(some) < len(rows(whole))
    assert len(some) % 2 == 0
    made = run_align(store.folder.url)
    assert made.decided_before == len(some) // 2
    assert rows(store) == rows(whole)


def test_ctrl_c_commits_what_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recordings = [replace(each, movement=m) for m in range(3) for each in worn.pair(f"person {m}")]
    store = worn.write(str(tmp_path / "store"), *recordings)
    update = align_run.Progress.update

    def stop(progress: align_run.Progress, done: float, note: str = "") -> None:
        update(progress, done, note)
        if done:
            raise KeyboardInterrupt

    monkeypatch.setattr(align_run.Progress, "update", stop)
    with pytest.raises(KeyboardInterrupt):
        run_align(store.folder.url, 1)
    assert len(rows(store)) == 2
    assert not Lease(store.folder).is_held()


def test_undecided_pairs_are_those_without_a_row(tmp_path: Path) -> None:
    store = worn.write(str(tmp_path / "store"), *worn.pair(), *worn.pair("Bob", movement=2))
    pairs = align_run.find_candidates(store).pairs
    assert [pair.slots for pair in pairs] == [(0, 1), (2, 3)]
    assert undecided(pairs, [(0, 1), (1, 0)]) == pairs[1:]
    assert undecided(pairs, [(0, 3), (2, 1)]) == pairs
    assert pc.sum(store.person_days.read()["slot"]).as_py() == 6
