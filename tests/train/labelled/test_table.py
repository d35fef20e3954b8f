"""Labelled sets from tables of samples: windows of one participant, activity, trial and rate; and what is refused."""

from __future__ import annotations

import gzip
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyarrow import csv

from bench.labelled_sets import write_table
from pipeline.errors import UserError
from train.evaluate.dataset import read_labelled
from train.labelled.cut import INTERVALS_OFF, even_pieces
from train.labelled.files import LabelledWindows, write_labelled
from train.labelled.table import TableForm, find_tables, label_tables


def turning(time: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gravity that turns once in two seconds, (3, samples) in g: the values tell the time."""
    return np.stack([np.cos(np.pi * time), np.sin(np.pi * time), np.zeros_like(time)])


def bout(
    participant: str, activity: str, seconds: float = 24, rate: float = 50, start: float = 0, **more: str
) -> list[dict[str, Any]]:
    time = start + np.arange(round(seconds * rate)) / rate
    return [
        {"participant": participant, "activity": activity, "time": t, "x": x, "y": y, "z": z, **more}
        for t, (x, y, z) in zip(time.tolist(), turning(time).T.tolist(), strict=True)
    ]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    table = pa.Table.from_pylist(rows)
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    else:
        csv.write_csv(table, path)
    return path


def label(path: Path, seconds: int = 10, **form: Any) -> tuple[LabelledWindows, dict[str, Any]]:
    return label_tables(find_tables(path), TableForm(**form), seconds)


def check_turning(x_NTC: NDArray[np.float32]) -> None:
    """A window with a join, of two trials or over a gap, has a kink."""
    angle = np.unwrap(np.arctan2(x_NTC[:, :, 1], x_NTC[:, :, 0]), axis=1)
    np.testing.assert_allclose(np.diff(angle, axis=1), np.pi / 30, atol=0.01)
    np.testing.assert_allclose(np.linalg.norm(x_NTC, axis=2), 1, atol=0.005)


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_windows_are_of_one_activity_trial_and_place(tmp_path: Path, name: str) -> None:
    rows = [
        *bout("01", "walk", place="left", trial="a"),
        *bout("01", "sit", start=24, place="left", trial="a"),
        *bout("01", "sit", seconds=12, start=24, place="left", trial="b"),
        *bout("01", "walk", place="right", trial="a"),
        *bout("02", "walk", rate=25, start=7.3, place="left", trial="a"),
    ]
    rows.sort(key=lambda row: row["time"])  # the two places alternate
    found, facts = label(write(tmp_path / name, rows), columns={"location": "place"})
    cut = list(zip(found.pid_N, found.y_N, found.columns["location"], strict=True))
    assert sorted(cut) == [
        *[("01", "sit", "left")] * 3,
        *[("01", "walk", "left")] * 2,
        *[("01", "walk", "right")] * 2,
        *[("02", "walk", "left")] * 2,
    ]
    check_turning(found.x_NTC)
    assert facts["rows"] == len(rows)
    assert facts["rates_hz"] == [25.0, 50.0, 50.0]
    assert facts["largest_g"] == pytest.approx(1)
    write_labelled(tmp_path / "set", found, "made", facts)
    assert read_labelled(tmp_path / "set", 300, column="location").people == ("01", "02")


def test_bouts_are_those_of_trials_with_several_activities(tmp_path: Path) -> None:
    rows = [
        *bout("Ann", "sit", 30, trial="a"),
        *bout("Ann", "walk", 12, start=30, trial="a"),
        *bout("Ann", "sit", 24, start=42, trial="a"),
        *bout("Ann", "walk", 12, trial="b"),
        *bout("Ann", "run", 12, trial="b"),  # the clock begins anew: nobody knows what followed what
        *bout("Ann", "run", 16, start=5000, trial="b"),  # after a pause
        *bout("Ann", "", 100, start=5016, trial="b"),
        *bout("Ann", "run", 14, start=5116, trial="b"),  # after rows without an activity
        *bout("Ann", "", 20, start=5130, trial="b"),
        *bout("Ann", "walk", 12, start=5250, trial="b"),  # too late to follow
    ]
    _, facts = label(write(tmp_path / "rows.parquet", rows))
    mean = facts["bouts"]["mean_seconds"]
    assert {name: round(seconds) for name, seconds in mean.items()} == {"run": 14, "sit": 27, "walk": 12}
    assert facts["bouts"]["next"] == [["sit", "walk", 1], ["walk", "sit", 1]]
    _, facts = label(write(tmp_path / "one.parquet", bout("Ann", "sit", 30)))
    assert "bouts" not in facts


def test_windows_stay_clear_of_pauses_changes_of_rate_and_missing_values(tmp_path: Path) -> None:
    rows = [
        *bout("Ann", "walk", 12),
        *bout("Ann", "walk", 12, start=12.3),  # a pause
        *bout("Ann", "walk", 12, rate=25, start=24.3),  # another rate
        *bout("Ann", "walk", 25, start=36.3),
    ]
    rows[-600]["y"] = None
    rows[-601]["activity"] = None
    found, facts = label(write(tmp_path / "rows.parquet", rows))
    assert found.y_N == ["walk"] * 5
    check_turning(found.x_NTC)
    assert facts["rows_without_label"] == 1
    assert facts["runs_not_even"] == 1


def test_units_stamps_and_rates_are_as_stated(tmp_path: Path) -> None:
    rows = bout("Ann", "walk")
    expected = label(write(tmp_path / "g.parquet", rows))[0].x_NTC
    start = datetime(2024, 3, 5, 12)
    for unit, factor in (("m/s2", 9.80665), ("mg", 1000.0)):
        changed = [
            row | {axis: row[axis] * factor for axis in "xyz"} | {"time": start + timedelta(seconds=row["time"])}
            for row in rows
        ]
        found, _ = label(write(tmp_path / "unit.csv", changed), unit=unit)
        np.testing.assert_allclose(found.x_NTC, expected, atol=0.001)
        with pytest.raises(UserError, match=f"gravity in {unit}. Give --unit {unit}"):
            label(tmp_path / "unit.csv")
    without_time = [{name: value for name, value in row.items() if name != "time"} for row in rows]
    found, _ = label(write(tmp_path / "bare.csv", without_time), rate_hz=50)
    np.testing.assert_allclose(found.x_NTC, expected, atol=1e-4)
    (tmp_path / "bare.csv.gz").write_bytes(gzip.compress((tmp_path / "bare.csv").read_bytes()))
    both, facts = label_tables([tmp_path / "bare.csv", tmp_path / "bare.csv.gz"], TableForm(rate_hz=50), 10)
    assert (len(both.y_N), facts["files"]) == (4, 2)


@pytest.mark.parametrize("change", [{"activity": ""}, {"participant": ""}, {"good": "0"}])
def test_with_a_rate_rows_that_are_left_out_are_a_pause(tmp_path: Path, change: dict[str, str]) -> None:
    rows = bout("Ann", "walk", 24 + 90.5 + 24, good="1")
    left_out = slice(24 * 50, round((24 + 90.5) * 50))  # no whole number of turns
    rows[left_out] = [row | change for row in rows[left_out]]
    without_time = [{name: value for name, value in row.items() if name != "time"} for row in rows]
    found, facts = label(write(tmp_path / "rows.csv", without_time), rate_hz=50, where=("good", "1"))
    assert found.y_N == ["walk"] * 4
    check_turning(found.x_NTC)
    assert facts["runs_not_even"] == 1
    sit = [*without_time, *[row | {"activity": "sit", "participant": "Ann", "good": "1"} for row in without_time]]
    _, facts = label(write(tmp_path / "sit.csv", sit), rate_hz=50, where=("good", "1"))
    assert facts["bouts"]["mean_seconds"]["walk"] == pytest.approx(24, abs=0.1)


def test_with_a_rate_sensors_whose_rows_alternate_have_to_be_named(tmp_path: Path) -> None:
    one, two = bout("Ann", "walk", sensor="1"), bout("Ann", "walk", sensor="2")
    rows = [row for pair in zip(one, two, strict=True) for row in pair]
    write(tmp_path / "rows.csv", rows)
    with pytest.raises(UserError, match=r"found other rows of the trial between most .* --columns device=COLUMN"):
        label(tmp_path / "rows.csv", rate_hz=50, where=("sensor", "2"))
    found, facts = label(tmp_path / "rows.csv", rate_hz=50, where=("sensor", "2"), columns={"device": "sensor"})
    assert (found.y_N, facts["rates_hz"]) == (["walk"] * 2, [50.0] * 3)
    check_turning(found.x_NTC)


def test_one_value_of_a_column(tmp_path: Path) -> None:
    rows = [*bout("Ann", "walk", sensor="1"), *bout("Ann", "walk", seconds=12, sensor="2")]
    write(tmp_path / "rows.csv", rows)
    assert len(label(tmp_path / "rows.csv", where=("sensor", "2"))[0].y_N) == 1
    with pytest.raises(UserError, match="found none with sensor=3"):
        label(tmp_path / "rows.csv", where=("sensor", "3"))


@given(
    st.lists(st.tuples(st.integers(2, 200), st.sampled_from([0.01, 0.02, 0.05])), min_size=1, max_size=5),
    st.integers(0, 99),
)
def test_pieces_are_even_and_cover_what_is_even(parts: list[tuple[int, float]], seed: int) -> None:
    interval = np.repeat([each for _, each in parts], [count for count, _ in parts])
    time = np.cumsum(interval * np.random.default_rng(seed).uniform(0.9, 1.1, len(interval)))
    shortest = 1.0
    pieces = list(even_pieces(time, shortest))
    for (_, stop), (first, _) in pairwise(pieces):
        assert first >= stop - 1
    for first, stop in pieces:
        own = time[first:stop]
        line = np.linspace(own[0], own[-1], len(own))
        assert np.abs(own - line).max() <= INTERVALS_OFF * np.median(np.diff(own)) + 1e-9
        assert own[-1] - own[0] >= shortest
    if len({each for _, each in parts}) == 1 and time[-1] - time[0] >= shortest and len(time) < 100:
        assert pieces == [(0, len(time))]


def test_a_lost_row_is_bridged_and_a_pause_is_not() -> None:
    time = np.arange(1_000) * 0.05
    assert list(even_pieces(np.delete(time, 500), 10)) == [(0, 999)]
    first, second = even_pieces(np.delete(time, np.s_[500:510]), 10)
    assert (first, second) == ((0, 500), (500, 990))
    bunches = np.repeat(np.arange(100) * 0.5, 10) + np.tile(np.arange(10) * 1e-4, 100)
    assert list(even_pieces(bunches, 10)) == []


@pytest.mark.parametrize(
    ("change", "form", "message"),
    [
        ({"time": None}, {}, "expected the columns participant, .* time; found .*, without time. .*Give --rate"),
        ({}, {"columns": {"x": "ax"}}, "without ax. Name them with --columns"),
        ({}, {"columns": {"location": "place"}}, "without place"),
        ({"x": "a"}, {}, "expected numbers in the column for x, found string"),
        ({"time": 1}, {}, "expected activities of 10 s in rows of an even rate"),
        ({"participant": ""}, {}, "rows with a participant and an activity, found none"),
    ],
)
def test_tables_that_cannot_be_read_are_refused(
    tmp_path: Path, change: dict[str, Any], form: dict[str, Any], message: str
) -> None:
    removed = [name for name, value in change.items() if value is None]
    rows = [
        {name: value for name, value in (row | change).items() if name not in removed}
        for row in bout("Zoe", "walk", 11)
    ]
    with pytest.raises(UserError, match=message) as refused:
        label(write(tmp_path / "rows.csv", rows), **form)
    assert "Zoe" not in str(refused.value)


def test_other_mistakes_are_refused(tmp_path: Path) -> None:
    milliseconds = [row | {"time": 1000 * row["time"]} for row in bout("Zoe", "walk", rate=10)]
    (tmp_path / "Zoe").mkdir()
    write(tmp_path / "Zoe" / "Zoe.csv", milliseconds)
    with pytest.raises(UserError, match=r"found 100 between rows\. They look like ms: convert them"):
        label(tmp_path / "Zoe")
    write(tmp_path / "Zoe" / "another.csv", bout("Zoe", "walk"))
    (tmp_path / "Zoe" / "Zoe.csv").write_bytes(b"\x00\x01")
    with pytest.raises(UserError, match="table 1 of 2") as refused:  # file names may be people's
        label(tmp_path / "Zoe")
    assert "Zoe.csv" not in str(refused.value)
    with pytest.raises(UserError, match="expected a table"):
        find_tables(tmp_path / "none")
    for flags, message in (
        (("participant=", "g", None, None), "--columns: expected NAME=COLUMN"),
        (("subject=id", "g", None, None), "--columns: expected NAME=COLUMN"),
        ((None, "G", None, None), "--unit: expected g, m/s2, mg"),
        ((None, "g", 0.0, None), "--rate: expected 4 to 2000"),
        ((None, "g", None, "wrist"), "--where-column: expected NAME=VALUE"),
    ):
        with pytest.raises(UserError, match=message):
            TableForm.parse(*flags)


def test_falls_of_real_people_at_five_places(real_data: Path, tmp_path: Path) -> None:
    write_table(real_data / "labelled" / "umafall.npz", tmp_path / "umafall.parquet")
    form = TableForm(where=("location", "wrist"))
    windows, facts = label_tables([tmp_path / "umafall.parquet"], form, 10)
    assert len(set(windows.pid_N)) == 18
    assert len(set(windows.y_N)) == 15
    assert set(windows.columns["location"]) == {"wrist"}
    assert 700 < len(windows.y_N) <= 726  # trials of 15 s: one window each
    assert 0.9 < np.median(np.linalg.norm(windows.x_NTC, axis=2)) < 1.1
    assert facts["largest_g"] == pytest.approx(8, abs=0.1)
