"""Read person-days and compare them with their rows. Threads read several at once: most of it releases the GIL."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import pyarrow as pa

from pipeline.errors import UnreadableDay
from pipeline.progress import Progress
from pipeline.store.day_figures import day_figures
from pipeline.store.store import Store

UNREADABLE, VALUES, FIGURES = "unreadable", "values", "figures"
"""Faults of a day: it cannot be read; its values differ from the row's checksum; only its counts differ."""

TOLERANCE = 1e-5
"""Relative and absolute: ENMO is stored as float32."""
ROWS_AT_ONCE = 256


def check_day(store: Store, slot: int, row: dict[str, Any]) -> str:
    """The fault of a day, or ""; raises StorageError when the storage itself fails."""
    try:
        day = store.read_day(slot)
    except UnreadableDay:
        return UNREADABLE
    except OSError:
        if not store.folder.is_local:
            raise
        return UNREADABLE
    found = day_figures(day, store.attributes.counts_per_g)
    if found["checksum"] != row["checksum"]:
        return VALUES
    return "" if all(_equal(value, row[name]) for name, value in found.items()) else FIGURES


def _equal(found: Any, stored: Any) -> bool:
    if isinstance(found, float) and isinstance(stored, float):
        return math.isclose(found, stored, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(found == stored)


def check_days(store: Store, rows: pa.Table) -> dict[str, list[int]]:
    """The slots of faulty days among `rows` (of the table `person_days`), by fault."""
    faulty: dict[str, list[int]] = {UNREADABLE: [], VALUES: [], FIGURES: []}
    done, cores = 0, len(os.sched_getaffinity(0))
    with Progress("read", rows.num_rows, "person-days") as progress, ThreadPoolExecutor(cores) as pool:
        remaining = _rows(rows)
        while batch := list(islice(remaining, ROWS_AT_ONCE)):
            results = pool.map(lambda row: check_day(store, row["slot"], row), batch)
            for row, fault in zip(batch, results, strict=True):
                done += 1
                if fault:
                    faulty[fault].append(row["slot"])
                progress.update(done, f"{sum(map(len, faulty.values())):,} damaged")
    return faulty


def _rows(rows: pa.Table) -> Iterator[dict[str, Any]]:
    for batch in rows.to_batches(max_chunksize=ROWS_AT_ONCE):
        yield from batch.to_pylist()
