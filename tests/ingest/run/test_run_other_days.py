"""Recordings whose ends show other days than they have: a run stores what `persondays inspect` shows, with new slots.

The plan with the new slots is committed before anything is written to them, so a run that is killed at either side of
that commit ends as if it had not been killed.
"""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ingest.capacity.dry_run import DryRun, plan_ingest
from ingest.devices.registry import is_recording
from ingest.inspect.recording import inspect_processed, process_recording
from ingest.run.commit import Committer
from ingest.run.driver import run_ingest
from ingest.run.settings import DEFAULT_MAX_DAYS
from ingest.settings import SignalSettings, TableSettings
from ingest.simulate.recording import simulate_recording
from pipeline.errors import UserError
from pipeline.store.store import Store
from pipeline.verify.checks import check_store
from tests.conftest import REAL_DATA
from tests.ingest import cohort
from tests.ingest.devices import cwa_file, gt3x_file
from tests.ingest.devices.gt3x_file import still, ticks
from tests.ingest.runs import assert_as_if_undisturbed, finish, start, when

MAX_BYTES = 6e6
"""Of real files that the comparison of the two commands reads."""
ANYWHERE = SignalSettings(any_location=True)

LATE = int((datetime(2024, 3, 4, 23, 30) - datetime(1970, 1, 1)).total_seconds())


def axivity(hours: float, time: datetime, number: int = 0) -> bytes:
    """Blocks of 120 samples at rest, at 6.25 Hz."""
    count, step = round(hours * 3600 / 19.2), timedelta(seconds=19.2)
    return b"".join(
        cwa_file.block(
            [(0, 0, 256)] * 120,
            [2] * 120,
            sequence=number + k,
            time=(at := time + k * step).replace(microsecond=0),
            fraction=round(at.microsecond * 32768 / 1e6) % 32768,
            rate_code=0x46,
        )
        for k in range(count)
    )


def make(folder: Path) -> None:
    """Recordings of each kind: the ends of three make no sense, the last two need more slots than theirs show."""
    folder.mkdir()
    a_year_ahead = gt3x_file.recording(still(1800), Stop_Date=ticks(datetime(2025, 3, 4)), Last_Sample_Time=None)
    (folder / "1000001_stop.gt3x").write_bytes(a_year_ahead)
    header = cwa_file.header(rate_code=0x46)
    in_2000 = axivity(0.5, datetime(2000, 1, 1))
    (folder / "1000002_in_2000.cwa").write_bytes(header + in_2000 + axivity(30, datetime(2024, 3, 4, 22), 94))
    backward = axivity(30, datetime(2024, 3, 4, 22)) + axivity(0.5, datetime(2000, 1, 1), 5625)
    (folder / "1000003_ends_in_2000.cwa").write_bytes(header + backward)
    resumed = axivity(0.5, datetime(2024, 3, 4, 10)) + axivity(0.5, datetime(2024, 3, 6, 10))
    (folder / "1000004_resumed.cwa").write_bytes(header + resumed)
    for number in (5, 6):
        log = [*still(1800, LATE), *still(1800 * number, LATE + 1800)]
        dates: dict[str, Any] = {"Start_Date": ticks(datetime(2024, 3, 4, 23, 30)), "Last_Sample_Time": None}
        download = ticks(datetime(2024, 3, 4, 23, 40))
        data = gt3x_file.recording(log, **dates, Download_Date=download)
        (folder / f"100000{number}_zone.gt3x").write_bytes(data)


def settings(folder: Path, store: Path, **more: Any) -> Any:
    return cohort.settings(folder, store, participants=None, signal=ANYWHERE, **more)


def stored(store: Path) -> dict[str, list[str] | None]:
    """The days of each recording by its id; None where it is rejected."""
    days, recordings = cohort.rows(store)
    found: dict[str, list[str] | None] = {
        str(row["recording"]): [] if row["status"] == "done" else None for row in recordings
    }
    for row in days:
        of_recording = found[str(row["recording"])]
        assert of_recording is not None
        of_recording.append(str(row["day"]))
    return found


def inspected(folder: Path) -> dict[str, list[str] | None]:
    """The same, from `persondays inspect` of each file."""
    found: dict[str, list[str] | None] = {}
    for path in sorted(folder.iterdir()):
        try:
            shown = inspect_processed(
                str(path), process_recording(str(path), TableSettings(), ANYWHERE, DEFAULT_MAX_DAYS)
            )
        except UserError:
            found[cohort.KEY.recording(path.name)] = None
        else:
            found[cohort.KEY.recording(path.name)] = [str(day.date) for day in shown.days]
    return found


def plan_rows(store: Path) -> int:
    return int(Store.open(str(store)).plan.read().num_rows)


def assert_slots_are_right(store: Path) -> None:
    opened = Store.open(str(store))
    plan = sorted((row["first_slot"], row["slots"]) for row in opened.plan.read().to_pylist())
    ends = [first + slots for first, slots in plan]
    assert all(end <= first for end, (first, _) in zip(ends, plan[1:], strict=False))
    assert max(slots for _, slots in plan) <= DEFAULT_MAX_DAYS
    assert opened.length == ends[-1]
    report = check_store(opened, lambda slots: slots)
    assert not report.findings, [finding.plain() for finding in report.findings]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("days") / "recordings"
    make(made)
    return made


@pytest.fixture(scope="module")
def undisturbed_store(ray_here: str, folder: Path) -> Path:
    store = folder.parent / "store"
    summary = run_ingest(settings(folder, store))
    assert (summary.done, summary.rejected) == (6, [])
    return store


def test_all_days_are_stored_although_the_ends_show_others(folder: Path, undisturbed_store: Path) -> None:
    assert stored(undisturbed_store) == inspected(folder)
    assert {tuple(days or []) for days in stored(undisturbed_store).values()} == {
        ("2024-03-04",),
        ("2024-03-04", "2024-03-05", "2024-03-06"),
        ("2024-03-04", "2024-03-06"),
        ("2024-03-04", "2024-03-05"),
    }
    plan = Store.open(str(undisturbed_store)).plan.read()["recording"].to_pylist()
    assert sorted(plan.count(recording) for recording in set(plan)) == [1, 1, 1, 2, 2, 2]
    assert sum(row["slots"] for row in Store.open(str(undisturbed_store)).plan.read().to_pylist()) <= 20
    assert_slots_are_right(undisturbed_store)
    assert run_ingest(settings(folder, undisturbed_store)).nothing_to_do


@pytest.mark.parametrize("commits_first", [True, False])
def test_a_run_killed_at_the_commit_of_new_slots_resumes(
    folder: Path, undisturbed_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, commits_first: bool
) -> None:
    store, assign, calls = tmp_path / "store", Committer.assign_slots, [0]

    def killed(self: Committer, spans: Sequence[Any], participants: Any) -> None:
        calls[0] += 1
        if calls[0] == 1 or commits_first:
            assign(self, spans, participants)
        if calls[0] == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Committer, "assign_slots", killed)
    with pytest.raises(KeyboardInterrupt):
        run_ingest(settings(folder, store))
    monkeypatch.undo()
    assert len(cohort.rows(store)[1]) == 1
    assert run_ingest(settings(folder, store)).done == 5
    assert_as_if_undisturbed(store, undisturbed_store)


@pytest.mark.slow
def test_a_driver_killed_after_the_commit_of_new_slots_resumes(
    folder: Path, undisturbed_store: Path, ray_here: str, tmp_path: Path
) -> None:
    store, flags = tmp_path / "store", ("--key-file", str(folder.parent / "key"), "--any-location")

    def is_planned_again() -> bool:
        return (store / "zarr.json").exists() and plan_rows(store) == plan_rows(undisturbed_store)

    when(start(str(folder), store, ray_here, *flags), is_planned_again, signal.SIGKILL)
    finish(str(folder), store, ray_here, *flags)
    assert_as_if_undisturbed(store, undisturbed_store)


def test_more_days_than_allowed_are_rejected_by_what_is_decoded(folder: Path, ray_here: str, tmp_path: Path) -> None:
    store = tmp_path / "store"
    summary = run_ingest(settings(folder, store, max_days=1))
    assert summary.done == 1
    reasons = {reason.split(":")[0] for _, reason in summary.rejected}
    assert reasons == {f"it spans {days} days by its own clock, more than --max-days 1" for days in (2, 3)}
    assert run_ingest(settings(folder, store, retry_rejected=True)).done == 5
    assert stored(store) == inspected(folder)
    assert_slots_are_right(store)


def test_a_dry_run_says_what_the_run_does(folder: Path, undisturbed_store: Path, tmp_path: Path) -> None:
    found = plan_ingest(settings(folder, tmp_path / "store"))
    assert isinstance(found, DryRun)
    assert (len(found.probed), found.rejected) == (6, [])


def test_a_clock_that_was_set_is_answered_in_the_store_that_rejected_it(ray_here: str, tmp_path: Path) -> None:
    recordings, store = tmp_path / "recordings", tmp_path / "store"
    recordings.mkdir()
    data = (
        cwa_file.header(rate_code=0x46) + axivity(2, datetime(2024, 3, 6, 22)) + axivity(3, datetime(2024, 3, 1), 375)
    )
    (recordings / "1000007_set.cwa").write_bytes(data)
    ((_, reason),) = run_ingest(settings(recordings, store)).rejected
    assert "after 2.0 h it was set back by 144.0 h. --clock keep-first keeps the 2.0 h" in reason
    assert run_ingest(settings(recordings, store)).nothing_to_do
    both = replace(ANYWHERE, clock="split")
    assert run_ingest(replace(settings(recordings, store, retry_rejected=True), signal=both)).done == 1
    days, (row,) = cohort.rows(store)
    assert [(str(day["day"]), round(day["measured_seconds"] / 3600)) for day in days] == [
        ("2024-03-01", 3),
        ("2024-03-06", 2),
    ]
    assert json.loads(row["figures"])["clock_choice"] == "split"
    assert "its clock was set while it ran: --clock split" in json.loads(row["figures"])["verdict_reason"]
    assert_slots_are_right(store)


def test_inspect_and_ingest_agree_about_every_small_file(
    folder: Path, cohort_folder: Path, ray_here: str, tmp_path: Path
) -> None:
    everything = tmp_path / "recordings"
    shutil.copytree(folder, everything)
    for kind, suffix in (("axivity", "cwa"), ("actigraph", "gt3x"), ("geneactiv", "bin")):
        made = everything / f"made.{suffix}"
        start: Any = np.datetime64("2024-03-04T23:30:00")
        simulate_recording(made, 0, 7, days=1 / 24, start=start, kind=kind)  # type: ignore[arg-type]
    real = [Path(REAL_DATA) / "recordings", Path(REAL_DATA).parent / "failing"] if REAL_DATA else []
    for number, path in enumerate(path for root in (cohort_folder, *real) for path in sorted(root.rglob("*"))):
        if path.is_file() and is_recording(path.name) and path.stat().st_size <= MAX_BYTES:
            shutil.copy(path, everything / f"{number}_{path.name}")
    store = tmp_path / "store"
    run_ingest(settings(everything, store))
    found, wanted = stored(store), inspected(everything)
    names = {cohort.KEY.recording(path.name): path.name for path in everything.iterdir()}
    assert {names[key]: days for key, days in found.items()} == {names[key]: days for key, days in wanted.items()}
    assert_slots_are_right(store)
