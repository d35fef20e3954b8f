"""Labelled sets: cut from a store by a truth table, and from WISDM's files."""

from __future__ import annotations

import gzip
import json
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UserError
from pipeline.grid import FILL, SECONDS_PER_DAY, TICKS_PER_DAY
from pipeline.identity import Key
from pipeline.store.person_day import PersonDay, motion
from pipeline.store.states import BAD, MEASURED, NONWEAR
from pipeline.store.store import Store
from train.evaluate.dataset import read_labelled
from train.labelled.files import LabelledWindows, write_labelled
from train.labelled.truth import TruthBout, label_store, read_truth, spread, window_starts, within_day
from train.labelled.wisdm import ABOUT, WatchSamples, find_files, label_wisdm, read_samples, runs, windows_of

KEY = Key(bytes(range(32)))
DAY = date(2024, 3, 5)
NOON = datetime(2024, 3, 5, 12)

# ------------------------------------------------------------------------------------------------ store and truth


def made_day(first: int = 43_000, seconds: int = 1_000) -> PersonDay:
    """Measured from `first` for some seconds; axis 0 holds the second (less 43,000), axis 1 the tick in it."""
    state = np.zeros(SECONDS_PER_DAY, np.uint8)
    state[first : first + seconds] = MEASURED
    state[43_300:43_305] |= BAD
    state[43_400:43_500] |= NONWEAR
    signal = np.full((3, TICKS_PER_DAY), FILL, np.int16)
    ticks = np.arange(first * 30, (first + seconds) * 30)
    signal[0, ticks] = ticks // 30 - 43_000
    signal[1, ticks] = ticks % 30
    signal[2, ticks] = 1024
    return PersonDay(signal, motion(signal, state), state)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two people, one day each."""
    made = Store.create(str(tmp_path_factory.mktemp("labelled") / "store"), KEY, {"made": "for tests"})
    made.grow(2)
    rows = []
    for slot, name in enumerate(("Ann", "Ben")):
        made.write_day(slot, made_day())
        known = {"device": "AX3", "location": "left wrist"} if name == "Ann" else {}
        rows.append({"slot": slot, "participant": KEY.participant(name), "day": DAY, "recording": "0" * 64, **known})
    made.person_days.append(rows)
    return made


def bout(start_s: float, end_s: float, activity: str) -> TruthBout:
    """Seconds counted from second 43,000 of the day."""
    midnight = datetime(2024, 3, 5)
    return TruthBout(
        midnight + timedelta(seconds=43_000 + start_s), midnight + timedelta(seconds=43_000 + end_s), activity
    )


def test_windows_are_the_stores_own_values(store: Store) -> None:
    truth = {"Ann": [bout(0.5, 31.5, "walking"), bout(31.5, 200, "sitting")], "Ben": [bout(-100, 25, "walking")]}
    found, _ = label_store(store, truth, KEY, seconds=10, per_activity=100)
    pid = {name: KEY.participant(name)[:12] for name in truth}
    starts = [round(float(window[0, 0]) * 1024) for window in found.x_NTC]
    cut = {
        (p, a): [s for s, q, b in zip(starts, found.pid_N, found.y_N, strict=True) if (p, a) == (q, b)]
        for p in pid.values()
        for a in ("walking", "sitting")
    }
    assert cut[pid["Ann"], "walking"] == [1, 11, 21]  # whole seconds inside 0.5 to 31.5
    assert cut[pid["Ann"], "sitting"] == list(range(32, 190, 10))
    assert cut[pid["Ben"], "walking"] == [0, 10]  # nothing was measured before
    assert cut[pid["Ben"], "sitting"] == []
    window = found.x_NTC[found.pid_N.index(pid["Ann"])]
    assert window.shape == (300, 3)
    assert window.dtype == np.float32
    np.testing.assert_array_equal(window[:, 0] * 1024, np.repeat(np.arange(1, 11), 30))
    np.testing.assert_array_equal(window[:, 1] * 1024, np.tile(np.arange(30), 10))
    np.testing.assert_array_equal(window[:, 2], 1)


def test_columns_are_those_of_the_windows_days(store: Store) -> None:
    truth = {"Ann": [bout(0, 60, "walking")], "Ben": [bout(0, 40, "walking")]}
    found, _ = label_store(store, truth, KEY, seconds=10, per_activity=100)
    names = [{KEY.participant(name)[:12]: name for name in truth}[pid] for pid in found.pid_N]
    assert set(names) == {"Ann", "Ben"}
    assert found.columns["device"] == [{"Ann": "AX3", "Ben": "unknown"}[name] for name in names]
    assert found.columns["location"] == [{"Ann": "left wrist", "Ben": "unknown"}[name] for name in names]
    assert found.columns["month"] == ["03"] * len(names)


def test_only_eligible_seconds_are_cut_and_spread_over_time(store: Store) -> None:
    found, _ = label_store(store, {"Ann": [bout(250, 1000, "sitting")]}, KEY, seconds=10, per_activity=100)
    starts = [round(float(window[0, 0]) * 1024) for window in found.x_NTC]
    assert starts[:6] == [250, 260, 270, 280, 290, 305]  # 300 to 304 are bad
    assert not any(391 <= start < 500 for start in starts)  # 400 to 499 are non-wear
    assert starts[-1] == 990
    few, _ = label_store(store, {"Ann": [bout(250, 1000, "sitting")]}, KEY, seconds=10, per_activity=4)
    chosen = [round(float(window[0, 0]) * 1024) for window in few.x_NTC]
    assert len(chosen) == 4
    assert (chosen[0], chosen[-1]) == (250, 990)
    assert set(chosen) <= set(starts)


def test_bouts_of_the_truth_are_counted(store: Store) -> None:
    truth = {"Ann": [bout(0, 100, "walking"), bout(100, 400, "sitting"), bout(400, 420, "walking")]}
    _, facts = label_store(store, truth, KEY, 10, 5)
    assert facts["bouts"]["mean_seconds"] == {"sitting": 300, "walking": 60}
    assert facts["bouts"]["next"] == [["sitting", "walking", 1], ["walking", "sitting", 1]]


def test_participants_not_in_the_store_and_wrong_keys_are_reported(store: Store, tmp_path: Path) -> None:
    walk = [bout(0, 100, "walking")]
    found, facts = label_store(store, {"Ann": walk, "Zoe": walk}, KEY, 10, 5)
    assert facts["people_not_in_store"] == 1
    assert set(found.pid_N) == {KEY.participant("Ann")[:12]}
    with pytest.raises(UserError, match="none of the 1 participants"):
        label_store(store, {"Zoe": walk}, KEY, 10, 5)
    with pytest.raises(UserError, match="another key"):
        label_store(store, {"Ann": walk}, Key(bytes(32)), 10, 5)
    undated = Store.create(str(tmp_path / "undated"), KEY, {})
    undated.person_days.append([{"slot": 0, "participant": KEY.participant("Ann"), "recording": "0" * 64}])
    with pytest.raises(UserError, match="relative dates"):
        label_store(undated, {"Ann": walk}, KEY, 10, 5)


@given(st.lists(st.booleans(), max_size=80), st.integers(1, 12))
def test_window_starts_against_a_plain_walk(eligible: list[bool], seconds: int) -> None:
    starts = list(window_starts(np.array(eligible, bool), seconds))
    expected, at = [], 0
    while at + seconds <= len(eligible):
        if all(eligible[at : at + seconds]):
            expected.append(at)
            at += seconds
        else:
            at += 1
    assert starts == expected


@given(st.integers(1, 200), st.integers(1, 50))
def test_spread(count: int, limit: int) -> None:
    chosen = spread(count, limit)
    assert len(chosen) == min(count, limit)
    assert chosen[0] == 0
    assert chosen[-1] == (count - 1 if limit > 1 or count == 1 else 0)
    if len(chosen) > 2:
        assert np.diff(chosen).max() - np.diff(chosen).min() <= 1


def test_a_bout_over_midnight() -> None:
    night = TruthBout(datetime(2024, 3, 4, 23, 59, 50, 1), datetime(2024, 3, 5, 0, 0, 9, 999_999), "sleep")
    assert within_day(night, date(2024, 3, 4)) == (86_391, 86_400)
    assert within_day(night, date(2024, 3, 5)) == (0, 9)
    first, last = within_day(night, date(2024, 3, 6))
    assert last <= first


def test_truth_tables(tmp_path: Path) -> None:
    columns: dict[str, Any] = {
        "participant": ["Ann", "Ann", "Ben"],
        "start": pa.array([NOON, NOON + timedelta(minutes=1), NOON], pa.timestamp("ns")),
        "end": pa.array([NOON + timedelta(minutes=k) for k in (1, 2, 3)], pa.timestamp("ns")),
        "activity": ["walking", "non-wear", "sitting"],
    }

    def write(**changed: Any) -> Path:
        pq.write_table(pa.table({**columns, **changed}), tmp_path / "truth.parquet")
        return tmp_path / "truth.parquet"

    assert read_truth(write()) == {
        "Ann": [TruthBout(NOON, NOON + timedelta(minutes=1), "walking")],
        "Ben": [TruthBout(NOON, NOON + timedelta(minutes=3), "sitting")],
    }
    with pytest.raises(UserError, match="row 0: expected"):
        read_truth(write(end=columns["start"].take([0, 0, 0]).cast(pa.timestamp("us")), start=columns["start"]))
    for missing in ("", "nan", None):
        with pytest.raises(UserError, match="row 1: expected no empty cell"):
            read_truth(write(activity=["walking", missing, "sitting"]))
    with pytest.raises(UserError, match="without time zone"):
        read_truth(write(start=columns["start"].cast(pa.timestamp("ns", "UTC"))))
    with pytest.raises(UserError, match="without time zone"):
        read_truth(write(start=pa.array(["noon"] * 3)))
    pq.write_table(pa.table({"participant": ["Ann"]}), tmp_path / "truth.parquet")
    with pytest.raises(UserError, match="expected the columns"):
        read_truth(tmp_path / "truth.parquet")
    (tmp_path / "truth.parquet").write_text("no")
    with pytest.raises(UserError, match="Parquet"):
        read_truth(tmp_path / "truth.parquet")


def test_sets_are_written_atomically_and_read_back(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(0, 0.1, (6, 150, 3)).astype(np.float32) + np.array([0, 0, 1], np.float32)
    windows = LabelledWindows(x, ["sit", "walk"] * 3, ["a", "a", "b", "b", "c", "c"])
    windows.columns["device"] = ["AX3"] * 5 + ["GT3X"]
    write_labelled(tmp_path / "set", windows, "a test", {"fact": 1})
    info = json.loads((tmp_path / "set" / "info.json").read_text())
    assert (info["rate_hz"], info["seconds"], info["people"], info["fact"]) == (30, 5, 3, 1)
    assert info["labels"] == {"sit": 3, "walk": 3}
    data = read_labelled(tmp_path / "set", 150, column="device")
    assert data.domain_N is not None
    assert data.domain_N.tolist() == ["AX3"] * 5 + ["GT3X"]
    assert np.array_equal(data.x_NCT, x.transpose(0, 2, 1))
    assert data.people == ("a", "b", "c")
    with pytest.raises(UserError, match="no window could be cut"):
        write_labelled(tmp_path / "none", LabelledWindows.of([], 10), "a test", {})
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


# --------------------------------------------------------------------------------------------------------- WISDM


def watch(path: Path, parts: list[tuple[str, float, float, float]], subject: int = 1600) -> None:
    """A file of parts (letter, rate, seconds, pause after): x and y turn at 1 Hz, z is 1 g, by the watch's clock."""
    lines, clock = [], 90_000.0
    for letter, rate, seconds, pause in parts:
        for i in range(round(rate * seconds)):
            t = clock + i / rate
            x, y = 9.80665 * np.sin(2 * np.pi * t), 9.80665 * np.cos(2 * np.pi * t)
            lines.append(f"{subject},{letter},{round(t * 1e9)},{x:.7f},{y:.7f},9.80665;\n")
        clock += seconds + pause
    path.write_bytes(gzip.compress("".join(lines).encode()) if path.suffix == ".gz" else "".join(lines).encode())
    (path.parent / "activity_key.txt").write_text("walking = A\njogging = B\n\n")


def test_windows_follow_the_clock_of_the_watch(tmp_path: Path) -> None:
    watch(tmp_path / "data_1600_accel_watch.txt.gz", [("A", 20.03, 45, 0.0), ("B", 20.03, 22.5, 0.0), ("C", 20, 30, 0)])
    windows, facts = label_wisdm(find_files(tmp_path), seconds=10)
    assert windows.y_N == ["walking"] * 4 + ["jogging"] * 2
    assert windows.pid_N == ["1600"] * 6
    assert facts == {**ABOUT, "files": 1, "dropped_lines": 0, "samples_of_unknown_activity": 600}
    edge = 16 / 20.03  # the reach of the filter: windows begin behind it
    for number in range(4):
        t = edge + 10 * number + np.arange(300) / 30
        expected = np.stack((np.sin(2 * np.pi * t), np.cos(2 * np.pi * t), np.ones(300)), 1)
        np.testing.assert_allclose(windows.x_NTC[number], expected, atol=0.01)


def test_a_pause_and_a_change_of_rate_end_a_window(tmp_path: Path) -> None:
    path = tmp_path / "data_1600_accel_watch.txt"
    watch(
        path, [("A", 20, 12.5, 0.3), ("A", 20, 12.5, 0.0), ("A", 100, 12.5, 0.0), ("A", 20, 8, 0.0), ("A", 25, 13, 0.0)]
    )
    samples = read_samples(path)
    spans = [samples.time_N[b - 1] - samples.time_N[a] for a, b in runs(samples) if b - a > 2]
    assert spans == pytest.approx([12.45, 12.5, 12.5, 8.0, 12.96], abs=1e-6)
    lengths = [len(windows_of(samples, a, b, 300)) for a, b in runs(samples)]
    assert sum(lengths) == 4
    for a, b in runs(samples):
        for window in windows_of(samples, a, b, 300):
            length = np.hypot(window[:, 0], window[:, 1])
            np.testing.assert_allclose(length, 1, atol=0.02)  # a join would bend the circle


def test_runs_have_one_activity_and_go_forwards_in_time() -> None:
    time = np.array([0, 0.05, 0.10, 0.10, 0.15, 0.20, 0.19, 0.24, 0.29])
    letters = np.array(list("AAAAABBBB"))
    samples = WatchSamples("1600", time, letters, np.zeros((3, 9)), 0)
    for first, stop in runs(samples):
        assert len(set(letters[first:stop])) == 1
        assert (np.diff(time[first:stop]) > 0).all()


def test_faults_of_wisdm_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="activity_key"):
        find_files(tmp_path)
    path = tmp_path / "data_1600_accel_watch.txt"
    watch(path, [("A", 20, 12, 0)])
    path.write_text(path.read_text() + "1600,A,broken;\n")
    windows, facts = label_wisdm(find_files(tmp_path), seconds=10)
    assert len(windows.y_N) == 1
    assert facts["dropped_lines"] == 1
    path.write_text("1600,A,one,two,three,four;\n")
    with pytest.raises(UserError, match="subject,letter,nanoseconds"):
        label_wisdm(find_files(tmp_path), seconds=10)
    (tmp_path / "activity_key.txt").unlink()
    with pytest.raises(UserError, match="activity_key"):
        label_wisdm(find_files(tmp_path), seconds=10)


def test_two_real_people(real_data: Path, tmp_path: Path) -> None:
    files = find_files(real_data / "labelled" / "wisdm_watch")
    assert len(files) == 24
    windows, facts = label_wisdm(files[:2], seconds=10)
    assert facts["dropped_lines"] == 0
    assert len(set(windows.y_N)) == 18
    assert 590 <= len(windows.y_N) <= 2 * 18 * 17
    write_labelled(tmp_path / "set", windows, "WISDM", facts)
    data = read_labelled(tmp_path / "set", 300)
    assert data.notes == ()
    still = np.array(windows.y_N) == "sitting"
    length = np.linalg.norm(windows.x_NTC[still], axis=2)
    assert np.median(length) == pytest.approx(1, abs=0.03)
