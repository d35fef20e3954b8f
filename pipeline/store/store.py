"""The window store: person-days in Zarr v3 arrays, rows in Delta tables, at any fsspec URL (docs/store.md).

A shard is a person-day, so an object belongs to one participant and can be deleted. Many workers write shards, each
in its own slots; one driver grows the arrays and writes the tables.
"""

from __future__ import annotations

import json
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import UserError
from pipeline.grid import AXES, COUNTS_PER_G, FILL, TICKS_PER_DAY, TICKS_PER_HOUR
from pipeline.identity import Key
from pipeline.settings import fingerprint
from pipeline.storage.folder import Folder
from pipeline.storage.retry import with_retry
from pipeline.store.arrays import codec_of, create_array, open_arrays
from pipeline.store.attributes import Attributes, People, create_root, read_attributes
from pipeline.store.day_reader import DayReader
from pipeline.store.layout import (
    ARRAYS,
    METADATA,
    TABLES,
    TOP_NAMES,
    Codec,
    array_metadata,
    is_in_array,
    slot_folder,
    slot_object,
    slot_objects,
)
from pipeline.store.person_day import PersonDay
from pipeline.store.shard import blosc, encode_plain, encode_signal
from pipeline.store.tables import StoreTable
from pipeline.store.withdrawals import Withdrawals


class Store:
    """An existing window store, made by `Store.open` or `Store.create`."""

    def __init__(self, folder: Folder, attributes: Attributes) -> None:
        self.folder, self.attributes = folder, attributes
        self.plan, self.person_days, self.recordings = (StoreTable(folder, name) for name in TABLES)
        self.alignments = StoreTable(folder, "alignments")
        self.withdrawals = Withdrawals(folder)

    @property
    def derived(self) -> list[StoreTable]:
        """The derived tables that the store has."""
        return [table for table in (self.alignments,) if table.exists]

    @staticmethod
    def open(url: str) -> Store:
        """The store at a URL; raises UserError where there is none, or one of another version or rate."""
        folder = Folder(url)
        return Store(folder, read_attributes(folder))

    @staticmethod
    def create(
        url: str,
        key: Key,
        processing: dict[str, Any],
        counts_per_g: int = COUNTS_PER_G,
        codec: Codec = "lz4",
        people: People = "",
    ) -> Store:
        """Create an empty store. Its root metadata are written last: without them, there is no store.

        Deletes nothing and overwrites nothing of another process. Raises UserError where the folder holds more than
        an unfinished attempt to create a store.
        """
        folder = Folder(url)
        require_creatable(folder)
        for name in TABLES:
            StoreTable(folder, name).create()
        for name in ARRAYS:
            create_array(folder, name, counts_per_g, codec)
        attributes = Attributes(
            key.check, processing, fingerprint(processing), counts_per_g=counts_per_g, people=people
        )
        create_root(folder, attributes)
        return Store(folder, attributes)

    def require(self, key: Key, processing: dict[str, Any]) -> None:
        """Raise UserError unless the store was made with this key and these processing settings."""
        self.attributes.require(key, processing, self.folder.url)

    @cached_property
    def _arrays(self) -> dict[str, Any]:
        return open_arrays(self.folder)

    @cached_property
    def _signal(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.folder.read(array_metadata("signal")))
        return found

    def reopen(self) -> None:
        """Read the metadata of the arrays again when next needed: open arrays do not see that others have grown."""
        self.__dict__.pop("_arrays", None)
        self.__dict__.pop("_signal", None)

    @property
    def codec(self) -> str:
        """The compressor of the arrays: lz4 or zstd."""
        return codec_of(self._signal)

    @property
    def length(self) -> int:
        """Slots that the arrays hold, used or not."""
        return int(min(array.shape[0] for array in self._arrays.values()))

    def grow(self, slots: int) -> None:
        """Grow the arrays to at least `slots` slots. Only for the driver, under its lease; arrays never shrink."""

        def grow() -> None:
            self.reopen()
            with self.folder.translate_errors():
                for array in self._arrays.values():
                    if array.shape[0] < slots:
                        array.resize((slots, *array.shape[1:]))

        with_retry(grow)

    def write_day(self, slot: int, day: PersonDay) -> None:
        """Write a person-day to its slot: the same values give the same bytes, whoever writes them.

        Call `folder.flush` before committing rows that name the slot: until then, a power failure may lose the day.
        """
        if slot >= self._signal["shape"][0]:
            self.reopen()
        if not 0 <= slot < self._signal["shape"][0]:
            raise IndexError(f"slot {slot} of a store of {self._signal['shape'][0]}")
        compressor = blosc(self.codec)
        for array, data in (
            ("signal", encode_signal(day.signal_CT, compressor)),
            ("motion", encode_plain(day.motion_S, compressor)),
            ("state", encode_plain(day.state_S, compressor)),
        ):
            with_retry(partial(self.folder.write, slot_object(array, slot), data, flushed=False))

    def remove_leftovers(self, slot: int) -> None:
        """Remove unfinished files of a killed writer from a slot; on object storage there are none."""
        if self.folder.is_local:
            for array in ARRAYS:
                for path in Path(self.folder.at(slot_folder(array, slot))).rglob("*.partial"):
                    path.unlink(missing_ok=True)

    def delete_days(self, slots: list[int]) -> None:
        """Delete all objects of these slots, and what killed writers left beside them; a slot may have none."""
        if self.folder.is_local:
            for slot in slots:
                for array in ARRAYS:
                    self.folder.folder(slot_folder(array, slot)).delete_all()
        else:
            objects = [name for slot in slots for name in slot_objects(slot)]
            with_retry(lambda: self.folder.delete(objects))

    @cached_property
    def days(self) -> DayReader:
        """The reader of its person-days."""
        return DayReader(self.folder)

    def read_day(self, slot: int) -> PersonDay:
        """The person-day in a slot; raises UnreadableDay where an object is missing or damaged."""
        day = self.days.open_day(slot)
        motion_S, state_S = day.states()
        signal_CT = np.full((AXES, TICKS_PER_DAY), FILL, np.int16)
        for hour, values_CT in day.hours(range(TICKS_PER_DAY // TICKS_PER_HOUR)):
            signal_CT[:, hour * TICKS_PER_HOUR : (hour + 1) * TICKS_PER_HOUR] = values_CT
        return PersonDay(signal_CT, motion_S, state_S)


def require_creatable(folder: Folder) -> None:
    """Raise UserError where a folder holds more than a store, or an unfinished attempt to create one."""
    names = folder.names()
    foreign = sorted({name.split("/")[0] for name in names} - TOP_NAMES)
    if foreign:
        raise UserError(
            f"{folder.url}: a new store needs a folder of its own, found {', '.join(foreign[:3])} in it. "
            "Name another folder."
        )
    if any(map(is_in_array, names)):
        raise UserError(
            f"{folder.url}: found person-days, but not the file {METADATA} that says how they were made. Restore that "
            "file (is this an incomplete copy?), or name another folder."
        )
