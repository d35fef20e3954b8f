"""Repair: a real ingest restores damaged recordings in new slots with the same values; orphans are deleted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ingest.run.driver import run_ingest
from pipeline.errors import UserError
from pipeline.store.lease import Lease
from pipeline.store.person_day import PersonDay
from pipeline.store.store import Store
from pipeline.verify.checks import check_store
from pipeline.verify.choice import all_slots
from pipeline.verify.repair import repair
from tests.ingest import cohort
from tests.ingest.cohort import ANNA, BAD, BEN, CLARA, KEY

ROOT = Path(__file__).parents[3]


def flags(recordings: Path, store: Path, ray: str) -> list[str]:
    """The flags of ingest, as after the two dashes."""
    settings = cohort.settings(recordings, store)
    given = ["--recordings", settings.recordings, "--participants", str(settings.participants)]
    return [*given, "--key-file", str(settings.key_file), "--ray-address", ray]


def values(store: Path) -> dict[tuple[str, int], str]:
    """The checksum of every day, by recording and day."""
    return {(row["recording"], row["day_index"]): row["checksum"] for row in cohort.rows(store)[0]}


def slot_of(store: Path, name: str) -> int:
    return min(row["slot"] for row in cohort.rows(store)[0] if row["recording"] == KEY.recording(name))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def test_every_kind_of_damage_is_repaired(copies: tuple[Path, Path], undisturbed: Path, ray_here: str) -> None:
    """A byte flipped, an object gone, a slot assigned twice, an orphan and leftovers; one recording is undamaged."""
    recordings, store = copies
    anna, ben = (slot_of(store, name) for name in (ANNA[0], BEN))
    flip(store / "signal" / "c" / f"{anna}" / "0" / "0")
    (store / "motion" / "c" / f"{ben + 1}" / "0").unlink()
    opened = Store.open(str(store))
    clara = slot_of(store, CLARA)
    (row,) = (row for row in opened.plan.read().to_pylist() if row["recording"] == KEY.recording(CLARA))
    opened.plan.append([row | {"recording": KEY.recording(BEN), "participant": KEY.participant("Ben")}])
    end = opened.length
    opened.grow(end + 1)
    day = opened.read_day(clara)
    opened.write_day(end, PersonDay(day.signal_CT, day.motion_S, day.state_S))
    left = store / "state" / "c" / f"{anna}" / "0.11.partial"
    left.write_bytes(b"half")
    before = cohort.rows(store)

    command = [sys.executable, "-m", "pipeline", "verify", str(store), "--repair", "--"]
    done = subprocess.run(
        [*command, *flags(recordings, store, ray_here)], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\nfaults found\n" in done.stdout
    assert done.stdout.endswith("no faults found\n")

    assert values(store) == values(undisturbed)
    after = cohort.rows(store)
    moved = {row["recording"] for row in after[0]} - {row["recording"] for row in after[0] if row in before[0]}
    assert moved == {KEY.recording(name) for name in (ANNA[0], BEN, CLARA)}
    assert all(row["slot"] >= end for row in after[0] if row["recording"] in moved)
    assert after[1] == before[1]
    assert check_store(Store.open(str(store)), all_slots).findings == []
    assert len(cohort.objects(store)) == 3 * len(after[0])
    assert not list(store.rglob("*.partial"))
    assert run_ingest(cohort.settings(recordings, store)).nothing_to_do


def test_damage_whose_source_is_gone_stays_and_is_reported(copies: tuple[Path, Path], ray_here: str) -> None:
    """One file is gone, one went bad without a change of its size and time: their other days stay."""
    recordings, store = copies
    (recordings / ANNA[0]).unlink()
    ben = recordings / BEN
    at = ben.stat()
    ben.write_bytes(b"x" * at.st_size)
    os.utime(ben, ns=(at.st_atime_ns, at.st_mtime_ns))
    for slot in (slot_of(store, ANNA[0]), slot_of(store, BEN), slot_of(store, ANNA[1])):
        flip(store / "signal" / "c" / f"{slot}" / "0" / "0")
    before = cohort.rows(store)
    opened = Store.open(str(store))
    report = check_store(opened, all_slots)
    assert report.repairable == sorted(KEY.recording(name) for name in (ANNA[0], ANNA[1], BEN))
    left = repair(opened, report, flags(recordings, store, ray_here))
    assert left.repairable == sorted(KEY.recording(name) for name in (ANNA[0], BEN))
    assert {finding.kind for finding in left.findings} == {"unreadable"}
    after = cohort.rows(store)
    assert {row["recording"] for row in before[0] if row not in after[0]} == {KEY.recording(ANNA[1])}
    assert after[1] == before[1]


def test_a_run_that_was_killed_between_its_two_commits(copies: tuple[Path, Path], ray_here: str) -> None:
    recordings, store = copies
    opened = Store.open(str(store))
    before = values(store)
    opened.recordings.replace([KEY.recording(BEN)], [])
    report = check_store(opened, all_slots)
    assert [finding.kind for finding in report.findings if finding.wrong] == ["unnoted"]
    assert repair(opened, report, flags(recordings, store, ray_here)).findings == []
    assert values(store) == before


def test_repair_needs_flags_and_a_store_that_no_run_is_writing(copies: tuple[Path, Path]) -> None:
    recordings, store = copies
    opened = Store.open(str(store))
    (store / "state" / "c" / "0" / "0").unlink()
    report = check_store(opened, all_slots)
    with pytest.raises(UserError, match="after two dashes"):
        repair(opened, report, [])
    with Lease(opened.folder):
        busy = check_store(opened, all_slots)
        with pytest.raises(UserError, match="Wait for it to end"):
            repair(opened, busy, ["--recordings", str(recordings)])


@pytest.mark.usefixtures("ray_here")
def test_only_the_recordings_that_again_names_are_ingested_again(copies: tuple[Path, Path], tmp_path: Path) -> None:
    recordings, store = copies
    (recordings / "clara" / "new.cwa").write_bytes((recordings / BEN).read_bytes())
    before, values_before = cohort.rows(store), values(store)
    again = tmp_path / "again.txt"
    again.write_text(f"{KEY.recording(BEN)[:12]}\n{KEY.recording('nobody.cwa')}\n")
    summary = run_ingest(cohort.settings(recordings, store, again=again))
    assert (summary.done, summary.replaced, summary.kept) == (1, 0, [])
    after = cohort.rows(store)
    assert values(store) == values_before
    assert {row["recording"] for row in after[0] if row not in before[0]} == {KEY.recording(BEN)}
    assert len(cohort.objects(store)) == 3 * len(after[0])
    bad = next(iter(BAD))
    for text, message in (
        (f"{KEY.recording('nobody.cwa')}\n", "no recording that --again"),
        ("Anna Smith\n", "found something else as entry 1"),
        ("", "found nothing"),
    ):
        again.write_text(text)
        with pytest.raises(UserError, match=message):
            run_ingest(cohort.settings(recordings, store, again=again))
    again.write_text(KEY.recording(bad))
    assert [name for name, _ in run_ingest(cohort.settings(recordings, store, again=again)).rejected] == [
        KEY.recording(bad)
    ]
    assert values(store) == values_before
