"""`persondays inspect`: a recording compared with a run over it; calibrations from one store to the next run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from ingest.devices.registry import decode
from ingest.inspect.command import inspect
from ingest.inspect.picture import draw_recording
from ingest.inspect.recording import inspect_processed, process_recording
from ingest.process import process
from ingest.run.driver import run_ingest
from ingest.run.phases import Phases
from ingest.settings import SignalSettings, TableSettings
from ingest.signal.calibration_file import read_calibrations
from pipeline.cli import run_command
from pipeline.errors import UserError
from pipeline.identity import Key
from pipeline.inspect.calibration import coefficients
from pipeline.inspect.totals import totals
from pipeline.store.states import BAD, CLIPPED, GAP, IDLE, MEASURED, NONWEAR
from pipeline.store.store import Store
from tests.ingest import cohort
from tests.ingest.cohort import ANNA, BEN, KEY
from tests.ingest.devices.tables import iso, movement, seconds, text


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the command; returns its status, output and error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["inspect", *map(str, arguments)])
        status = run_command(inspect, "persondays inspect")
        out, error = capsys.readouterr()
        return status, out if out.startswith("{") else re.sub(r"[│\s]+", " ", out), error

    return run


def test_a_recording_is_shown_as_a_run_stores_it(
    cohort_folder: Path, undisturbed: Path, tmp_path: Path, run: Any
) -> None:
    picture, file = tmp_path / "days.png", tmp_path / "found.json"
    status, out, _ = run(cohort_folder / BEN, "--plot", picture, "--json", file)
    assert status == 0
    for word in ("AX3", "useless: ", "eligible", "mg off", "Hz by its clock", "days", str(picture)):
        assert word in out
    assert picture.read_bytes().startswith(b"\x89PNG")
    found = json.loads(file.read_text())
    days, recordings = cohort.rows(undisturbed)
    (stored,) = (json.loads(row["figures"]) for row in recordings if row["recording"] == KEY.recording(BEN))
    serial = found["figures"].pop("serial")
    assert KEY.device(serial) == stored.pop("serial")
    del stored["enmo_mg_of_days"]
    assert found["figures"] == stored
    of_days = [
        (str(day["day"]), day["wear_seconds"] / 3600, pytest.approx(day["enmo_mg"]))
        for day in days
        if day["recording"] == KEY.recording(BEN)
    ]
    assert [(day["date"], day["wear_hours"], day["enmo_mg"]) for day in found["days"]] == of_days
    assert len(of_days) == 2
    _, printed, _ = run(cohort_folder / BEN, "--json", "-")
    assert json.loads(printed) == json.loads(file.read_text())


def test_the_picture_has_a_row_a_day_and_bands_that_add_up(cohort_folder: Path) -> None:
    found = inspect_processed(BEN, process_recording(str(cohort_folder / BEN), TableSettings()))
    figure = draw_recording(found, "a title")
    assert len(figure.axes) == len(found.days) == 2
    for axes, day in zip(figure.axes, found.days, strict=True):
        assert str(day.date) in axes.get_title(loc="left")
        motion, *bands = (cast(Any, patch).get_data() for patch in axes.patches)
        assert np.array_equal(motion.values > 0, np.nansum(day.motion_S.reshape(-1, 60), axis=1) > 0)
        for band, bit in zip(bands, (MEASURED, IDLE, GAP, NONWEAR, CLIPPED, BAD), strict=True):
            share_M = ((day.state_S & bit) != 0).reshape(-1, 60).mean(axis=1)
            height_M = band.values - band.baseline
            assert np.allclose(height_M, share_M * (bands[0].values - bands[0].baseline).max(), atol=1e-9)
        assert np.array_equal(bands[1].baseline, bands[0].values)


def test_a_short_recording_is_drawn_without_the_rest_of_its_day(tmp_path: Path, run: Any) -> None:
    second_N = seconds(50, 600)
    table = tmp_path / "a.csv"
    table.write_bytes(text(movement(second_N), iso(second_N, zone="Z"), "time,x,y,z"))
    found = inspect_processed(str(table), process_recording(str(table), TableSettings()))
    (axes,) = draw_recording(found, "a title").axes
    assert axes.get_xlim() == pytest.approx((10, 10 + 1 / 6))
    assert [label.get_text() for label in axes.get_xticklabels()] == [f"10:{minute:02d}" for minute in range(0, 11, 2)]
    motion = cast(Any, axes.patches[0]).get_data()
    wanted_S = np.minimum(1000 * found.days[0].motion_S[36_000:36_600], axes.get_yticks()[-1])
    assert np.allclose(motion.values, np.nan_to_num(wanted_S))
    status, out, _ = run(table, "--local-timezone", "Asia/Tokyo")
    assert status == 0
    assert "2024-03-04T19:00:00" in out
    assert "UTC, as the device says; shown in local time, +9 h" in out
    status, _, error = run(table, "--local-timezone", "Nowhere")
    assert (status, "a time zone that this machine knows" in error) == (1, True)


def test_table_flags_reach_the_reader(tmp_path: Path, run: Any) -> None:
    file = tmp_path / "Jane.csv"
    file.write_bytes(text(movement(seconds(50, 600)), header="x,y,z"))
    status, _, error = run(file)
    assert status == 1
    assert f"{file}: the table has no time column" in error
    status, out, _ = run(file, "--rate", 50)
    assert status == 0
    assert "no calendar: counted from the first sample" in out


def test_a_store_is_shown_by_the_same_command(undisturbed: Path, tmp_path: Path, run: Any) -> None:
    status, out, _ = run(undisturbed, "--picture", tmp_path / "day.png", "--json", tmp_path / "store.json")
    assert status == 0
    assert "window store" in out
    assert json.loads((tmp_path / "store.json").read_text())["recordings"]["done"] == 4
    assert (tmp_path / "day.png").exists()


def test_mistakes(undisturbed: Path, cohort_folder: Path, tmp_path: Path, run: Any) -> None:
    (tmp_path / "empty.cwa").write_bytes(b"")
    for arguments, message in (
        ([tmp_path / "nothing"], "there is no such file or folder. Give a recording or a window store."),
        ([tmp_path], "expected a window store, found none"),
        ([tmp_path / "empty.cwa"], "empty.cwa: expected a .cwa header"),
        ([cohort_folder / BEN, "--slot", 1], "is a recording: --slot and --calibration are for a window store"),
        ([undisturbed, "--rate", 30], "is not a file, and these flags are for a recording: "),
        ([undisturbed, "--where-column", "place=left"], "--time-format, --where-column"),
        ([cohort_folder / BEN, "--plot", tmp_path / "a.jpg"], "expected a name that ends in .png"),
    ):
        status, _, error = run(*arguments)
        assert (status, message in error) == (1, True), error
        assert "Traceback" not in error


FIGURES = {
    **{f"gain_{axis}": 1.01 for axis in "xyz"},
    **{f"offset_{axis}_g": 0.02 for axis in "xyz"},
    **{f"drift_{axis}_g_per_celsius": 0.001 for axis in "xyz"},
    "reference_celsius": 25.0,
    "error_after_mg": 2.0,
}


@pytest.fixture
def calibrated(tmp_path: Path) -> Store:
    """A store of two devices with own calibrations, one of them with two, and one device without."""
    store = Store.create(str(tmp_path / "calibrated"), KEY, {})
    rows = [
        ("a", "1", "own", 60, 1.01),
        ("b", "1", "own", 90, 1.02),
        ("c", "2", "own", 70, 1.03),
        ("d", "3", "none", 9, 1),
    ]
    store.recordings.append(
        [
            {
                "recording": recording,
                "participant": recording,
                "source": "s",
                "size": 1,
                "status": "done",
                "person_days": 1,
                "device": "AX3",
                "serial": KEY.device(serial),
                "figures": json.dumps(FIGURES | {"calibration": outcome, "still_windows": windows, "gain_x": gain}),
            }
            for recording, serial, outcome, windows, gain in rows
        ]
    )
    return store


def test_each_device_gets_the_calibration_of_most_windows(calibrated: Store, tmp_path: Path, run: Any) -> None:
    file = tmp_path / "calibration.json"
    status, out, _ = run(calibrated.folder.url, "--calibration", file)
    assert status == 0
    assert "calibration of 2 devices" in out
    found = read_calibrations(file, KEY)
    assert {serial: one.gain_C[0] for serial, one in found.items()} == {KEY.device("1"): 1.02, KEY.device("2"): 1.03}
    one = found[KEY.device("2")]
    assert (one.outcome, one.offset_C, one.drift_C, one.reference_celsius) == ("given", (0.02,) * 3, (0.001,) * 3, 25)
    assert '"1"' not in file.read_text()


def test_a_file_that_is_not_of_calibrations_is_refused(calibrated: Store, tmp_path: Path) -> None:
    file, good = tmp_path / "calibration.json", coefficients(calibrated)
    device = next(iter(good["devices"]))
    for content, key, message in (
        ("no", KEY, "cannot read --calibration"),
        ("[]", KEY, "found another"),
        (json.dumps(good | {"version": 2}), KEY, "found another"),
        (json.dumps(good), Key(bytes(32)), "a store with another key"),
        (json.dumps(good | {"devices": {device: {"gain": [1, 1, 1]}}}), KEY, "three numbers each"),
        (
            json.dumps(good | {"devices": {device: good["devices"][device] | {"gain": [9, 1, 1]}}}),
            KEY,
            "found something else",
        ),
    ):
        file.write_text(content)
        with pytest.raises(UserError, match=message):
            read_calibrations(file, key)
    with pytest.raises(UserError, match="cannot read"):
        read_calibrations(tmp_path / "missing", KEY)


def test_given_calibrations_are_used_also_when_a_run_resumes(
    ray_here: str, cohort_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "recordings"
    (folder / ANNA[0]).parent.mkdir(parents=True)
    (folder / ANNA[0]).hardlink_to(cohort_folder / ANNA[0])
    made = decode((folder / ANNA[0]).read_bytes(), ANNA[0])
    given = {"gain": [1.1, 1.1, 1.1], "offset_g": [0.0, 0.0, 0.05], "drift_g_per_celsius": [0, 0, 0]}
    file = tmp_path / "calibration.json"
    file.write_text(
        json.dumps(
            {
                "format": "persondays-calibration",
                "version": 1,
                "key_check": KEY.check,
                "devices": {KEY.device(made.serial): given | {"reference_celsius": 0}},
            }
        )
    )
    settings = cohort.settings(folder, tmp_path / "store", calibration=file)
    with monkeypatch.context() as stopped:
        stopped.setattr(Phases, "ingest_planned", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run_ingest(settings)
    assert len(Store.open(str(tmp_path / "store")).plan.read()) == 1
    assert run_ingest(settings).done == 1
    (day,), (row,) = cohort.rows(tmp_path / "store")
    assert day["calibration"] == "given"
    figures = json.loads(row["figures"])
    assert (figures["gain_x"], figures["offset_z_g"]) == (1.1, 0.05)
    calibration = read_calibrations(file, KEY)[KEY.device(made.serial)]
    ((_, expected, _),) = process(made, SignalSettings(), calibration).days()
    assert day["checksum"] == expected.checksum()


def test_a_duplicate_is_reported_and_kept(ray_here: str, cohort_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    for name in ("1000044_90001_0_0.cwa", "1000055_90001_0_0.cwa"):
        (folder / name).hardlink_to(cohort_folder / BEN)
    (folder / "1000066_90001_0_0.cwa").hardlink_to(cohort_folder / ANNA[0])
    summary = run_ingest(cohort.settings(folder, tmp_path / "store"))
    twins = sorted(KEY.recording(name) for name in ("1000044_90001_0_0.cwa", "1000055_90001_0_0.cwa"))
    assert (summary.done, summary.duplicates) == (3, [twins])
    assert "2 recordings of the store have the same samples as another" in summary.text()
    assert f"({twins[0][:12]} {twins[1][:12]})" in summary.text()
    found = totals(Store.open(str(tmp_path / "store")))
    assert found["copies"] == [[twin[:12] for twin in twins]]
