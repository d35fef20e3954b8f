"""`ingest.read_recording`: the samples and figures that a run would store, in one call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ingest import read_recording
from ingest.devices.registry import decode
from ingest.inspect.recording import inspect_processed, process_recording
from ingest.settings import SignalSettings, TableSettings
from pipeline import UserError
from pipeline.grid import FILL, TICKS_PER_SECOND
from pipeline.store.states import IDLE, MEASURED, eligible, worn
from tests.ingest.cohort import ANNA, BEN, CLARA, expected
from tests.ingest.devices.tables import iso, movement, seconds, text
from tests.ingest.parts import cut_cwa


def test_rows_are_the_ticks_that_a_run_stores(cohort_folder: Path) -> None:
    """Ben's recording crosses a midnight."""
    frame, _ = read_recording(cohort_folder / BEN)
    days = [found.person_day for found in expected(cohort_folder / BEN, SignalSettings(any_location=True))]
    assert len(days) == 2
    counts_CT = np.concatenate([day.signal_CT for day in days], axis=1)
    state_S = np.concatenate([day.state_S for day in days])
    begin, *_, last = np.flatnonzero(state_S & (MEASURED | IDLE))
    ticks = slice(begin * TICKS_PER_SECOND, (last + 1) * TICKS_PER_SECOND)
    wanted_CT = np.where(counts_CT == FILL, np.nan, counts_CT / 1024)[:, ticks]
    assert list(frame) == ["x", "y", "z", "temperature", "worn", "eligible"]
    np.testing.assert_array_equal(frame[["x", "y", "z"]].to_numpy().T, wanted_CT)
    np.testing.assert_array_equal(frame["worn"][::TICKS_PER_SECOND], worn(state_S)[begin : last + 1])
    np.testing.assert_array_equal(frame["eligible"][::TICKS_PER_SECOND], eligible(state_S)[begin : last + 1])
    assert frame["temperature"].between(-20, 60).all()
    assert frame.index.name == "time"
    midnight = np.datetime64("2024-05-06")
    np.testing.assert_array_equal(frame.index.to_numpy()[::30], midnight + np.arange(begin, last + 1).astype("m8[s]"))


def test_figures_are_those_of_inspect(cohort_folder: Path) -> None:
    path = str(cohort_folder / CLARA)
    _, figures = read_recording(path)
    plain = inspect_processed(path, process_recording(path, TableSettings())).plain()
    assert figures.pop("days") == plain["days"]
    assert figures == plain["figures"]
    assert {"calibration", "nonwear_hours", "clock_residual_ms", "verdict"} <= figures.keys()


def test_the_own_samples_of_a_device(cohort_folder: Path) -> None:
    path = cohort_folder / ANNA[0]
    frame, figures = read_recording(path, resample=False)
    recording = decode(path.read_bytes(), path.name)
    assert (len(frame), figures["calibration"]) == (recording.samples, "none")
    np.testing.assert_allclose(
        frame[["x", "y", "z"]].to_numpy().T, recording.counts_CN * recording.g_per_count_C[:, None], atol=1e-6
    )
    period_s = np.diff(frame.index.to_numpy()).astype("timedelta64[ns]").astype(np.float64) / 1e9
    np.testing.assert_allclose(period_s, 1 / figures["rate_hz"], rtol=1e-3)
    assert frame["eligible"].mean() > 0.99


def test_a_table_with_settings(tmp_path: Path) -> None:
    second_N = seconds(50, 300)
    path = tmp_path / "P1.csv"
    path.write_bytes(text(1000 * movement(second_N), iso(second_N), "t,a,b,c"))
    frame, figures = read_recording(path, columns="time=t,x=a,y=b,z=c", unit="mg")
    assert list(frame) == ["x", "y", "z", "worn", "eligible"]
    rest = frame["2024-03-04T10:00:20":"2024-03-04T10:00:40"]
    np.testing.assert_allclose(rest[["x", "y", "z"]].mean(), [0.6, 0, 0.8], atol=0.002)
    assert figures["nominal_rate_hz"] == 50


def test_a_folder_of_the_parts_of_a_recording(cohort_folder: Path, tmp_path: Path) -> None:
    data = (cohort_folder / ANNA[0]).read_bytes()
    (tmp_path / "parts").mkdir()
    for number, part in enumerate(cut_cwa(data, 2)):
        (tmp_path / "parts" / f"{number}.cwa").write_bytes(part)
    frame, _ = read_recording(tmp_path / "parts")
    wanted, _ = read_recording(cohort_folder / ANNA[0])
    assert len(frame) == pytest.approx(len(wanted), abs=120)
    assert len(frame.index.intersection(wanted.index)) > 0.99 * len(wanted)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"unitt": "g"}, "unknown setting 'unitt'; did you mean 'unit'"),
        ({"unit": "furlong"}, "unit: expected one of g, m/s2, mg"),
        ({"resampling": 3}, "resampling: expected one of bandlimited"),
        ({"local_timezone": "Mars/Phobos"}, "expected a time zone"),
    ],
)
def test_a_wrong_setting(cohort_folder: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_recording(cohort_folder / BEN, **settings)


def test_what_is_no_recording(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such file"):
        read_recording(tmp_path / "absent.cwa")
    (tmp_path / "notes.txt").write_text("no recording")
    with pytest.raises(UserError, match="no reader recognises this content"):
        read_recording(tmp_path / "notes.txt")
