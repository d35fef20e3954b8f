"""Reading person-days from their objects: every reader gives the same values, and damage is an error."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import grid
from pipeline.store.day_reader import DamagedDay, DayReader, MissingDay
from pipeline.store.person_day import PersonDay, motion
from pipeline.store.shard import DamagedData, blosc, decode, encode_plain
from pipeline.store.states import MEASURED
from pipeline.store.store import Store
from tests.pipeline.store.test_store import KEY, PROCESSING, a_day

PIPELINES = ["zarr", *(["zarrs"] if importlib.util.find_spec("zarrs") else [])]


@pytest.fixture(scope="module", params=["lz4", "zstd"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Store:
    made = Store.create(str(tmp_path_factory.mktemp("days") / "store"), KEY, PROCESSING, codec=request.param)
    made.grow(4)
    for slot, hours in enumerate((1, 9, 15)):
        made.write_day(slot, a_day(slot, hours=hours))
    return made


def ours(store: Store, slot: int) -> PersonDay:
    opened = DayReader(store.folder).open_day(slot)
    motion_S, state_S = opened.states()
    signal_CT = np.full((grid.AXES, grid.TICKS_PER_DAY), grid.FILL, np.int16)
    for hour, values_CT in opened.hours(range(24)):
        signal_CT[:, hour * grid.TICKS_PER_HOUR : (hour + 1) * grid.TICKS_PER_HOUR] = values_CT
    return PersonDay(signal_CT, motion_S, state_S)


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_every_reader_gives_the_same_values(store: Store, pipeline: str) -> None:
    path = "zarrs.ZarrsCodecPipeline" if pipeline == "zarrs" else "zarr.core.codec_pipeline.BatchedCodecPipeline"
    with zarr.config.set({"codec_pipeline.path": path}):
        group = zarr.open_group(store.folder.path, mode="r")
        for slot in range(3):
            day = ours(store, slot)
            np.testing.assert_array_equal(group["signal"][slot], day.signal_CT)
            np.testing.assert_array_equal(group["motion"][slot], day.motion_S)
            np.testing.assert_array_equal(group["state"][slot], day.state_S)
            whole = store.read_day(slot)
            for name in ("signal_CT", "motion_S", "state_S"):
                np.testing.assert_array_equal(getattr(whole, name), getattr(day, name))


def any_day(seed: int) -> PersonDay:
    """Hours of every kind: noise that does not compress, movement of all sizes, stillness; measured throughout."""
    random = np.random.default_rng(seed)
    scale_H = np.resize([32767, 3000, 40, 0, 1], 24)
    noise_CT = random.normal(0, 0.3, (grid.AXES, grid.TICKS_PER_DAY)) * np.repeat(scale_H, grid.TICKS_PER_HOUR)
    signal_CT = np.clip(noise_CT + np.array([[1024], [-7], [300]]), -32767, 32767).astype(np.int16)
    signal_CT[:, : grid.TICKS_PER_HOUR] = random.integers(-32767, 32768, (grid.AXES, grid.TICKS_PER_HOUR))
    state_S = np.full(grid.SECONDS_PER_DAY, MEASURED, np.uint8)
    return PersonDay(signal_CT, motion(signal_CT, state_S), state_S)


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
@pytest.mark.parametrize("seconds", [5, 10, 30])
def test_windows_hold_the_values_of_the_day(codec: Any, seconds: int, tmp_path: Path) -> None:
    """At the edges of hours and of shuffled blocks, at any tick, in hours of every kind."""
    made, day = Store.create(str(tmp_path / "store"), KEY, PROCESSING, codec=codec), any_day(seconds)
    made.grow(1)
    made.write_day(0, day)
    random = np.random.default_rng(seconds)
    edges = [hour * 3600 - near for hour in range(1, 24) for near in (-1, 0, 1, seconds - 1, seconds)]
    near_blocks = [hour * 3600 + second for hour in (0, 1, 5) for second in range(0, 3600, 7)]
    starts = 30 * np.unique([*edges, *near_blocks, *random.integers(0, 86_400 - seconds, 2000), 86_400 - seconds])
    ticks = np.unique([*starts, *random.integers(0, starts[-1], 2000)])
    place = random.permutation(ticks.size)
    found = np.zeros((ticks.size, grid.AXES, seconds * 30), np.int16)
    DayReader(made.folder).open_day(0).windows(ticks, place, found)
    for tick, at in zip(ticks.tolist(), place.tolist(), strict=True):
        np.testing.assert_array_equal(found[at], day.signal_CT[:, tick : tick + seconds * 30])


def test_an_eligible_hour_without_signal_is_damage(store: Store) -> None:
    """The memory for windows is reused: ticks that are not written would be those of another day."""
    out = np.zeros((1, grid.AXES, 300), np.int16)
    with pytest.raises(DamagedDay, match="hour 3 holds eligible seconds and no signal"):
        DayReader(store.folder).open_day(0).windows(np.array([(3 * 3600 + 5) * 30]), np.array([0]), out)


def test_hours_without_values_are_skipped(store: Store) -> None:
    found = [hour for hour, _ in DayReader(store.folder).open_day(0).hours([3, 9, 10])]
    assert found == [9]


def test_a_missing_object_names_the_slot(store: Store) -> None:
    with pytest.raises(MissingDay, match="slot 3") as error:
        DayReader(store.folder).open_day(3).states()
    assert error.value.slot == 3


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_every_changed_byte_is_detected(data: st.DataObject) -> None:
    values = np.random.default_rng(0).normal(0, 100, (3, 5000)).astype(np.int16)
    chunk = bytearray(encode_plain(values, blosc("lz4")))
    place = data.draw(st.integers(0, len(chunk) - 1))
    chunk[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(DamagedData):
        decode(bytes(chunk), np.empty_like(values))
    with pytest.raises(DamagedData):
        decode(bytes(chunk)[:place], np.empty_like(values))


@pytest.mark.parametrize("cut", [0, 10, 300, 400, -1])
def test_a_truncated_shard_is_damaged(cut: int, tmp_path: Path) -> None:
    made = Store.create(str(tmp_path / "store"), KEY, PROCESSING)
    made.grow(1)
    made.write_day(0, a_day())
    shard = tmp_path / "store" / "signal" / "c" / "0" / "0" / "0"
    shard.write_bytes(shard.read_bytes()[:cut])
    with pytest.raises(DamagedDay, match="slot 0 is damaged") as error:
        list(DayReader(made.folder).open_day(0).hours(range(24)))
    assert error.value.slot == 0


def test_a_chunk_of_another_size_is_damaged() -> None:
    with pytest.raises(DamagedData, match="expected a chunk of 800 bytes"):
        decode(encode_plain(np.zeros(101), blosc("lz4")), np.empty(100))
