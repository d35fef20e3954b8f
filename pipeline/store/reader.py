"""A store opened for reading by other code: its tables as Arrow, its person-days in g (docs/api.md)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.extras import optional
from pipeline.grid import FILL, TICKS_PER_DAY, TICKS_PER_SECOND
from pipeline.store.frames import samples_frame, tick_times
from pipeline.store.states import eligible, worn
from pipeline.store.store import Store

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

NO_DATE = np.datetime64("1970-01-01")
"""Stands for the day in a store with relative dates."""
WEAR_HOURS, PARTICIPANT = "wear_hours", "participant"


@dataclass(frozen=True)
class Day:
    """A person-day: 24 hours from midnight to midnight of the device's own clock.

    signal_CT: float32 (3, 2,592,000), x, y, z in g at 30 Hz; NaN where not measured.
    motion_S: float32 (86,400), how much each second moves, in g; NaN where not measured.
    state_S: uint8 (86,400), bits of each second (docs/store.md#state).
    date: its calendar day; None in a store with relative dates.
    """

    slot: int
    date: np.datetime64 | None
    signal_CT: NDArray[np.float32]
    motion_S: NDArray[np.float32]
    state_S: NDArray[np.uint8]

    @property
    def worn_S(self) -> NDArray[np.bool_]:
        """Seconds that are measured or idle, and not non-wear, bool (86,400)."""
        return worn(self.state_S)

    @property
    def eligible_S(self) -> NDArray[np.bool_]:
        """Seconds that may be drawn for training: measured, worn and not bad, bool (86,400)."""
        return eligible(self.state_S)

    @property
    def start(self) -> np.datetime64:
        """Midnight; that of 1970-01-01 in a store with relative dates."""
        return NO_DATE if self.date is None else self.date

    def to_pandas(self) -> pd.DataFrame:
        """One row per tick, indexed by time: x, y, z in g, worn, eligible. Raises UserError without pandas."""
        times_T, state_T = tick_times(self.start, TICKS_PER_DAY), np.repeat(self.state_S, TICKS_PER_SECOND)
        return samples_frame(times_T, self.signal_CT, state_T)

    def to_xarray(self) -> xr.Dataset:
        """The variables `signal` (axis, time), `motion` and `state` (second), with coordinates x, y, z and times.

        Raises UserError without xarray.
        """
        xarray = optional("xarray")
        times_T = tick_times(self.start, TICKS_PER_DAY)
        dataset: xr.Dataset = xarray.Dataset(
            {
                "signal": (("axis", "time"), self.signal_CT, {"units": "g"}),
                "motion": ("second", self.motion_S, {"units": "g"}),
                "state": ("second", self.state_S),
            },
            {"axis": list("xyz"), "time": times_T, "second": times_T[::TICKS_PER_SECOND]},
            {"slot": self.slot},
        )
        return dataset


class StoreReader:
    """A window store opened for reading, without participants who have withdrawn.

    It sees the rows of the moment. Close it, or use it as a context manager.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def url(self) -> str:
        """Where the store is."""
        return self._store.folder.url

    @property
    def counts_per_g(self) -> int:
        """The stored integers that make one g."""
        return self._store.attributes.counts_per_g

    def person_days(self, where: str | None = None, columns: Sequence[str] | None = None) -> pa.Table:
        """The table of person-days (docs/store.md#tables), sorted by slot; `.to_pandas()` makes it a DataFrame.

        `where` is an SQL condition over its columns and `wear_hours`, such as "device = 'AX3' and wear_hours > 16".
        Raises UserError for a condition that cannot be run, and for an unknown column.
        """
        table = self._store.person_days
        names = list(table.schema.names if columns is None else columns)
        if unknown := sorted({*names} - {*table.schema.names, WEAR_HOURS}):
            known = ", ".join([*table.schema.names, WEAR_HOURS])
            raise UserError(f"person_days has no column {unknown[0]!r}. Columns: {known}.")
        found = table.query(where or "true", list(dict.fromkeys([*names, "slot", PARTICIPANT])))
        return self._without_withdrawn(found).sort_by("slot").select(names)

    def recordings(self) -> pa.Table:
        """The table of recordings, done and rejected, sorted by their ids; `figures` holds JSON (docs/signal.md)."""
        return self._without_withdrawn(self._store.recordings.read()).sort_by("recording")

    def _without_withdrawn(self, table: pa.Table) -> pa.Table:
        gone = pa.array(sorted(self._store.withdrawals.participants()), pa.string())
        return table.filter(pc.invert(pc.is_in(table[PARTICIPANT], gone)))

    def read_day(self, slot: int) -> Day:
        """Read a person-day.

        Raises UserError for a slot without one or of a participant who has withdrawn, UnreadableDay if its objects
        cannot be read.
        """
        rows = self._store.person_days.rows_where(f"slot = {int(slot)}", ["day", PARTICIPANT])
        if not rows.num_rows:
            raise UserError(f"{self.url}: no person-day is in slot {slot}. Take a slot from the table of person-days.")
        if not self._without_withdrawn(rows).num_rows:
            raise UserError(f"{self.url}: the participant of slot {slot} has withdrawn. Read person_days again.")
        stored, date = self._store.read_day(int(slot)), rows["day"][0].as_py()
        signal_CT = stored.signal_CT.astype(np.float32) / np.float32(self.counts_per_g)
        signal_CT[stored.signal_CT == FILL] = np.nan
        day = None if date is None else np.datetime64(date)
        return Day(int(slot), day, signal_CT, stored.motion_S, stored.state_S)

    def close(self) -> None:
        """Stop what is still being read."""
        self._store.days.close()

    def __enter__(self) -> StoreReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_store(url: str | os.PathLike[str]) -> StoreReader:
    """Open a window store, a folder or an s3:// URL, for reading. Raises UserError where there is none."""
    return StoreReader(Store.open(os.fspath(url)))
