"""The names of files and folders in a store (docs/store.md), built and parsed. All other code takes them from here."""

from __future__ import annotations

import re
from typing import Literal

Codec = Literal["lz4", "zstd"]
"""Compression of the objects of an array."""

METADATA = "zarr.json"
ARRAYS = ("signal", "motion", "state")
TABLES = ("plan", "person_days", "recordings")
DERIVED_TABLES = ("alignments",)
"""Tables that a command computes from the others; a store may lack them."""
TABLES_FOLDER, LEASE_FOLDER, WITHDRAWN_FOLDER = "tables", "lease", "withdrawn"
TOP_NAMES = frozenset({METADATA, *ARRAYS, TABLES_FOLDER, LEASE_FOLDER, WITHDRAWN_FOLDER})
"""Everything that may be directly in a store's folder."""

HEARTBEAT, RELEASED = ".beat", ".released"
"""Suffixes of files of the lease; a file without one names the holder of an epoch."""
PURGED = ".purged"
"""Suffix of the file that says that a withdrawal is complete."""

_REST = {"signal": "0/0", "motion": "0", "state": "0"}
"""What follows the slot in an object's name: a slot has one chunk along every other dimension."""
_OBJECT = re.compile("|".join(f"{array}/c/(\\d+)/{rest}" for array, rest in _REST.items()))
_IN_SLOT = re.compile(rf"(?:{'|'.join(ARRAYS)})/c/(\d+)(?:/|$)")
_IN_ARRAY = re.compile(rf"(?:{'|'.join(ARRAYS)})/c/")
_OTHER = re.compile(
    rf"(?:{'|'.join(ARRAYS)})/{re.escape(METADATA)}"
    rf"|{TABLES_FOLDER}/(?:{'|'.join((*TABLES, *DERIVED_TABLES))})/.+"
    rf"|{LEASE_FOLDER}/\d+(?:{re.escape(HEARTBEAT)}|{re.escape(RELEASED)})?"
    rf"|{WITHDRAWN_FOLDER}/[^/]+"
)
_LEFTOVER = re.compile(r"\.partial$|/_commit_[^/]*\.tmp$|#\d+$")


def array_metadata(array: str) -> str:
    """The file that describes an array."""
    return f"{array}/{METADATA}"


def slot_folder(array: str, slot: int) -> str:
    """The folder of a slot in an array: it holds the slot's object, and what killed writers left beside it."""
    return f"{array}/c/{slot}"


def slot_object(array: str, slot: int) -> str:
    """The object of a slot in an array."""
    return f"{array}/c/{slot}/{_REST[array]}"


def slot_objects(slot: int) -> list[str]:
    """The objects of a slot, one per array."""
    return [slot_object(array, slot) for array in ARRAYS]


def slot_of_object(name: str) -> int | None:
    """The slot of an object, or None where `name` is not exactly an object's name."""
    match = _OBJECT.fullmatch(name)
    return int(match[match.lastindex or 0]) if match else None


def slot_of(name: str) -> int | None:
    """The slot whose folder a name is in: an object, or what a killed writer left; None for other names."""
    match = _IN_SLOT.match(name)
    return int(match[1]) if match else None


def is_in_array(name: str) -> bool:
    """Whether a file is among the objects of an array, whatever it is."""
    return _IN_ARRAY.match(name) is not None


def table_folder(table: str) -> str:
    """The folder of a Delta table."""
    return f"{TABLES_FOLDER}/{table}"


def epoch_file(epoch: int, suffix: str = "") -> str:
    """A file of the lease, named relative to the lease's folder."""
    return f"{epoch:09d}{suffix}"


def is_leftover(name: str) -> bool:
    """Whether a killed writer left this: a temporary file of zarr or ours, or of Delta Lake's two ways to write one."""
    return _LEFTOVER.search(name) is not None


def is_expected(name: str) -> bool:
    """Whether a file that is not an object belongs to a store: metadata, tables, lease, withdrawals."""
    return _OTHER.fullmatch(name) is not None
