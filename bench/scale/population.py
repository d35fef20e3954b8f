"""Tables of a population: rows as ingest makes them, without any objects."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.identity import Key
from pipeline.store.schemas import SCHEMAS
from pipeline.store.tables import StoreTable

DAYS_EACH = 7


def population(key: Key, people: int) -> dict[str, pa.Table]:
    """The rows of one recording of seven days for each person."""
    rng = np.random.default_rng(0)
    recordings = np.array([key.recording(str(number)) for number in range(people)])
    participants = np.array([key.participant(str(number)) for number in range(people)])
    count = people * DAYS_EACH
    wear = rng.integers(0, 86_401, count, dtype=np.int32)
    known: dict[str, dict[str, Any]] = {
        "plan": {
            "recording": recordings,
            "participant": participants,
            "source": recordings,
            "first_slot": np.arange(0, count, DAYS_EACH),
            "slots": np.full(people, DAYS_EACH),
        },
        "recordings": {
            "recording": recordings,
            "participant": participants,
            "source": recordings,
            "size": np.full(people, 258_000_000),
            "status": np.full(people, "done"),
            "person_days": np.full(people, DAYS_EACH),
            "serial": recordings,
            "figures": np.full(people, "{}"),
        },
        "person_days": {
            "slot": np.arange(count),
            "recording": recordings.repeat(DAYS_EACH),
            "participant": participants.repeat(DAYS_EACH),
            "day_index": np.tile(np.arange(DAYS_EACH), people),
            "device": np.full(count, "AX3"),
            "wear_seconds": wear,
            "eligible_10s": wear,
            "checksum": np.char.mod("%064x", np.arange(count)),
        },
    }
    made = {}
    for name, columns in known.items():
        schema = SCHEMAS[name]
        size = people if name != "person_days" else count
        arrays = [
            pa.array(columns[f.name]).cast(f.type) if f.name in columns else pa.nulls(size, f.type) for f in schema
        ]
        made[name] = pa.Table.from_arrays(arrays, schema=schema)
    return made


def write(table: StoreTable, rows: pa.Table) -> None:
    """Append many rows in one commit, with the table's own writer properties."""
    from deltalake import write_deltalake

    write_deltalake(table.delta, rows, mode="append", writer_properties=table._writer())
    table.refresh()
