"""The totals of a store, computed from its tables without any signal, so that 700,000 person-days take seconds.

The results are JSON-ready and identify nobody: participants, recordings and devices are counted, and a person-day is
described by the first 12 hex digits of its ids.
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
from pipeline.store.same_dates import SameDates, find_same_dates
from pipeline.store.states import NAMES
from pipeline.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterable

KIND = "persondays-inspect"
VERSION = 1

STATE_COLUMNS = {name: f"{name.split()[0].replace('-', '')}_seconds" for name in NAMES.values()}
"""By state: the column of the table of person-days that counts its seconds."""
DAY_COLUMNS = ("participant", "recording", "location", "calibration", "wear_seconds", "eligible_seconds")
MIN_STATE_S = 60
"""States that last this long count as visible in a picture."""
MIN_ELIGIBLE_S = 43_200
"""Half a day."""


def totals(store: Store) -> dict[str, Any]:
    """Return the counts and hours of a store, JSON-ready. Hours are those of committed person-days."""
    days = store.person_days.read([*DAY_COLUMNS, *STATE_COLUMNS.values()])
    recordings = store.recordings.read(["status", "reason", "size", "device"])
    done = recordings.filter(pc.equal(recordings["status"], "done"))
    rejected = recordings.filter(pc.equal(recordings["status"], "rejected"))
    settings = asdict(store.attributes)
    return {
        "format": KIND,
        "version": VERSION,
        "store": {name: settings[name] for name in ("sample_rate_hz", "counts_per_g", "processing", "fingerprint")},
        "recordings": {
            "done": done.num_rows,
            "rejected": rejected.num_rows,
            "reasons": _counts(rejected["reason"]),
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
        "same_dates": _numbers(find_same_dates(store)),
        "bytes": _bytes(Path(store.folder.path)) if store.folder.is_local else None,
    }


def _numbers(found: SameDates) -> dict[str, int]:
    return {"in_turn": sum(map(len, found.in_turn.values())), "at_once": sum(map(len, found.at_once.values()))}


def choose_day(store: Store, slot: int | None) -> dict[str, Any]:
    """Return the row of a slot; without a slot, that of the person-day with the most to see.

    That is, among the person-days with half a day of eligible seconds (or all, if there are none), those in which the
    most states last at least a minute; among these, the one with the most eligible seconds, or the first of equals.
    Raises UserError for a slot without a person-day.
    """
    table = store.person_days
    days = table.read(["slot", "eligible_seconds", *STATE_COLUMNS.values()])
    if not days.num_rows:
        raise UserError(f"{store.folder.url}: the store holds no person-days yet. Run `persondays ingest` first.")
    column = {name: pc.fill_null(days[name], 0).to_numpy() for name in days.column_names}
    if slot is None:
        states_N = sum((column[name] >= MIN_STATE_S).astype(int) for name in STATE_COLUMNS.values())
        eligible_N = column["eligible_seconds"]
        order = np.lexsort((-column["slot"], eligible_N, states_N, eligible_N >= MIN_ELIGIBLE_S))
        slot = int(column["slot"][order[-1]])
    elif slot not in column["slot"]:
        raise UserError(
            f"{store.folder.url}: slot {slot} holds no person-day. The store's {days.num_rows:,} person-days are in "
            f"slots from {column['slot'].min()} to {column['slot'].max()}."
        )
    return dict(table.query(f"slot = {slot}", table.schema.names).to_pylist()[0])


def describe_day(row: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of a person-day, JSON-ready, with short ids and without its date."""
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
    """Count each value of a column, the most frequent first."""
    return _ordered((pair["values"], pair["counts"]) for pair in pc.value_counts(column).to_pylist())


def _by_recording(days: pa.Table, column: str) -> dict[str, int]:
    """Count recordings by a property that all their person-days share."""
    pairs = days.group_by(["recording", column], use_threads=False).aggregate([])
    return _counts(pairs[column])


def _ordered(pairs: Iterable[tuple[str | None, int]]) -> dict[str, int]:
    counts = Counter({value or "not given": count for value, count in pairs})
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _bytes(folder: Path) -> dict[str, int]:
    """Return the bytes of the files of a local store, by array, and of its tables."""
    return {name: _size(folder / name) for name in (*ARRAYS, TABLES_FOLDER)}


def _size(folder: Path) -> int:
    return sum(os.stat(os.path.join(where, name)).st_size for where, _, names in os.walk(folder) for name in names)
