"""Several devices on one simulated person: the same movement, other attachments, clocks that are wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from ingest.devices.registry import decode
from ingest.process import process
from ingest.settings import SignalSettings
from ingest.simulate.cohort import CLOCKS, TRUTH, SimulatedCohort, make
from ingest.simulate.population import PLACES, DeviceClock, Kind, Place, device, device_clock
from ingest.simulate.recording import simulate_recording
from pipeline.errors import UserError

SCRIPT: list[tuple[Any, float]] = [
    ("sitting", 120),
    ("walking", 60),
    ("standing", 60),
    ("walking", 90),
    ("sitting", 90),
]
START = np.datetime64("2024-03-04T09:00:00")


def motion_of(path: Path, place: Place, **how: Any) -> tuple[Any, Any]:
    """Simulate the script at a place; returns the location, and motion by second of the device's clock."""
    simulate_recording(path, 3, 4, script=SCRIPT, start=START, place=place, **how)
    decoded = decode(path.read_bytes(), path.name)
    ((_, day, _),) = process(decoded, SignalSettings(any_location=True)).days()
    return decoded.location, day.motion_S


def test_devices_of_a_person_see_the_same_gait_at_the_time_of_their_clocks(tmp_path: Path) -> None:
    _, wrist_S = motion_of(tmp_path / "wrist.cwa", "wrist")
    location, hip_S = motion_of(tmp_path / "hip.cwa", "hip", shown=DeviceClock(offset_s=5.0))
    assert location == "right hip"
    seconds = np.arange(9 * 3600 + 30, 9 * 3600 + 400)
    both = {lag: np.corrcoef(wrist_S[seconds], hip_S[seconds + lag])[0, 1] for lag in range(-10, 11)}
    assert max(both, key=lambda lag: both[lag]) == 5
    assert both[5] > 0.7
    sitting = np.arange(9 * 3600 + 10, 9 * 3600 + 110)
    assert np.nanmedian(hip_S[sitting + 5]) < np.nanmedian(wrist_S[sitting])


def test_the_other_wrist_walks_along_and_makes_gestures_of_its_own(tmp_path: Path) -> None:
    location, wrist_S = motion_of(tmp_path / "wrist.cwa", "wrist")
    other, other_S = motion_of(tmp_path / "other.cwa", "other wrist")
    assert {location, other} == {"left wrist", "right wrist"}
    walking = np.arange(9 * 3600 + 130, 9 * 3600 + 170)
    assert np.nanmedian(other_S[walking]) == pytest.approx(np.nanmedian(wrist_S[walking]), rel=0.5)
    sitting = np.arange(9 * 3600 + 10, 9 * 3600 + 110)
    assert np.corrcoef(wrist_S[sitting], other_S[sitting])[0, 1] < 0.5


@pytest.mark.parametrize("kind", ["axivity", "actigraph", "geneactiv"])
def test_every_maker_states_the_place_and_begins_at_its_own_time(tmp_path: Path, kind: Kind) -> None:
    clock = device_clock(1, 2, "hip", kind)
    path = tmp_path / f"hip.{kind}"
    made = simulate_recording(path, 1, 2, script=SCRIPT, start=START, kind=kind, place="hip", shown=clock)
    decoded = decode(path.read_bytes(), {"axivity": "a.cwa", "actigraph": "a.gt3x", "geneactiv": "a.bin"}[kind])
    assert decoded.location.endswith("hip")
    begins = decoded.stamp_us_K[0] / 1e6 - START.astype("datetime64[s]").astype(int)
    assert begins == pytest.approx(clock.offset_s, abs=1.5)
    assert made.device_time(0.0) == START + np.timedelta64(round(clock.offset_s * 1e6), "us")
    assert kind == "axivity" or clock.offset_s == round(clock.offset_s)


def test_a_cohort_of_several_devices_has_a_file_for_each_and_a_table_of_clocks(tmp_path: Path) -> None:
    cohort = SimulatedCohort(2, 0.005, 4, devices=3)
    assert make(cohort, tmp_path / "made", 2) == 6
    table = pq.read_table(tmp_path / "made" / CLOCKS).to_pydict()
    files = [f"P000{n}_{place}.cwa" for n in (1, 2) for place in ("wrist", "hip", "other-wrist")]
    assert table["file"] == files
    assert sorted(path.name for path in (tmp_path / "made").glob("P*")) == sorted(files)
    assert len(set(table["offset_s"])) == len(set(table["drift_ppm"])) == 6
    assert table["location"][1] == "right hip"
    truth = pq.read_table(tmp_path / "made" / TRUTH).to_pydict()
    assert set(truth["participant"]) == {"P0001", "P0002"}
    assert len({device(4, 1, place=place).serial for place in PLACES}) == 3
    assert make(cohort, tmp_path / "made", 2) == 0
    with pytest.raises(UserError, match=r"was simulated with .* devices 3"):
        make(SimulatedCohort(2, 0.005, 4), tmp_path / "made", 1)
    with pytest.raises(UserError, match="expected --devices from 1 to 3"):
        SimulatedCohort(2, 0.005, 4, devices=4)
