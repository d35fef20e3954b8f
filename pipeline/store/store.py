"""The window store: person-days in Zarr v3 arrays, rows in Delta tables, at any fsspec URL (docs/store.md).

One shard is one person-day, so an object belongs to one person and can be forgotten. Shards are
written by many workers, each to its own slots; arrays are grown and tables written by one driver.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipeline.errors import UserError
from pipeline.grid import AXES, COUNTS_PER_G, FILL, SAMPLE_RATE_HZ, SECONDS_PER_DAY, TICKS_PER_DAY, TICKS_PER_HOUR
from pipeline.identity import Key
from pipeline.settings import fingerprint
from pipeline.storage.folder import Folder
from pipeline.storage.retry import with_retry
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
from pipeline.store.tables import Table
from pipeline.store.withdrawals import Withdrawals

FORMAT = "persondays-store"
VERSION = 1

People = Literal["named", "alone", ""]


@dataclass(frozen=True)
class Attributes:
    """What a store says of itself, in the attributes of its root group."""

    key_check: str
    processing: dict[str, Any]
    fingerprint: str
    sample_rate_hz: int = SAMPLE_RATE_HZ
    counts_per_g: int = COUNTS_PER_G
    people: str = ""
    """How its people are known: NAMED (by a map or an expression) or ALONE (each recording is a person's own)."""
    format: str = FORMAT
    version: int = VERSION


class Store:
    """An existing window store. `Store.open` and `Store.create` make one."""

    def __init__(self, folder: Folder, attributes: Attributes) -> None:
        self.folder, self.attributes = folder, attributes
        self.plan, self.person_days, self.recordings = (Table(folder, name) for name in TABLES)
        self.withdrawals = Withdrawals(folder)

    @staticmethod
    def open(url: str) -> Store:
        """The store at a URL; raises UserError where there is none, or one of another version or rate."""
        folder = Folder(url)
        try:
            found = json.loads(folder.read(METADATA)).get("attributes", {})
        except (FileNotFoundError, ValueError):
            raise UserError(
                f"{folder.url}: expected a window store, found none. Give the URL that ingest was given as --store."
            ) from None
        if found.get("format") != FORMAT:
            raise UserError(f"{folder.url}: expected a window store, found a Zarr group of another kind.")
        if found.get("version") != VERSION:
            raise UserError(
                f"{folder.url}: expected a store of version {VERSION}, found version {found.get('version')}. "
                "Read it with the release of persondays that wrote it, or ingest anew."
            )
        if found.get("sample_rate_hz") != SAMPLE_RATE_HZ:
            raise UserError(
                f"{folder.url}: expected samples at {SAMPLE_RATE_HZ} Hz, found {found.get('sample_rate_hz')} Hz. "
                "Ingest anew."
            )
        known = Attributes.__dataclass_fields__
        return Store(folder, Attributes(**{name: value for name, value in found.items() if name in known}))

    @staticmethod
    def create(
        url: str,
        key: Key,
        processing: dict[str, Any],
        counts_per_g: int = COUNTS_PER_G,
        codec: Codec = "lz4",
        people: People = "",
    ) -> Store:
        """A new empty store. Its root metadata is written last, so that a store half made is none.

        Nothing is deleted for it, and nothing of another maker's written over. Raises UserError where there is more
        than the beginnings of a store.
        """
        folder = Folder(url)
        require_creatable(folder)
        for name in TABLES:
            Table(folder, name).create()
        for name in ARRAYS:
            _create_array(folder, name, counts_per_g, codec)
        attributes = Attributes(
            key.check, processing, fingerprint(processing), counts_per_g=counts_per_g, people=people
        )
        root = {"zarr_format": 3, "node_type": "group", "attributes": asdict(attributes)}
        if not folder.create(METADATA, json.dumps(root, indent=2).encode()):
            raise UserError(f"{folder.url}: another run has just made this store. Run the same command again.")
        return Store(folder, attributes)

    def require(self, key: Key, processing: dict[str, Any]) -> None:
        """Raise UserError unless the store was made with this key and these processing settings."""
        if key.check != self.attributes.key_check:
            raise UserError(
                f"{self.folder.url}: the store was made with another key, which would give every person a second "
                "identity. Use the store's own key, or another store."
            )
        if fingerprint(processing) != self.attributes.fingerprint:
            theirs = self.attributes.processing
            names = sorted(name for name in {*theirs, *processing} if theirs.get(name) != processing.get(name))
            changes = "; ".join(f"{name}: store {theirs.get(name)!r}, now {processing.get(name)!r}" for name in names)
            raise UserError(
                f"{self.folder.url}: the store was made with other processing settings ({changes}). "
                "Use the store's settings, or another store."
            )

    @cached_property
    def _arrays(self) -> dict[str, Any]:
        import zarr

        root = zarr.open_group(_zarr_store(self.folder), mode="r+", zarr_format=3)
        return {name: root[name] for name in ARRAYS}

    def reopen(self) -> None:
        """Forget array handles: their length is what it was when they were opened."""
        self.__dict__.pop("_arrays", None)
        self.__dict__.pop("_signal", None)

    @cached_property
    def _signal(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.folder.read(array_metadata("signal")))
        return found

    @property
    def codec(self) -> str:
        """How the arrays are compressed: lz4 or zstd."""
        (sharding,) = self._signal["codecs"]
        chain = {codec["name"]: codec["configuration"] for codec in sharding["configuration"]["codecs"][:2]}
        return str(chain["blosc"]["cname"])

    @property
    def length(self) -> int:
        """Slots that the arrays hold, used or not."""
        return int(min(array.shape[0] for array in self._arrays.values()))

    def grow(self, slots: int) -> None:
        """Make the arrays hold at least `slots` slots. Only the driver may, under its lease; arrays never shrink."""

        def grow() -> None:
            self.reopen()
            with self.folder.translate_errors():
                for array in self._arrays.values():
                    if array.shape[0] < slots:
                        array.resize((slots, *array.shape[1:]))

        with_retry(grow)

    def write_day(self, slot: int, day: PersonDay) -> None:
        """Put a person-day into its slot: the same values give the same bytes, whoever writes.

        Before rows name it, `folder.flush` has to see to what a loss of power would take.
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
        """Remove what a killed writer left unfinished in a slot; object storage leaves nothing."""
        if self.folder.is_local:
            for array in ARRAYS:
                for path in Path(self.folder.at(slot_folder(array, slot))).rglob("*.partial"):
                    path.unlink(missing_ok=True)

    def delete_days(self, slots: list[int]) -> None:
        """Delete all objects of these slots, and what killed writers left beside them; slots without any are passed."""
        if self.folder.is_local:
            for slot in slots:
                for array in ARRAYS:
                    self.folder.folder(slot_folder(array, slot)).delete_all()
        else:
            objects = [name for slot in slots for name in slot_objects(slot)]
            with_retry(lambda: self.folder.delete(objects))

    @cached_property
    def days(self) -> DayReader:
        """Where its person-days are read from."""
        return DayReader(self.folder)

    def read_day(self, slot: int) -> PersonDay:
        """The person-day of a slot; raises UnreadableDay where an object of it is missing or damaged."""
        day = self.days.open_day(slot)
        motion_S, state_S = day.states()
        signal_CT = np.full((AXES, TICKS_PER_DAY), FILL, np.int16)
        for hour, values_CT in day.hours(range(TICKS_PER_DAY // TICKS_PER_HOUR)):
            signal_CT[:, hour * TICKS_PER_HOUR : (hour + 1) * TICKS_PER_HOUR] = values_CT
        return PersonDay(signal_CT, motion_S, state_S)


def require_creatable(folder: Folder) -> None:
    """Raise UserError where a folder holds anything but a store, or one half made."""
    names = folder.names()
    foreign = sorted({name.split("/")[0] for name in names} - TOP_NAMES)
    if foreign:
        raise UserError(
            f"{folder.url}: a new store needs a folder of its own, found {', '.join(foreign[:3])} in it. "
            "Name another folder."
        )
    if any(map(is_in_array, names)):
        raise UserError(
            f"{folder.url}: there are person-days, but not the file zarr.json that says how they were made. Bring that "
            "file back (a copy that is not complete?), or name another folder."
        )


def _zarr_store(folder: Folder) -> Any:
    import zarr

    if folder.is_local:
        return zarr.storage.LocalStore(folder.path)
    return zarr.storage.FsspecStore.from_url(folder.url)


def _create_array(folder: Folder, name: str, counts_per_g: int, codec: Codec) -> None:
    """Describe an array of no slots; a description that only knows more slots stays."""
    path, described = array_metadata(name), _description(name, counts_per_g, codec)
    if folder.create(path, json.dumps(described, indent=2).encode()):
        return
    there = json.loads(folder.read(path))
    if {**there, "shape": None} != {**described, "shape": None}:
        if there["shape"][0]:
            raise UserError(f"{folder.url}: an array of other settings is there already. Name another folder.")
        folder.write(path, json.dumps(described, indent=2).encode())


def _description(name: str, counts_per_g: int, codec: Codec) -> dict[str, Any]:
    """The metadata of an array of no slots (docs/store.md), as zarr itself writes it."""
    import zarr
    from zarr.codecs import BloscCodec, BloscShuffle, BytesCodec, Crc32cCodec

    def blosc(size: int) -> BloscCodec:
        level = 5 if codec == "lz4" else 1
        return BloscCodec(cname=codec, clevel=level, shuffle=BloscShuffle.bitshuffle, typesize=size)

    made: dict[str, Any] = {}
    common: dict[str, Any] = {"store": zarr.storage.MemoryStore(made), "zarr_format": 3}
    if name == "signal":
        zarr.create_array(
            **common,
            shape=(0, AXES, TICKS_PER_DAY),
            dtype="int16",
            shards=(1, AXES, TICKS_PER_DAY),
            chunks=(1, AXES, TICKS_PER_HOUR),
            serializer=BytesCodec(endian="little"),
            compressors=[blosc(2), Crc32cCodec()],
            fill_value=FILL,
            dimension_names=("person_day", "axis", "tick"),
            attributes={"scale_factor": 1.0 / counts_per_g, "add_offset": 0.0, "_FillValue": FILL, "units": "g"},
        )
    else:
        dtype, size, fill, units = ("float32", 4, np.nan, "g") if name == "motion" else ("uint8", 1, 0, "1")
        zarr.create_array(
            **common,
            shape=(0, SECONDS_PER_DAY),
            dtype=dtype,
            chunks=(1, SECONDS_PER_DAY),
            serializer=BytesCodec(endian="little"),
            compressors=[blosc(size), Crc32cCodec()],
            fill_value=fill,
            dimension_names=("person_day", "second"),
            attributes={"units": units},
        )
    described: dict[str, Any] = json.loads(made[METADATA].to_bytes())
    return described
