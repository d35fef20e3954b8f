"""The test vector of docs/store.md: other programs read its values, our reader does, and we still write the same."""

from __future__ import annotations

import json
import re
import shutil
import struct
import warnings
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

import google_crc32c
import numcodecs
import numpy as np
import pyarrow.parquet as pq
import pytest
import zarr
from zarr.errors import ZarrUserWarning

from tests.pipeline.store import vector

PAGE = (Path(__file__).parents[3] / "docs" / "store.md").read_text()
ARRAYS = ("signal", "motion", "state")


def rows(store: Path, table: str) -> list[dict[str, Any]]:
    """Read a Delta table by its own rules, with JSON and Parquet alone: files added by the log and not removed."""
    folder, live = store / "tables" / table, set()
    for commit in sorted((folder / "_delta_log").glob("*.json")):
        for line in commit.read_text().splitlines():
            action = json.loads(line)
            live |= {action["add"]["path"]} if "add" in action else set()
            live -= {action["remove"]["path"]} if "remove" in action else set()
    return [row for path in sorted(live) for row in pq.read_table(folder / path).to_pylist()]


def assert_values(store: Path) -> None:
    """Read a store with zarr, JSON and Parquet, and compare it with the formulas."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ZarrUserWarning)  # tables/ is no part of the group
        group: Any = zarr.open_group(store, mode="r")
    assert group.attrs["counts_per_g"] == 1024
    for slot, made in vector.DAYS.items():
        day = made()
        np.testing.assert_array_equal(group["signal"][slot], day.signal)
        np.testing.assert_allclose(group["motion"][slot], day.motion, rtol=1e-6, equal_nan=True)
        np.testing.assert_array_equal(group["state"][slot], day.state)
    assert (group["signal"][1] == vector.FILL).all()
    assert rows(store, "plan") == vector.PLAN
    assert rows(store, "recordings") == [vector.recording(0), vector.recording(1)]
    found = rows(store, "person_days")
    for row, slot in zip(found, vector.DAYS, strict=True):
        expected = vector.person_day(slot)
        about = {name: pytest.approx(expected.pop(name), rel=1e-6) for name in ("motion_sum_g", "enmo_mg")}
        assert row == expected | about


def test_other_programs_read_the_values() -> None:
    assert_values(vector.FOLDER)


def test_the_page_describes_the_bytes() -> None:
    """Sizes and checksums of its table, and its account of an object: chunk, index, crc32c."""
    described = re.findall(r"^\| `((?:signal|motion|state)/c/[\d/]+)` \| ([\d,]+) \| `([0-9a-f]{64})` \|$", PAGE, re.M)
    objects = {path.relative_to(vector.FOLDER).as_posix() for path in vector.FOLDER.glob("*/c/**/*") if path.is_file()}
    assert {name for name, _, _ in described} == objects
    for name, size, digest in described:
        data = (vector.FOLDER / name).read_bytes()
        assert (len(data), sha256(data).hexdigest()) == (int(size.replace(",", "")), digest)

    shard = (vector.FOLDER / "signal/c/0/0/0").read_bytes()
    index, checksum = shard[-388:-4], shard[-4:]
    assert struct.unpack("<I", checksum)[0] == google_crc32c.value(index)
    offset, length = struct.unpack_from("<QQ", index, 9 * 16)
    assert f"hour 9 is at offset {offset}, {length:,} bytes long" in PAGE
    assert all(index[hour * 16 : hour * 16 + 16] == b"\xff" * 16 for hour in range(24) if hour != 9)
    chunk = shard[offset : offset + length]
    assert struct.unpack("<I", chunk[-4:])[0] == google_crc32c.value(chunk[:-4])
    values = np.frombuffer(numcodecs.Blosc().decode(chunk[:-4]), "<i2").reshape(3, 108_000)
    np.testing.assert_array_equal(values, vector.first_day().signal[:, 9 * 108_000 : 10 * 108_000])


def test_the_page_has_the_values() -> None:
    listed = re.findall(r"^\| `(\w+)` \| (\S+) \| (\S+) \|$", PAGE, re.MULTILINE)
    first, last = vector.person_day(0), vector.person_day(2)
    assert {"checksum", "eligible_seconds", "enmo_mg"} <= {name for name, _, _ in listed}
    for name, *values in listed:
        for text, row in zip(values, (first, last), strict=True):
            expected = row[name]
            assert (
                text.strip("`") == str(expected)
                if isinstance(expected, str)
                else float(text) == pytest.approx(expected)
            )


def test_our_reader_reads_the_values(tmp_path: Path) -> None:
    from pipeline import open_store
    from pipeline.store.day_reader import MissingDay
    from pipeline.store.store import Store
    from pipeline.verify.checks import check_store
    from pipeline.verify.choice import all_slots

    url = str(shutil.copytree(vector.FOLDER, tmp_path / "store"))
    with open_store(url) as store:
        assert store.person_days(columns=["slot", "day"])["day"].to_pylist() == [date(2024, 2, 29)] * 2
        for slot, made in vector.DAYS.items():
            day, expected = store.read_day(slot), made()
            counts = np.where(np.isnan(day.signal_CT), vector.FILL, day.signal_CT * 1024)
            np.testing.assert_array_equal(counts, expected.signal)
            np.testing.assert_array_equal(day.state_S, expected.state)
            np.testing.assert_allclose(day.motion_S, expected.motion, rtol=1e-6, equal_nan=True)
    report = check_store(Store.open(url), all_slots)
    assert (report.findings, report.read) == ([], 2)
    with pytest.raises(MissingDay):
        Store.open(url).read_day(1)


def test_writing_anew_gives_the_same_store(tmp_path: Path) -> None:
    """Values and metadata; the compressed bytes may differ with another version of a library."""
    store = tmp_path / "store"
    vector.write(str(store))
    assert_values(store)
    for name in ("zarr.json", *(f"{array}/zarr.json" for array in ARRAYS)):
        assert json.loads((store / name).read_text()) == json.loads((vector.FOLDER / name).read_text())


def test_our_figures_of_a_day_are_those_of_the_vector() -> None:
    from pipeline.store.day_figures import day_figures
    from pipeline.store.person_day import PersonDay, motion

    for slot, made in vector.DAYS.items():
        day = made()
        np.testing.assert_allclose(motion(day.signal, day.state), day.motion, rtol=1e-6, equal_nan=True)
        found, row = day_figures(PersonDay(day.signal, day.motion, day.state), 1024), vector.person_day(slot)
        assert found == {name: pytest.approx(row[name]) if name.endswith("g") else row[name] for name in found}
