"""Ingest after a withdrawal: participants are left out, slots are not reused, a killed ingest leaves no objects."""

from __future__ import annotations

import shutil
import signal
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from ingest.run.commit import Committer
from ingest.run.driver import run_ingest
from pipeline.errors import UserError
from pipeline.store.lease import LeaseHeld
from pipeline.store.store import Store
from pipeline.withdraw.forget import forget
from pipeline.withdraw.prove import prove
from tests.ingest import cohort
from tests.ingest.cohort import ANNA, BAD, BEN, CLARA, KEY
from tests.ingest.runs import start, when

TODAY = date(2026, 3, 4)
PEOPLE = {name: KEY.participant(name) for name in ("Anna Smith", "Ben", "Clara", "Dora")}


@pytest.mark.usefixtures("ray_here")
def test_withdrawn_participants_are_left_out_and_their_slots_are_not_reused(copies: tuple[Path, Path]) -> None:
    recordings, folder = copies
    before = Store.open(str(folder))
    length, rows = before.length, [row for row in cohort.rows(folder)[0] if row["participant"] != PEOPLE["Anna Smith"]]
    forget(before, [PEOPLE["Anna Smith"], PEOPLE["Dora"]], TODAY)
    versions = _versions(folder)
    summary = run_ingest(cohort.settings(recordings, folder))
    assert summary.nothing_to_do
    assert (summary.done_before, summary.withdrawn) == (2, len(ANNA) + len(BAD))
    assert _versions(folder) == versions
    shutil.copy(recordings / CLARA, recordings / "clara" / "later.cwa.gz")
    assert run_ingest(cohort.settings(recordings, folder)).done == 1
    days, done = cohort.rows(folder)
    later = KEY.recording("clara/later.cwa.gz")
    assert [row for row in days if row["recording"] != later] == rows
    assert all(row["slot"] >= length for row in days if row["recording"] == later)
    assert {row["recording"] for row in done} == {KEY.recording(BEN), KEY.recording(CLARA), later}
    assert prove(Store.open(str(folder))).participants == 2


@pytest.mark.usefixtures("ray_here")
def test_a_withdrawal_registered_during_an_ingest_applies_to_the_next_one(
    cohort_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, who = tmp_path / "store", [PEOPLE["Anna Smith"], PEOPLE["Dora"]]
    refused = []
    give = Committer.assign_slots

    def ask_before_any_row_is_committed(self: Committer, *what: Any) -> None:
        give(self, *what)
        with pytest.raises(LeaseHeld, match="is registered") as raised:
            forget(Store.open(str(folder)), who, TODAY)
        refused.append(raised)

    monkeypatch.setattr(Committer, "assign_slots", ask_before_any_row_is_committed)
    summary = run_ingest(cohort.settings(cohort_folder, folder))
    assert len(refused) == 1
    assert summary.withdrawn == 0
    assert {row["participant"] for row in cohort.rows(folder)[0]} > {PEOPLE["Anna Smith"]}
    with pytest.raises(UserError, match="2 withdrawals are not finished"):
        prove(Store.open(str(folder)))
    found = forget(Store.open(str(folder)), who, TODAY)
    assert (found.participants, found.recordings) == (2, len(ANNA) + len(BAD))
    assert {row["participant"] for row in cohort.rows(folder)[0]} == {PEOPLE["Ben"], PEOPLE["Clara"]}
    assert prove(Store.open(str(folder))).participants == 2


def _versions(folder: Path) -> list[int]:
    store = Store.open(str(folder))
    return [table.version for table in (store.plan, store.person_days, store.recordings)]


def test_objects_of_a_killed_ingest_are_deleted_by_a_withdrawal(
    cohort_folder: Path, ray_here: str, tmp_path: Path
) -> None:
    """Killed with objects written and no row committed: all objects of the participants are deleted."""
    folder = tmp_path / "store"
    process = start(cohort_folder, folder, ray_here)
    when(process, lambda: any((folder / "signal" / "c").glob("*/0/0")), signal.SIGKILL)
    store = Store.open(str(folder))
    assert store.person_days.read().num_rows == 0
    forget(store, list(PEOPLE.values()), TODAY)
    assert cohort.objects(folder) == []
    assert Store.open(str(folder)).plan.read().num_rows == 0
    summary = run_ingest(cohort.settings(cohort_folder, folder))
    assert summary.nothing_to_do
    assert cohort.objects(folder) == []
