"""The column `figures`: what one writer stores, one reader reads."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.errors import UserError
from pipeline.store.figures import COLUMNS, RecordingFigures, json_value, read_figures
from tests.pipeline.cohorts import write_cohort

NAMES = ("gaps", "rate_hz", "gain_x", "calibration", "upsampled")


def test_every_figure_can_be_read() -> None:
    names = {each.name for each in fields(RecordingFigures)}
    assert {*COLUMNS.names} == names - {"extras", "enmo_mg_of_days"}


def test_figures_are_read_as_json_reads_them(tmp_path: Path) -> None:
    made = write_cohort(str(tmp_path / "store"), 500)
    lines = made.store.recordings.read(["figures"])["figures"].drop_null().to_pylist()
    odd = [None, "{}", '{"gaps": null, "rate_hz": 1e2, "new": {"deep": [1, "x"]}, "calibration": "own"}']
    table = read_figures(pa.chunked_array([lines, odd], pa.string()), NAMES)
    assert table.column_names == [*NAMES]
    for index, line in enumerate([*lines, *odd]):
        expected = json.loads(line or "{}")
        assert {name: table[name][index].as_py() for name in NAMES} == {name: expected.get(name) for name in NAMES}
    assert read_figures(pa.chunked_array([], pa.string()), NAMES).num_rows == 0
    for broken in ('{"gaps": "many"}', "[]", "{", '{"gaps": 1}\n{"gaps": 2}'):
        with pytest.raises(UserError, match="persondays verify"):
            read_figures(pa.chunked_array([["{}", broken]], pa.string()), NAMES)


def test_a_number_that_is_not_known_is_null() -> None:
    assert json_value({"a": [float("nan"), 1.0], "b": float("inf")}) == {"a": [None, 1.0], "b": None}
