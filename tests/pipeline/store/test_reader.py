"""A store opened for reading by other code: tables as Arrow, days in g as arrays, DataFrames and datasets."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray

from pipeline import StoreReader, UserError, open_store
from pipeline.grid import FILL, SECONDS_PER_DAY, TICKS_PER_DAY
from pipeline.store.states import eligible, worn
from pipeline.store.store import Store
from tests.pipeline.store.test_store import KEY, PROCESSING, a_day
from tests.s3_here import s3_here

DAY = date(2024, 3, 4)
HOURS = {0: 3, 1: 5}


def write(url: str, counts_per_g: int = 1024) -> None:
    """A store with a day in slots 0 and 1, of which 1 has no date; slot 2 has objects without a row."""
    store = Store.create(url, KEY, PROCESSING, counts_per_g)
    store.grow(4)
    for slot in range(3):
        store.write_day(slot, a_day(slot, hours=HOURS.get(slot, 1)))
    common: dict[str, Any] = {"participant": "p", "recording": "r", "device": "AX3"}
    days = {0: DAY, 1: None}
    store.person_days.append(
        [{"slot": slot, "day": days[slot], "wear_seconds": 3600 * HOURS[slot], **common} for slot in (1, 0)]
    )
    store.recordings.append([{"recording": "r", "status": "done"}, {"recording": "a", "status": "rejected"}])


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = str(tmp_path_factory.mktemp("reader") / "store")
    write(url)
    return url


def test_tables_are_arrow_and_sorted(url: str) -> None:
    with open_store(Path(url)) as store:
        assert store.person_days()["slot"].to_pylist() == [0, 1]
        assert store.person_days(columns=["slot", "wear_hours"]).to_pydict() == {"slot": [0, 1], "wear_hours": [3, 5]}
        assert store.person_days("wear_hours > 4", ["participant"]).to_pydict() == {"participant": ["p"]}
        assert store.person_days().to_pandas().loc[0, "day"] == DAY
        assert store.recordings()["recording"].to_pylist() == ["a", "r"]


def check_day(store: StoreReader, counts_per_g: int) -> None:
    stored, day = a_day(0), store.read_day(0)
    assert (day.slot, str(day.date), day.signal_CT.dtype.name) == (0, "2024-03-04", "float32")
    measured_CT = stored.signal_CT != FILL
    np.testing.assert_array_equal(np.isnan(day.signal_CT), ~measured_CT)
    np.testing.assert_array_equal(day.signal_CT[measured_CT] * counts_per_g, stored.signal_CT[measured_CT])
    np.testing.assert_array_equal(day.motion_S, stored.motion_S)
    np.testing.assert_array_equal(day.state_S, stored.state_S)
    np.testing.assert_array_equal(day.worn_S, worn(stored.state_S))
    np.testing.assert_array_equal(day.eligible_S, eligible(stored.state_S))
    assert day.eligible_S.sum() == 3 * 3600 - 1


def test_a_day_is_in_g(url: str, tmp_path: Path) -> None:
    check_day(open_store(url), 1024)
    write(str(tmp_path / "fine"), 2048)
    with open_store(tmp_path / "fine") as store:
        assert store.counts_per_g == 2048
        check_day(store, 2048)


def test_the_dataset_equals_the_array_as_xarray_opens_it(url: str) -> None:
    stored = xarray.open_zarr(url, consolidated=False)["signal"].isel(person_day=0)
    dataset = open_store(url).read_day(0).to_xarray()
    np.testing.assert_array_equal(dataset["signal"], stored)
    assert dataset["signal"].attrs["units"] == "g"
    ten = dataset.sel(axis="z", time=slice("2024-03-04T10:00", "2024-03-04T10:00:59.99"))
    np.testing.assert_array_equal(ten["signal"], stored.isel(axis=2)[10 * 108_000 : 10 * 108_000 + 1_800])
    assert dataset.sizes == {"axis": 3, "time": TICKS_PER_DAY, "second": SECONDS_PER_DAY}
    assert dataset["second"][-1] == np.datetime64("2024-03-04T23:59:59")


def test_the_frame_has_a_row_for_each_tick(url: str) -> None:
    day = open_store(url).read_day(0)
    frame = day.to_pandas()
    assert list(frame) == ["x", "y", "z", "worn", "eligible"]
    np.testing.assert_array_equal(frame[["x", "y", "z"]].to_numpy().T, day.signal_CT)
    np.testing.assert_array_equal(frame["eligible"][::30], day.eligible_S)
    seconds = (frame.index - frame.index[0]).total_seconds()
    np.testing.assert_allclose(seconds, np.arange(TICKS_PER_DAY) / 30, atol=1e-8)
    assert frame.index[0].isoformat() == "2024-03-04T00:00:00"


def test_relative_dates_begin_in_1970(url: str) -> None:
    day = open_store(url).read_day(1)
    assert day.date is None
    assert day.to_pandas().index[0].isoformat() == "1970-01-01T00:00:00"


def test_mistakes_are_user_errors(url: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected a window store, found none"):
        open_store(tmp_path)
    store = open_store(url)
    with pytest.raises(UserError, match="no person-day is in slot 2"):
        store.read_day(2)
    with pytest.raises(UserError, match="no column 'wear'"):
        store.person_days(columns=["wear"])
    with pytest.raises(UserError, match="'wear > 3' cannot be run"):
        store.person_days("wear > 3")


def test_participants_who_have_withdrawn_are_left_out(tmp_path: Path) -> None:
    """Registered, but not deleted yet. Rows without a participant stay."""
    write(str(tmp_path / "store"))
    opened = Store.open(str(tmp_path / "store"))
    opened.person_days.append([{"slot": 2, "participant": "q", "recording": "s"}, {"slot": 3}])
    opened.recordings.append([{"recording": "s", "participant": "q", "status": "done"}])
    with open_store(tmp_path / "store") as store:
        assert store.person_days(columns=["slot"])["slot"].to_pylist() == [0, 1, 2, 3]
        assert store.read_day(2).slot == 2
        opened.withdrawals.begin(["q"], DAY)
        assert store.person_days(columns=["slot"]).to_pydict() == {"slot": [0, 1, 3]}
        assert store.person_days("participant = 'q'").num_rows == 0
        assert store.recordings()["recording"].to_pylist() == ["a", "r"]
        with pytest.raises(UserError, match="the participant of slot 2 has withdrawn"):
            store.read_day(2)


def test_a_store_on_s3(tmp_path: Path) -> None:
    with s3_here(tmp_path / "s3", "api"):
        write("s3://api/store")
        with open_store("s3://api/store") as store:
            check_day(store, 1024)
            assert store.person_days(columns=["slot"]).num_rows == 2
