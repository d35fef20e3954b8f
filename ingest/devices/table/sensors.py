"""Rows of several sensors or people in one table: columns that name them, and values that take turns.

Read as one recording they would be nonsense, so they are a question. `--where-column` answers it.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ingest.devices.table.columns import Columns
from pipeline.errors import UserError

FEW_NAMES, OFTEN = 8, 0.25
"""A column of at most so many names that changes in over this share of the rows names the sensor of each row."""
MANY_ROWS = 100
"""A column with more kinds than one per so many rows does not name sensors: it counts rows, or measures."""
TURN_ROWS, MIN_TURN_ROWS, LAGS = 5_000, 500, (2, 3, 4)
OTHER_VALUES, MIN_OTHER = 4.0, 0.2
"""Values of another sensor differ by so many times more than the next ones of the same, and by this share of 1 g."""
MIN_AGAIN_US, NEAR_BEGIN, ALIKE = 60_000_000, 0.1, 0.5
"""Sensors that follow each other begin within this share of their length, and the shorter has this share of it."""
_NUMBER = re.compile(r"[-+]?[\d.,eE+-]+")
_ANSWER = "Read one with --where-column {0}=VALUE, or all as one with '--where-column {0}=*'"


def refuse_alternating_names(first: Mapping[int, Sequence[str]], names: Sequence[str], columns: Columns) -> None:
    """Raise UserError where a column of few names changes from row to row: rows of several sensors take turns.

    first: the first cells of columns, by position.
    """
    if columns.where:
        return
    for place, cells in first.items():
        kinds = {*cells}
        is_named = place not in columns.places and not any(_NUMBER.fullmatch(cell) or not cell for cell in kinds)
        changes = sum(a != b for a, b in itertools.pairwise(cells))
        if is_named and 2 <= len(kinds) <= FEW_NAMES and changes > OFTEN * len(cells):
            raise UserError(_question(names[place] if names else f"{place + 1}", len(kinds)))


def _question(name: str, kinds: int) -> str:
    name = name[:30]
    return (
        f"are these rows of several sensors or people? The column {name!r} has {kinds} values. "
        f"{_ANSWER.format(name)}; or write a file for each."
    )


@dataclass
class NamedRows:
    """Refuses tables in which a column that names sensors or people has several values, batch by batch."""

    names: dict[int, str]
    """Names of such columns, by position."""
    rows: int = 0
    _seen: dict[int, set[str]] = field(default_factory=dict)

    def add(self, batch: pa.RecordBatch) -> None:
        """Add rows, whose columns are named by their positions; raises UserError with a question."""
        self.rows += batch.num_rows
        for place, name in [*self.names.items()]:
            kinds = {f"{kind}" for kind in pc.unique(pc.drop_null(batch[f"{place}"])).to_pylist() if kind != ""}
            seen = self._seen.setdefault(place, set())
            seen |= kinds
            is_number = any("." in kind or "," in kind for kind in kinds)
            if is_number or FEW_NAMES < len(seen) > self.rows / MANY_ROWS:
                del self.names[place]
            elif len(seen) > 1 and self.rows >= MANY_ROWS:
                raise UserError(_question(name, len(seen)))


def refuse_turns(x_CN: NDArray[np.float32]) -> None:
    """Raise UserError where the values of rows take turns between two to four levels: rows of several sensors.

    Rows differ much from the one before, but hardly from one of those before that.
    """
    x_CN = x_CN[:, :TURN_ROWS]
    x_CN = x_CN[:, np.isfinite(x_CN).all(axis=0)]
    if x_CN.shape[1] < MIN_TURN_ROWS:
        return
    first = max(LAGS)
    off_LN = np.stack([np.abs(x_CN[:, first:] - x_CN[:, first - lag : -lag]).sum(axis=0) for lag in (1, *LAGS)])
    next_one, same = float(np.median(off_LN[0])), float(np.median(off_LN[1:].min(axis=0)))
    gravity = float(np.median(np.sqrt((x_CN.astype(np.float64) ** 2).sum(axis=0))))
    if next_one > OTHER_VALUES * same and next_one > MIN_OTHER * gravity:
        raise UserError(
            "are these rows of several sensors? Their values take turns between different levels. Write a file for "
            "each, or read one with --where-column NAME=VALUE if a column names them."
        )


def stacked_sides(first_K: NDArray[np.int64], us_K: NDArray[np.int64], end_us_K: NDArray[np.int64]) -> list[int]:
    """Return the rows at which times begin again, where sensors follow each other; none where it is another matter.

    first_K, us_K, end_us_K: first row, its time and the last time of each block. Each side begins near the beginning of
    the one before, and is about as long. A clock that was set back does neither.
    """
    again = np.flatnonzero(us_K[1:] < end_us_K[:-1] - MIN_AGAIN_US) + 1
    if not 1 <= again.size < FEW_NAMES:
        return []
    begin_P = us_K[np.append(0, again)]
    length_P = end_us_K[np.append(again, us_K.size) - 1] - begin_P
    shorter_P, longer_P = np.minimum(length_P[1:], length_P[:-1]), np.maximum(length_P[1:], length_P[:-1])
    is_again_P = (np.abs(np.diff(begin_P)) < NEAR_BEGIN * longer_P) & (shorter_P > ALIKE * longer_P)
    return [int(row) for row in first_K[again]] if is_again_P.all() and shorter_P.min() > MIN_AGAIN_US else []


def stacked_question(row: int, name: str | None) -> UserError:
    """Return the question for sensors that follow each other from this row on; name: the column that names them."""
    answer = "Write a file for each, or state --clock if the clock was set."
    if name:
        answer = f"The column {name[:30]!r} changes there. {_ANSWER.format(name[:30])}; or write a file for each."
    return UserError(
        f"are these rows of several sensors, one after the other? After {row:,} rows the times begin again. {answer}"
    )


def column_that_changes(batches: Iterator[pa.RecordBatch], changes: int) -> str | None:
    """Return the name of the column of text that changes so many times in all; None without one."""
    found: Counter[str] = Counter()
    last: dict[str, str] = {}
    for batch in batches:
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if not len(column):
                continue
            text = pc.fill_null(column, "")
            before = pa.concat_arrays([pa.array([last.get(name, text[0].as_py())]), text[:-1]])
            found[name] += pc.sum(pc.not_equal(text, before)).as_py() or 0
            last[name] = text[-1].as_py()
    return next((name for name, number in found.items() if number == changes), None)
