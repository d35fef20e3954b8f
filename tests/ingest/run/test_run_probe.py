"""Probes in a run: recordings that they reject get no slots."""

from __future__ import annotations

import json
from pathlib import Path

from ingest.run.driver import run_ingest
from ingest.run.plan import REJECTED
from ingest.settings import SignalSettings
from pipeline.store.store import Store
from tests.ingest import cohort
from tests.ingest.devices.gt3x_file import SECOND, record, recording, still

WRIST, WAIST = "1000044.gt3x", "1000055.gt3x"
UTC = record(6, SECOND, b'{"MetadataType":"LocalTimeLog","UsedUtc":true}')


def test_a_recording_from_another_place_gets_no_slots_and_days_are_local(ray_here: str, tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    (folder / WRIST).write_bytes(recording([UTC, *still(3 * 3600)]))
    (folder / WAIST).write_bytes(recording(still(600), Limb="Waist"))
    signal = SignalSettings(local_timezone="Pacific/Auckland")
    settings = cohort.settings(folder, tmp_path / "store", signal=signal, relative_dates=True)
    summary = run_ingest(settings)
    assert summary.done == 1
    ((_, reason),) = summary.rejected
    assert "this one was worn on the left waist" in reason
    days, recordings = cohort.rows(tmp_path / "store")
    plan = Store.open(str(tmp_path / "store")).plan.read().to_pylist()
    assert {row["recording"] for row in plan} == {cohort.KEY.recording(WRIST)}
    assert next(row for row in recordings if row["status"] == REJECTED)["recording"] == cohort.KEY.recording(WAIST)
    assert [day["measured_seconds"] for day in days] == [3600, 7200]  # 10:00 in UTC is 23:00 there
    figures = json.loads(next(row["figures"] for row in recordings if row["figures"]))
    assert (figures["start"], figures["shift_hours"]) == ("23:00:00.000000", 13.0)
    assert run_ingest(settings).nothing_to_do
