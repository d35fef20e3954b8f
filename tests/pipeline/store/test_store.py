"""Conformance of the window store: format on disk, states, tables, slots, keys (docs/store.md)."""

from __future__ import annotations

import json
import os
import re
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import Literal

import numcodecs
import numpy as np
import pyarrow as pa
import pytest
import zarr

from pipeline import grid
from pipeline.errors import UserError
from pipeline.identity import Key
from pipeline.storage.folder import StorageError
from pipeline.store.day_reader import MissingDay
from pipeline.store.person_day import PersonDay, motion
from pipeline.store.states import BAD, MEASURED
from pipeline.store.store import Store
from pipeline.store.tables import of_participants

KEY = Key(bytes(range(32)))
PROCESSING = {"resampling": "bandlimited", "counts_per_g": 1024}


def a_day(seed: int = 0, first_hour: int = 9, hours: int = 3) -> PersonDay:
    """A person-day of noise around gravity, measured in some hours only, with a bad last second."""
    random = np.random.default_rng(seed)
    signal = np.full((3, grid.TICKS_PER_DAY), grid.FILL, np.int16)
    ticks = slice(first_hour * grid.TICKS_PER_HOUR, (first_hour + hours) * grid.TICKS_PER_HOUR)
    size = hours * grid.TICKS_PER_HOUR
    signal[:, ticks] = random.normal((0, 0, 1024), 40, (size, 3)).T.round()
    state = np.zeros(grid.SECONDS_PER_DAY, np.uint8)
    state[first_hour * 3600 : (first_hour + hours) * 3600] = MEASURED
    state[(first_hour + hours) * 3600 - 1] |= BAD
    return PersonDay(signal, motion(signal, state), state)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store.create(str(tmp_path / "store"), KEY, PROCESSING)
    made.grow(3)
    return made


def test_a_day_round_trips(store: Store) -> None:
    day = a_day()
    store.write_day(1, day)
    back = Store.open(store.folder.url).read_day(1)
    np.testing.assert_array_equal(back.signal_CT, day.signal_CT)
    np.testing.assert_array_equal(back.motion_S, day.motion_S)
    np.testing.assert_array_equal(back.state_S, day.state_S)
    assert back.checksum() == day.checksum()


def test_the_shard_follows_the_format_page(store: Store) -> None:
    """Decode the object by hand: hour chunks of blosc and crc32c, the index (with its crc32c) at the end."""
    day = a_day(first_hour=9, hours=3)
    store.write_day(1, day)
    shard = (Path(store.folder.path) / "signal" / "c" / "1" / "0" / "0").read_bytes()
    index = np.frombuffer(shard[-(24 * 16 + 4) : -4], "<u8").reshape(24, 2)
    assert struct.unpack("<I", shard[-4:])[0] == _crc32c(shard[-(24 * 16 + 4) : -4])
    written = np.flatnonzero(index[:, 0] != 2**64 - 1)
    assert written.tolist() == [9, 10, 11]
    for hour in written:
        offset, length = (int(value) for value in index[hour])
        chunk = shard[offset : offset + length]
        assert struct.unpack("<I", chunk[-4:])[0] == _crc32c(chunk[:-4])
        values = np.frombuffer(numcodecs.Blosc().decode(chunk[:-4]), "<i2").reshape(3, grid.TICKS_PER_HOUR)
        expected = day.signal_CT[:, hour * grid.TICKS_PER_HOUR : (hour + 1) * grid.TICKS_PER_HOUR]
        np.testing.assert_array_equal(values, expected)


def _crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data[:100_000] if len(data) > 100_000 else data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    if len(data) > 100_000:
        import google_crc32c

        return int(google_crc32c.value(data))
    return crc ^ 0xFFFFFFFF


def test_the_metadata_names_dimensions_codecs_and_scale(store: Store) -> None:
    root = json.loads((Path(store.folder.path) / "zarr.json").read_text())
    assert root["attributes"]["format"] == "persondays-store"
    assert root["attributes"]["version"] == 1
    signal = json.loads((Path(store.folder.path) / "signal" / "zarr.json").read_text())
    assert signal["shape"] == [3, 3, 2_592_000]
    assert signal["fill_value"] == -32_768
    assert signal["dimension_names"] == ["person_day", "axis", "tick"]
    (sharding,) = signal["codecs"]
    assert sharding["configuration"]["chunk_shape"] == [1, 3, 108_000]
    assert sharding["configuration"]["index_location"] == "end"
    assert [codec["name"] for codec in sharding["configuration"]["index_codecs"]] == ["bytes", "crc32c"]
    chain = sharding["configuration"]["codecs"]
    assert [codec["name"] for codec in chain] == ["bytes", "blosc", "crc32c"]
    blosc = {"typesize": 2, "cname": "lz4", "clevel": 5, "shuffle": "bitshuffle", "blocksize": 0}
    assert chain[1]["configuration"] == blosc


def test_the_same_values_give_the_same_bytes(store: Store) -> None:
    shards = [Path(store.folder.path) / name for name in ("signal/c/0/0/0", "motion/c/0/0", "state/c/0/0")]
    store.write_day(0, a_day(1))
    first = [shard.read_bytes() for shard in shards]
    store.write_day(0, a_day(2))
    assert [shard.read_bytes() for shard in shards[:2]] != first[:2]
    store.write_day(0, a_day(1))
    assert [shard.read_bytes() for shard in shards] == first


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_zarr_itself_writes_the_same_bytes(codec: Literal["lz4", "zstd"], tmp_path: Path) -> None:
    made = Store.create(str(tmp_path / "store"), KEY, PROCESSING, codec=codec)
    made.grow(2)
    assert made.codec == codec
    for hours in (1, 3, 15):
        day = a_day(hours=hours)
        made.write_day(0, day)
        group = zarr.open_group(made.folder.path, mode="r+")
        for name, values in (("signal", day.signal_CT), ("motion", day.motion_S), ("state", day.state_S)):
            np.testing.assert_array_equal(group[name][0], values)
            group[name][1] = values
            below = "0/0" if name == "signal" else "0"
            ours, theirs = (tmp_path / "store" / name / "c" / str(slot) / below for slot in (0, 1))
            assert ours.read_bytes() == theirs.read_bytes()


def test_a_slot_beyond_the_arrays_is_refused(store: Store) -> None:
    with pytest.raises(IndexError, match="slot 3 of a store of 3"):
        store.write_day(3, a_day())
    Store.open(store.folder.url).grow(4)
    store.write_day(3, a_day())
    assert Store.open(store.folder.url).read_day(3).checksum() == a_day().checksum()


def test_xarray_opens_it_in_g_with_nan(store: Store) -> None:
    xarray = pytest.importorskip("xarray")
    day = a_day()
    store.write_day(0, day)
    opened = xarray.open_zarr(store.folder.url, consolidated=False)
    trace = opened["signal"].isel(person_day=0, axis=2).values
    assert np.isnan(trace[0])
    ticks = slice(9 * grid.TICKS_PER_HOUR, 10 * grid.TICKS_PER_HOUR)
    np.testing.assert_allclose(trace[ticks], day.signal_CT[2, ticks] / 1024)


@pytest.mark.parametrize("array", ["signal", "motion", "state"])
def test_a_missing_object_is_an_error_that_names_the_slot(store: Store, array: str) -> None:
    store.write_day(2, a_day())
    for path in (Path(store.folder.path) / array / "c" / "2").rglob("*"):
        if path.is_file():
            path.unlink()
    with pytest.raises(MissingDay, match="slot 2"):
        Store.open(store.folder.url).read_day(2)


def test_arrays_grow_and_never_shrink(store: Store) -> None:
    store.write_day(2, a_day())
    stale = Store.open(store.folder.url)
    assert stale.length == 3
    store.grow(10)
    stale.grow(5)
    reopened = Store.open(store.folder.url)
    assert reopened.length == 10
    assert reopened.read_day(2).checksum() == a_day().checksum()


def test_another_key_is_refused(store: Store) -> None:
    with pytest.raises(UserError, match="another key"):
        store.require(Key(b"x" * 32), PROCESSING)
    store.require(KEY, PROCESSING)


def test_other_settings_are_refused_and_named(store: Store) -> None:
    with pytest.raises(UserError, match="resampling: store 'bandlimited', now 'linear'"):
        store.require(KEY, {**PROCESSING, "resampling": "linear"})


def test_anything_but_a_store_is_refused(tmp_path: Path, store: Store) -> None:
    with pytest.raises(UserError, match="found none"):
        Store.open(str(tmp_path / "nowhere"))
    root = Path(store.folder.path) / "zarr.json"
    root.write_text(root.read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(UserError, match="version 2"):
        Store.open(root.parent.as_posix())
    root.write_text(root.read_text().replace('"version": 2', '"version": 1').replace('_hz": 30', '_hz": 50'))
    with pytest.raises(UserError, match="expected samples at 30 Hz, found 50 Hz"):
        Store.open(store.folder.url)


def row(recording: str, slot: int) -> dict[str, object]:
    return {"recording": recording, "slot": slot, "participant": f"person-of-{recording}", "wear_seconds": 3600 * slot}


def test_rows_of_a_recording_are_swapped_in_one_commit(store: Store) -> None:
    table = store.person_days
    table.append([row("a", 0), row("b", 1)])
    version = table.version
    table.replace(["a"], [row("a", 5), row("a", 6)])
    assert table.version == version + 1
    assert sorted(table.read(["slot"])["slot"].to_pylist()) == [1, 5, 6]
    assert sorted(table.at(version).read(["slot"])["slot"].to_pylist()) == [0, 1]


def test_where_is_sql_and_a_bad_one_is_explained(store: Store) -> None:
    store.person_days.append([row("a", 1), row("b", 20) | {"checksum": "f" * 64}])
    found = store.person_days.query("wear_hours > 16 and participant like 'person%'", ["slot", "wear_hours"])
    assert found.to_pydict() == {"slot": [20], "wear_hours": [20.0]}
    assert found.schema.field("slot").type == pa.int64()
    with pytest.raises(UserError, match=r"the condition 'wear_hourz > 16' cannot be run"):
        store.person_days.query("wear_hourz > 16", ["slot"])
    with pytest.raises(UserError, match=r"the condition 'checksum = 3' cannot be run.* 'f{12}'"):
        store.person_days.query("checksum = 3", ["slot"])


def test_a_storage_failure_is_a_storage_error_without_ids(store: Store) -> None:
    store.person_days.append([row("a", 1)])
    (uri,) = store.person_days.delta.file_uris()
    Path(uri).write_bytes(b"damaged")
    ids = [f"{number:064x}" for number in range(100)]
    for read in (
        lambda: store.person_days.read(["slot"]),
        lambda: store.person_days.rows_of_participants(ids, ["slot"]),
        lambda: store.person_days.query(of_participants(ids), ["slot"]),
    ):
        with pytest.raises(StorageError, match="the table cannot be read") as raised:
            read()
        assert not re.search("[0-9a-f]{64}", str(raised.value))


def test_a_commit_prepared_before_the_fence_is_refused(store: Store) -> None:
    late = Store.open(store.folder.url).person_days
    assert late.version == store.person_days.version
    store.person_days.fence(2)
    with pytest.raises(UserError, match="refused"):
        late.append([row("a", 0)])
    store.person_days.append([row("b", 1)])
    assert store.person_days.read(["recording"])["recording"].to_pylist() == ["b"]


def test_a_writer_that_sees_a_newer_epoch_is_refused_from_then_on(store: Store) -> None:
    """Between two commits of one writer: a refresh must not make it adopt the newer epoch."""
    old = Store.open(store.folder.url).person_days
    old.fence(1)
    old.append([row("a", 0)])
    store.person_days.fence(2)
    for attempt in (old.refresh, old.compact, lambda: old.append([row("b", 1)]), lambda: old.fence(1)):
        with pytest.raises(UserError, match="refused"):
            attempt()
    store.person_days.append([row("c", 2)])
    assert sorted(store.person_days.read(["recording"])["recording"].to_pylist()) == ["a", "c"]


def test_neither_the_log_nor_the_statistics_of_files_hold_ids(store: Store) -> None:
    import pyarrow.parquet as pq

    store.person_days.append([row("secret-recording", 0), row("secret-recording-2", 1)])
    store.person_days.append([row("secret-recording-3", 2)])
    store.person_days.compact()
    assert len(store.person_days.delta.file_uris()) == 1
    tables = Path(store.folder.path) / "tables" / "person_days"
    log = b"".join(path.read_bytes() for path in (tables / "_delta_log").iterdir())
    assert b"secret" not in log
    assert b"minValues" in log
    for file in tables.glob("*.parquet"):
        group = pq.ParquetFile(file).metadata.row_group(0)
        for column in (group.column(i) for i in range(group.num_columns)):
            if column.path_in_schema in ("recording", "participant"):
                assert column.statistics is None or not column.statistics.has_min_max


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match=r"thesis\.tex"):
        Store.create(str(tmp_path), KEY, PROCESSING)


def test_an_unfinished_store_does_not_count(tmp_path: Path) -> None:
    """Creation is killed in the middle: opening finds no store, and creating it again works."""
    url = str(tmp_path / "store")
    code = (
        "import os, pipeline.store.store as s\n"
        "from pipeline.identity import Key\n"
        "make = s.create_array\n"
        "def half(folder, name, *rest):\n"
        "    make(folder, name, *rest)\n"
        "    os.kill(os.getpid(), 9)\n"
        "s.create_array = half\n"
        f"s.Store.create({url!r}, Key(bytes(32)), {{}})\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    with pytest.raises(UserError, match="found none"):
        Store.open(url)
    assert Store.create(url, KEY, PROCESSING).length == 0


def test_a_store_that_lost_its_root_is_not_recreated(store: Store) -> None:
    """After an incomplete copy or a stray rm, nothing in it may be deleted."""
    store.write_day(1, a_day())
    before = {path: path.read_bytes() for path in Path(store.folder.path).rglob("*") if path.is_file()}
    root = Path(store.folder.path) / "zarr.json"
    del before[root]
    root.unlink()
    with pytest.raises(UserError, match=r"zarr\.json that says how they were made"):
        Store.create(store.folder.url, KEY, PROCESSING)
    assert {path: path.read_bytes() for path in Path(store.folder.path).rglob("*") if path.is_file()} == before


def test_a_suspended_creator_changes_nothing_when_it_wakes(tmp_path: Path) -> None:
    """It was suspended while creating; meanwhile another created the store, grew it and wrote a day."""
    url = str(tmp_path / "store")
    code = (
        "import os, pipeline.store.store as s\n"
        "from pipeline.identity import Key\n"
        "make = s.create_array\n"
        "def stopped(folder, name, *rest):\n"
        "    if name == 'motion':\n"
        "        os.kill(os.getpid(), 19)\n"
        "    make(folder, name, *rest)\n"
        "s.create_array = stopped\n"
        f"s.Store.create({url!r}, Key(bytes(32)), {{}})\n"
    )
    late = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    os.waitpid(late.pid, os.WUNTRACED)
    made = Store.create(url, KEY, PROCESSING)
    made.grow(3)
    made.write_day(2, a_day())
    before = {path: path.read_bytes() for path in Path(url).rglob("*") if path.is_file()}
    late.send_signal(signal.SIGCONT)
    assert "another run has just created this store" in late.communicate()[1]
    assert {path: path.read_bytes() for path in Path(url).rglob("*") if path.is_file()} == before


def test_an_unfinished_store_with_other_settings_is_replaced(tmp_path: Path) -> None:
    Store.create(str(tmp_path / "store"), KEY, PROCESSING, codec="zstd")
    (tmp_path / "store" / "zarr.json").unlink()
    made = Store.create(str(tmp_path / "store"), KEY, PROCESSING)
    assert made.codec == "lz4"
    made.grow(1)
    made.write_day(0, a_day())
    assert Store.open(made.folder.url).read_day(0).checksum() == a_day().checksum()
