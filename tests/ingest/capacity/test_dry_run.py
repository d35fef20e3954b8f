"""A dry run predicts what a run would do, and leaves no trace."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingest.capacity.dry_run import DryRun, plan_ingest
from ingest.run.driver import run_ingest
from ingest.run.summary import Summary
from ingest.simulate.recording import simulate_recording
from pipeline.store.store import Store
from tests.ingest import cohort
from tests.ingest.cohort import BAD, GOOD, KEY

pytestmark = pytest.mark.usefixtures("ray_here")


def everything(folder: Path) -> list[tuple[str, int]]:
    return sorted((str(path), path.stat().st_mtime_ns) for path in folder.rglob("*"))


def test_a_dry_run_predicts_the_run_and_writes_nothing(cohort_folder: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    settings = cohort.settings(cohort_folder, store, name_map=tmp_path / "names.csv")
    before = everything(tmp_path)
    found = plan_ingest(settings)
    assert isinstance(found, DryRun)
    assert everything(tmp_path) == before
    summary = run_ingest(settings)
    assert len(found.probed) == summary.done == len(GOOD)
    assert {id_ for id_, _ in found.rejected} == {KEY.recording(name) for name in BAD}
    assert dict(found.rejected) == dict(summary.rejected)
    assert sum(probed.days for probed in found.probed) >= summary.person_days
    text = found.text()
    assert "4 to ingest" in text
    assert "nothing was written" in text
    for name in (*GOOD, *BAD):
        assert name.split("/")[-1].split(".")[0] not in text


def test_the_estimate_of_bytes_written_comes_from_trials(
    cohort_folder: Path, undisturbed: Path, tmp_path: Path
) -> None:
    found = plan_ingest(cohort.settings(cohort_folder, tmp_path / "store"))
    assert isinstance(found, DryRun)
    assert found.estimate is not None
    assert not [trial for trial in found.trials if trial.reason]
    days, _ = cohort.rows(undisturbed)
    written = sum((undisturbed / name).stat().st_size for name in cohort.objects(undisturbed))
    signal_days = sum(row["measured_seconds"] for row in days) / 86_400
    rate = sum(trial.stored_bytes for trial in found.trials) / sum(trial.signal_days for trial in found.trials)
    assert rate == pytest.approx(written / signal_days, rel=0.3)
    assert all(trial.seconds > 0 for trial in found.trials)
    assert all(1e8 < trial.peak_bytes < 2e9 for trial in found.trials)


def test_a_dry_run_on_an_existing_store_lists_new_recordings(copies: tuple[Path, Path]) -> None:
    recordings, store = copies
    simulate_recording(recordings / "clara" / "another.cwa", 0, 9, days=cohort.HOUR)
    before = everything(store)
    found = plan_ingest(cohort.settings(recordings, store))
    assert isinstance(found, DryRun)
    assert [probed.source.name for probed in found.probed] == ["clara/another.cwa"]
    assert "4 done before, 4 rejected before" in found.text()
    assert everything(store) == before
    assert Store.open(str(store)).plan.read().num_rows == 4


def test_a_dry_run_reports_that_nothing_is_left_to_do(cohort_folder: Path, undisturbed: Path) -> None:
    found = plan_ingest(cohort.settings(cohort_folder, undisturbed))
    assert isinstance(found, Summary)
    assert found.text().startswith("nothing to do: 4 recordings done")
