"""Complete recordings: equal arguments give equal bytes, the truth tiles them, faults are as requested."""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.devices.axivity.cwa_format import BLOCK, HEADER, celsius, unpack_timestamp
from ingest.simulate.diary import Activity
from ingest.simulate.population import ONE_IN, Trait, device, person
from ingest.simulate.recording import Faults, plan, simulate_recording, truth
from ingest.simulate.sensor import Sensor, mounting

HOUR = 1 / 24


def read(path: Path) -> Any:
    """Return the good blocks of a packed file and their counts, in plain NumPy."""
    raw = path.read_bytes()
    blocks = np.frombuffer(raw[HEADER.itemsize :], dtype=BLOCK, count=(len(raw) - HEADER.itemsize) // BLOCK.itemsize)
    good = (blocks["magic"] == b"AX") & (blocks.view("<u2").reshape(-1, 256).sum(axis=1, dtype=np.uint16) == 0)
    words = np.frombuffer(blocks[good]["payload"].tobytes(), dtype="<u4")
    axes = np.stack([(words >> shift & 1023).astype(int) for shift in (0, 10, 20)], axis=1)
    return blocks, good, np.where(axes > 511, axes - 1024, axes) << (words >> 30).astype(int)[:, None]


def test_equal_arguments_give_equal_bytes(tmp_path: Path) -> None:
    def digest(name: Any, seed: Any, participant: Any) -> Any:
        simulate_recording(tmp_path / name, seed, participant, days=HOUR / 2)
        return sha256((tmp_path / name).read_bytes()).hexdigest()

    first = digest("a", 5, 3)
    assert digest("b", 5, 3) == first
    assert len({first, digest("c", 5, 4), digest("d", 6, 3)}) == 3


def test_a_stopped_recording_leaves_nothing(tmp_path: Path) -> None:
    def stop(_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate_recording(tmp_path / "a.cwa", 0, 1, days=HOUR, on_progress=stop)
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 500), st.sampled_from([0.01, 0.5, 1.0, 2.0, 7.0]))
def test_truth_tiles_the_recording(seed: Any, participant: Any, days: Any) -> None:
    recording = plan(seed, participant, days=days)
    bouts = truth(recording)
    assert bouts[0].start_s == 0
    assert bouts[-1].end_s == pytest.approx(days * 86_400)
    assert all(a.end_s == b.start_s for a, b in itertools.pairwise(bouts))
    assert all(bout.duration_s > 0 for bout in bouts)
    for bout in bouts:
        assert (bout.cadence > 0) == (
            bout.activity in {Activity.WALKING, Activity.RUNNING, Activity.STAIRS, Activity.CYCLING}
        )


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_twelve_people_are_a_plausible_population(seed: int) -> None:
    people = [plan(seed, number, days=2) for number in range(1, 13)]
    hours: dict[Activity, float] = defaultdict(float)
    for recording in people:
        for bout in truth(recording):
            hours[bout.activity] += bout.duration_s / 3600 / 24
    assert set(hours) == set(Activity)
    assert 7 < hours[Activity.SLEEP] < 9.5
    assert 6 < hours[Activity.SITTING] < 12
    assert 0.6 < hours[Activity.WALKING] < 2.5
    assert {recording.person.wrist for recording in people} == {"left", "right"}
    assert all(0 < recording.person.asymmetry < 1 for recording in people)
    assert all(97 < recording.device.rate_hz < 103 for recording in people)
    assert any(recording.faults.garbage for recording in people)
    assert any(recording.faults.gaps for recording in people)
    assert {recording.device.packing for recording in people} == {
        "packed, 8 g step",
        "packed, finest step",
        "unpacked",
    }


def test_every_trait_belongs_to_one_in_so_many() -> None:
    flipped = [number for number in range(1, 61) if person(0, number).flips_strap]
    assert np.all(np.diff(flipped) == ONE_IN[Trait.STRAP_FLIP])
    assert sum(person(0, number).tremor_hz > 0 for number in range(1, 61)) == 60 / ONE_IN[Trait.TREMOR]


def test_faults_are_where_asked(tmp_path: Path) -> None:
    faults = Faults(gaps=((600.0, 900.0),), bad_checksums=(7, 8), garbage=(3,), cut_bytes=100)
    recording = simulate_recording(tmp_path / "a.cwa", 0, 1, days=HOUR / 2, faults=faults, packing="packed, 8 g step")
    blocks, good, _ = read(tmp_path / "a.cwa")
    whole = int(1800 * recording.device.rate_hz / 120)
    missing = 300 * recording.device.rate_hz / 120
    assert len(blocks) == pytest.approx(whole - missing - 1, abs=2)
    assert np.flatnonzero(~good).tolist() == [3, 7, 8]
    steps = np.diff(blocks[good]["sequence_id"].astype(int))
    assert steps.max() == pytest.approx(missing + 1, abs=1)
    stamps = unpack_timestamp(blocks[good]["timestamp"]).astype("datetime64[s]").astype(int)
    assert np.diff(stamps).max() == pytest.approx(300, abs=3)
    assert [bout.activity for bout in truth(recording)].count(Activity.GAP) == 1


def test_short_recordings_have_no_faults_of_their_own() -> None:
    assert all(plan(0, number, days=HOUR).faults == Faults() for number in range(1, 13))


def test_a_script_is_followed(tmp_path: Path) -> None:
    """Non-wear is stationary (below 13 mg, the rule of ingest); running is not, and only the rail limits it."""
    recording = simulate_recording(
        tmp_path / "a.cwa",
        0,
        2,
        script=[("non-wear", 600), ("running", 120), ("sleep", 300)],
        start=np.datetime64("2024-05-01T22:00"),
        packing="packed, 8 g step",
    )
    blocks, good, counts = read(tmp_path / "a.cwa")
    rate = recording.device.rate_hz
    still, running = counts[int(30 * rate) : int(590 * rate)] / 256, counts[int(610 * rate) : int(710 * rate)] / 256
    windows = still[: len(still) // 1000 * 1000].reshape(-1, 1000, 3)
    assert windows.std(axis=1).max() < 0.013
    assert running.std(axis=0).max() > 0.5
    assert counts.min() >= -2048
    assert counts.max() <= 2044
    assert good.all()
    assert unpack_timestamp(blocks["timestamp"])[0].astype("datetime64[m]") == np.datetime64("2024-05-01T22:00")
    warmth = celsius(blocks["temperature"])
    assert warmth[-1] > warmth[0]


def test_autocalibration_finds_the_gain_and_offset(tmp_path: Path) -> None:
    """Van Hees 2014 (doi:10.1152/japplphysiol.00421.2014) in plain NumPy: fit stationary means to the unit sphere."""
    script = [("sleep", 3600), ("sitting", 5400), ("non-wear", 900), ("standing", 900)]
    recording = simulate_recording(tmp_path / "a.cwa", 0, 3, script=script, packing="packed, finest step")
    g = read(tmp_path / "a.cwa")[2] / 256
    windows = g[: len(g) // 1000 * 1000].reshape(-1, 1000, 3)
    means = windows.mean(axis=1)[(windows.std(axis=1) < 0.013).all(axis=1)]
    assert len(means) > 50
    gain, offset = np.ones(3), np.zeros(3)
    for _ in range(300):
        scaled = means * gain + offset
        target = scaled / np.linalg.norm(scaled, axis=1, keepdims=True)
        for axis in range(3):
            slope, intercept = np.polyfit(scaled[:, axis], target[:, axis], 1)
            gain[axis], offset[axis] = gain[axis] * slope, offset[axis] * slope + intercept

    def error(points: Any) -> Any:
        return np.abs(np.linalg.norm(points, axis=1) - 1).mean()

    assert error(means) > 0.015
    assert error(means * gain + offset) < 0.005
    assert 1 / gain == pytest.approx(recording.device.gain_C, abs=0.01)


@pytest.mark.parametrize(("packing", "highest"), [("packed, 8 g step", 2044), ("unpacked", 2047)])
def test_the_sensor_stops_at_its_rail(packing: Any, highest: int) -> None:
    what = replace(device(0, 1), packing=packing)
    felt = np.tile(np.array([[20.0, -20.0, 0.5]], dtype=np.float32), (200, 1))
    counts, _ = Sensor(what, np.random.default_rng(0), 25.0).counts(felt, np.eye(3), 25.0, 0.01)
    assert set(counts[:, 0]) == {highest}
    assert set(counts[:, 1]) == {-2048}
    steps = np.unique(np.diff(np.unique(counts[:, 2])))
    assert steps.min() == (4 if packing == "packed, 8 g step" else 1)


def test_mounting_is_rigid_and_the_strap_flips() -> None:
    """Axes stay orthonormal; a right wrist is mirrored; the second wearing of a flipped strap points the other way."""
    left = replace(person(0, 1), wrist="left", flips_strap=True)
    first, second = (mounting(left, wearing, np.random.default_rng(0)) for wearing in (0, 1))
    right = mounting(replace(left, wrist="right"), 0, np.random.default_rng(0))
    for mount, mirrored in ((first, 1), (second, 1), (right, -1)):
        assert np.allclose(mount @ mount.T, np.eye(3))
        assert np.linalg.det(mount) == pytest.approx(mirrored)
    assert np.allclose(second, np.diag((-1, -1, 1)) @ first)
