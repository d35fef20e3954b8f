"""Rows of several sensors or people in one table are a question; those of one sensor never are."""

from __future__ import annotations

import gzip
import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.devices.registry import decode
from ingest.devices.table.sensors import refuse_turns
from ingest.settings import SignalSettings, TableSettings
from pipeline.errors import UserError
from tests.ingest.devices.tables import iso, movement, parquet, read, seconds, text

SECOND_N = seconds(50, 120)
STAMPS = iso(SECOND_N)
WRIST_CN = movement(SECOND_N)
HIP_CN = WRIST_CN[[2, 0, 1]]
BOTH_CN = np.concatenate([WRIST_CN, HIP_CN], axis=1)
NAMES = ["wrist"] * SECOND_N.size + ["hip"] * SECOND_N.size


def named(column: str, names: list[str], x_CN: np.ndarray, stamps: list[str]) -> bytes:
    rows = [
        f"{stamp},{name},{x:.4f},{y:.4f},{z:.4f}"
        for stamp, name, (x, y, z) in zip(stamps, names, x_CN.T.tolist(), strict=True)
    ]
    return "\n".join([f"time,{column},x,y,z", *rows, ""]).encode()


@pytest.mark.parametrize("column", ["location", "sensor_id", "subject", "wo", "label"])
def test_sensors_one_after_the_other_are_a_question(column: str) -> None:
    data = named(column, NAMES, BOTH_CN, STAMPS + STAMPS)
    with pytest.raises(UserError, match=f"several sensors.*--where-column {column}=VALUE"):
        read(data)
    chosen = read(data, TableSettings(where_column=f"{column}=wrist"))
    assert chosen.samples == SECOND_N.size
    assert np.array_equal(chosen.counts_CN, read(text(WRIST_CN, STAMPS, "time,x,y,z")).counts_CN)


def test_sensors_one_after_the_other_without_names_are_a_question() -> None:
    data = text(BOTH_CN, STAMPS + STAMPS, "time,x,y,z")
    with pytest.raises(UserError, match=r"After 6,000 rows the times begin again\. Write a file for each"):
        read(data)
    with pytest.raises(UserError, match="After 6,000 rows"):
        read(
            parquet(
                {"time": [*SECOND_N, *SECOND_N], "sensor": [1.5] * 12_000, **dict(zip("xyz", BOTH_CN, strict=True))}
            )
        )


def test_a_column_of_names_that_changes_from_row_to_row_is_a_question() -> None:
    """Also where the sensors' values are alike."""
    names = ["left", "right"] * SECOND_N.size
    axes = dict(zip("xyz", np.repeat(WRIST_CN, 2, axis=1), strict=True))
    stamps = [stamp for stamp in STAMPS for _ in range(2)]
    for data in (
        named("wo", names, np.repeat(WRIST_CN, 2, axis=1), stamps),
        parquet({"time": stamps, "wo": names, **axes}),
    ):
        with pytest.raises(UserError, match="--where-column wo=VALUE"):
            read(data)
        assert read(data, TableSettings(where_column="wo=left")).samples == SECOND_N.size


def test_people_on_different_days_are_a_question_too() -> None:
    stamps = STAMPS + iso(SECOND_N + 86_400)
    for names in (NAMES, ["1"] * SECOND_N.size + ["2"] * SECOND_N.size):
        with pytest.raises(UserError, match=r"or people\? The column 'participant' has 2 values"):
            read(named("participant", names, BOTH_CN, stamps))
    as_one = read(named("participant", NAMES, BOTH_CN, stamps), TableSettings(where_column="participant=*"))
    assert as_one.samples == 2 * SECOND_N.size


@pytest.mark.parametrize("column", ["id", "activity", "sensor", "position"])
def test_other_columns_are_no_question(column: str) -> None:
    values = {
        "id": [f"{i}" for i in range(SECOND_N.size)],
        "activity": [("walk", "sit", "run")[i // 1000 % 3] for i in range(SECOND_N.size)],
        "sensor": ["7"] * SECOND_N.size,
        "position": [f"{i // 1000}.5" for i in range(SECOND_N.size)],
    }
    assert read(named(column, values[column], WRIST_CN, STAMPS)).samples == SECOND_N.size


@settings(max_examples=25, deadline=None)
@given(
    rates=st.tuples(st.sampled_from([20.0, 25.0, 50.0, 100.0]), st.sampled_from([20.0, 25.0, 50.0, 100.0])),
    offset=st.floats(0.001, 0.009),
    seed=st.integers(0, 1 << 30),
)
def test_sensors_with_their_own_times_are_a_question(rates: tuple[float, float], offset: float, seed: int) -> None:
    if max(rates) > 2 * min(rates):
        return
    rng = np.random.default_rng(seed)
    second_N = np.concatenate([seconds(rates[0], 60), seconds(rates[1], 60) + offset])
    directions = np.array([[0.6, 0, 0.8], [-0.8, 0.6, 0]])
    sensor_N = np.repeat([0, 1], [round(60 * rate) for rate in rates])
    x_CN = directions[sensor_N].T + 0.02 * rng.standard_normal((3, second_N.size))
    order = np.argsort(second_N, kind="stable")
    with pytest.raises(UserError, match="take turns"):
        refuse_turns(x_CN[:, order].astype(np.float32))


@settings(max_examples=60, deadline=None)
@given(
    rate=st.floats(10, 100),
    hz=st.floats(0.1, 4),
    swing=st.floats(0, 3),
    noise=st.floats(0, 0.3),
    repeats=st.integers(1, 4),
    digits=st.integers(1, 4),
    seed=st.integers(0, 1 << 30),
)
def test_one_sensor_is_never_taken_for_several(
    rate: float, hz: float, swing: float, noise: float, repeats: int, digits: int, seed: int
) -> None:
    """Movement, noise, rounding, and rows that repeat a value, as slow sensors in fast tables do."""
    rng = np.random.default_rng(seed)
    second_N = np.repeat(seconds(rate, 60), repeats)
    turning = np.stack([np.sin(2 * np.pi * hz * second_N), np.cos(3 * hz * second_N), np.sin(hz * second_N)])
    x_CN = np.array([[0.6], [0], [0.8]]) + swing * turning + noise * rng.standard_normal((3, second_N.size))
    refuse_turns(np.round(x_CN, digits).astype(np.float32))


def test_real_recordings_are_never_taken_for_several_sensors(real_data: Path) -> None:
    pieces = 0
    for file in sorted([*real_data.glob("unlabelled/*.npz"), *real_data.glob("labelled/*.npz")]):
        with np.load(file) as archive:
            xyz, start = archive["xyz"], archive["start"].tolist()
        for first, stop in itertools.pairwise(start):
            for begin in range(first, stop, 5000):
                refuse_turns(xyz[begin : min(begin + 5000, stop)].T.astype(np.float32) / 1024)
                pieces += 1
    for file in sorted(real_data.glob("labelled/wisdm_watch/*.gz")):
        lines = gzip.decompress(file.read_bytes()).splitlines()
        cells = [line.rstrip(b";").split(b",")[3:6] for line in lines]
        x_CN = np.array([row for row in cells if len(row) == 3], dtype=np.float32).T
        for begin in range(0, x_CN.shape[1], 5000):
            refuse_turns(x_CN[:, begin : begin + 5000])
            pieces += 1
    for file in sorted(real_data.glob("recordings/*/*.csv.gz")):
        assert decode(file.read_bytes(), file.name, TableSettings(), SignalSettings()).samples > 0
    assert pieces > 10_000
