"""A store's totals, from its tables alone: no signal is read, so that 700,000 person-days take seconds.

What comes out is JSON-ready and names nobody: people, recordings and devices are counted, and the one
person-day that is described goes by the first 12 hex digits of its ids.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UserError
from pipeline.identity import SHORT_ID
from pipeline.store.duplicates import find_duplicates
from pipeline.store.layout import ARRAYS, TABLES_FOLDER
from pipeline.store.states import NAMES
from pipeline.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterable

KIND = "persondays-inspect"
VERSION = 1

STATE_COLUMNS = {name: f"{name.split()[0].replace('-', '')}_seconds" for name in NAMES.values()}
"""The column of the table of person-days that counts the seconds of a state."""
OF_A_DAY = ("participant", "recording", "location", "calibration", "wear_seconds", "eligible_seconds")
A_MINUTE, HALF_A_DAY = 60, 43_200


def totals(store: Store) -> dict[str, Any]:
    """Counts and hours of a store, JSON-ready; hours are of person-days that are committed."""
    days = store.person_days.read([*OF_A_DAY, *STATE_COLUMNS.values()])
    recordings = store.recordings.read(["status", "reason", "size", "device"])
    done = recordings.filter(pc.equal(recordings["status"], "done"))
    refused = recordings.filter(pc.equal(recordings["status"], "rejected"))
    settings = asdict(store.attributes)
    return {
        "format": KIND,
        "version": VERSION,
        "store": {name: settings[name] for name in ("sample_rate_hz", "counts_per_g", "processing", "fingerprint")},
        "recordings": {
            "done": done.num_rows,
            "rejected": refused.num_rows,
            "reasons": _counts(refused["reason"]),
            "bytes": _sum(done["size"]),
        },
        "participants": _distinct(days["participant"]),
        "person_days": days.num_rows,
        "wear_hours": _sum(days["wear_seconds"]) / 3600,
        "eligible_hours": _sum(days["eligible_seconds"]) / 3600,
        "state_hours": {state: _sum(days[column]) / 3600 for state, column in STATE_COLUMNS.items()},
        "devices": _counts(done["device"]),
        "locations": _by_recording(days, "location"),
        "calibration": _by_recording(days, "calibration"),
        "copies": [[recording[:SHORT_ID] for recording in group] for group in find_duplicates(store)],
        "bytes": _bytes(Path(store.folder.path)) if store.folder.is_local else None,
    }


def choose_day(store: Store, slot: int | None) -> dict[str, Any]:
    """The row of a slot; without one, of the day that shows most.

    That is: of the days with half a day of eligible seconds (of all, where there is none), those in which most
    states last a minute or more; of these, the one with most eligible seconds, and of equal ones the first slot.
    Raises UserError for a slot without a person-day.
    """
    table = store.person_days
    days = table.read(["slot", "eligible_seconds", *STATE_COLUMNS.values()])
    if not days.num_rows:
        raise UserError(f"{store.folder.url}: the store holds no person-day yet. Run `persondays ingest` first.")
    column = {name: pc.fill_null(days[name], 0).to_numpy() for name in days.column_names}
    if slot is None:
        states_N = sum((column[name] >= A_MINUTE).astype(int) for name in STATE_COLUMNS.values())
        eligible_N = column["eligible_seconds"]
        order = np.lexsort((-column["slot"], eligible_N, states_N, eligible_N >= HALF_A_DAY))
        slot = int(column["slot"][order[-1]])
    elif slot not in column["slot"]:
        raise UserError(
            f"{store.folder.url}: no person-day stands in slot {slot}; slots of the store's {days.num_rows:,} "
            f"person-days lie between {column['slot'].min()} and {column['slot'].max()}, with holes where a day held "
            "nothing."
        )
    return dict(table.query(f"slot = {slot}", table.schema.names).to_pylist()[0])


def describe_day(row: dict[str, Any]) -> dict[str, Any]:
    """A person-day's figures, JSON-ready, under short ids and without its date."""
    return {
        "slot": row["slot"],
        "participant": row["participant"][:SHORT_ID],
        "recording": row["recording"][:SHORT_ID],
        "day_index": row["day_index"],
        "device": row["device"],
        "location": row["location"],
        "calibration": row["calibration"],
        "wear_hours": (row["wear_seconds"] or 0) / 3600,
        "eligible_hours": (row["eligible_seconds"] or 0) / 3600,
        "state_hours": {state: (row[column] or 0) / 3600 for state, column in STATE_COLUMNS.items()},
        "enmo_mg": row["enmo_mg"],
    }


def _sum(column: pa.ChunkedArray) -> int:
    return int(pc.sum(column).as_py() or 0)


def _distinct(column: pa.ChunkedArray) -> int:
    return int(pc.count_distinct(column).as_py())


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    """How often each value stands in a column, the most frequent first."""
    return _ordered((pair["values"], pair["counts"]) for pair in pc.value_counts(column).to_pylist())


def _by_recording(days: pa.Table, column: str) -> dict[str, int]:
    """Recordings by a property that all days of one share."""
    pairs = days.group_by(["recording", column], use_threads=False).aggregate([])
    return _counts(pairs[column])


def _ordered(pairs: Iterable[tuple[str | None, int]]) -> dict[str, int]:
    counts = Counter({value or "not given": count for value, count in pairs})
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _bytes(folder: Path) -> dict[str, int]:
    """Bytes of the files of a local store, by what they hold."""
    return {name: _size(folder / name) for name in (*ARRAYS, TABLES_FOLDER)}


def _size(folder: Path) -> int:
    return sum(
        os.stat(os.path.join(where, name)).st_size for where, _, names in os.walk(folder) for name in names
    )  # fmt: skip
