"""One person-day read whole and held against its row; many of them by threads, as reading leaves Python's lock free."""

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
"""What may be wrong with a day: it cannot be read; its values, or only what is counted of them, are not its row's."""

TOLERANCE = 1e-5
"""Relative: ENMO is kept in 32 bits."""
AT_ONCE = 256


def check_day(store: Store, slot: int, row: dict[str, Any]) -> str:
    """What is wrong with a day, or nothing; raises StorageError when it is the storage that fails."""
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
    return "" if all(_same(value, row[name]) for name, value in found.items()) else FIGURES


def _same(found: Any, noted: Any) -> bool:
    if isinstance(found, float) and isinstance(noted, float):
        return math.isclose(found, noted, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(found == noted)


def check_days(store: Store, rows: pa.Table) -> dict[str, list[int]]:
    """The slots of `rows` (of the table `person_days`) in which something is wrong, by what it is."""
    wrong: dict[str, list[int]] = {UNREADABLE: [], VALUES: [], FIGURES: []}
    done = 0
    with Progress("read", rows.num_rows, "person-days") as progress, ThreadPoolExecutor(_threads()) as pool:
        each = _rows(rows)
        while some := list(islice(each, AT_ONCE)):
            results = pool.map(lambda row: check_day(store, row["slot"], row), some)
            for row, result in zip(some, results, strict=True):
                done += 1
                if result:
                    wrong[result].append(row["slot"])
                progress.update(done, f"{sum(map(len, wrong.values())):,} damaged")
    return wrong


def _rows(rows: pa.Table) -> Iterator[dict[str, Any]]:
    for batch in rows.to_batches(max_chunksize=AT_ONCE):
        yield from batch.to_pylist()


def _threads() -> int:
    return len(os.sched_getaffinity(0))
