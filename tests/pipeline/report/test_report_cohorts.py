"""Cohorts with unusual tables: unknown figures, no dates, withdrawals, recordings in progress, none accepted."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from deltalake import write_deltalake

from pipeline.report.analysis.checks import check_all
from pipeline.report.analysis.cohort import CohortColumns
from pipeline.store.schemas import RECORDINGS
from pipeline.store.store import Store
from pipeline.store.withdrawals import Withdrawals
from tests.pipeline.cohorts import KEY, write_cohort
from tests.pipeline.report.made_pages import make_page
from tests.train.days import write_store


def test_recordings_with_unknown_figures_pass_every_check(tmp_path: Path) -> None:
    store = write_cohort(str(tmp_path / "store"), 20).store
    row = {"recording": "f" * 64, "participant": "e" * 64, "status": "done", "size": 1, "person_days": 0}
    write_deltalake(store.recordings.delta, pa.Table.from_pylist([row], RECORDINGS), mode="append")
    store.recordings.refresh()
    cohort = CohortColumns.read(store)
    assert len(cohort.ids) == 21
    unknown = cohort.ids.to_pylist().index("f" * 64)
    assert [check.title for check in check_all(cohort) if unknown in check.failed] == []


def test_a_store_without_dates_gives_the_same_page(tmp_path: Path) -> None:
    pages = []
    for dates in (True, False):
        url = str(tmp_path / f"{dates}")
        write_cohort(url, 20, dates=dates)
        pages.append(make_page(url, tmp_path / f"{dates}.html")[0])
    assert pages[0] == pages[1]
    assert "missing from the store" in pages[0], "no states were written"


def test_withdrawn_participants_are_left_out(tmp_path: Path) -> None:
    from datetime import date

    made = write_cohort(str(tmp_path / "store"), 60)
    before = CohortColumns.read(made.store)
    Withdrawals(made.store.folder).begin([KEY.participant("1000003")], date(2024, 1, 1))
    after = CohortColumns.read(made.store)
    assert (len(before.ids), before.participants, before.person_days) == (60, 59, 420)
    assert (len(after.ids), after.participants, after.person_days) == (59, 58, 413)
    assert set(before.ids.to_pylist()) - set(after.ids.to_pylist()) == {made.id(3)}


def test_days_of_recordings_in_progress_are_counted(tmp_path: Path) -> None:
    store = write_store(str(tmp_path / "store"), people=2, days=2)
    _, read = make_page(store.folder.url, tmp_path / "page.html")
    assert "No recording is finished yet" in read.text["top"]
    assert "person-days of recordings in progress 4" in read.text["intake"]


def test_a_store_with_only_rejected_recordings_gives_a_page(tmp_path: Path) -> None:
    store = Store.create(str(tmp_path / "store"), KEY, {"made": "for tests"})
    row = {"status": "rejected", "reason": "<too> short", "size": 1, "person_days": 0}
    store.recordings.append([row | {"recording": "a" * 64, "participant": "b" * 64}])
    source, read = make_page(store.folder.url, tmp_path / "page.html")
    assert "No recording was accepted" in read.text["top"]
    assert "<too> short 1 aaaaaaaaaaaa" in read.text["intake"]
    assert list(read.text) == ["top", "intake"]
    assert "a" * 13 not in source
