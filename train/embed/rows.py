"""The rows of a person-day: its windows, or the means of those that begin in a minute, an hour or the day."""

from __future__ import annotations

from datetime import date

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.grid import SECONDS_PER_DAY
from pipeline.store.states import eligible
from train.embed.days import Day
from train.embed.table import POOL_SECONDS, Pool


def rows_of(
    day: Day,
    vector_WF: NDArray[np.float32],
    pool: Pool,
    date_: date | None,
    participant: str | None,
    columns: pa.Schema,
) -> pa.Table:
    """Return the rows of a day with these features, in the columns of the table.

    `date_` is the calendar day of the device's clock, None if the store does not have it.
    """
    start_R, share_R, windows_R = day.start_W, day.share_W, np.ones(len(day.start_W), np.int64)
    if pool != "none":
        length = POOL_SECONDS[pool]
        interval_R, first_R, windows_R = np.unique(day.start_W // length, return_index=True, return_counts=True)
        start_R = interval_R * length
        share_R = eligible(day.state_S).reshape(-1, length).mean(1)[interval_R]
        vector_WF = _means(vector_WF, first_R, windows_R)
    rows = len(start_R)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(vector_WF.reshape(-1)), columns.field("vector").type.list_size)
    arrays = [
        pa.array(np.full(rows, day.slot)),
        pa.array(start_R.astype(np.int32)),
        times_of(start_R, date_),
        pa.array(share_R.astype(np.float32)),
        pa.array(windows_R.astype(np.int32)),
        pa.array([participant] * rows, pa.string()),
        vectors,
    ]
    return pa.Table.from_arrays(arrays, schema=columns)


def times_of(start_R: NDArray[np.int64], date_: date | None) -> pa.Array:
    """Return seconds of a day as times of the device's clock; null if the calendar day is not known."""
    if date_ is None:
        return pa.nulls(len(start_R), pa.timestamp("ms"))
    midnight_s = (date_ - date(1970, 1, 1)).days * SECONDS_PER_DAY
    return pa.array((midnight_s + start_R) * 1_000, pa.timestamp("ms"))


def _means(
    vector_WF: NDArray[np.float32], first_R: NDArray[np.int64], count_R: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Means of consecutive rows, summed in float64."""
    if not len(first_R):
        return vector_WF
    sums_RF = np.add.reduceat(vector_WF.astype(np.float64), first_R)
    means: NDArray[np.float32] = (sums_RF / count_R[:, None]).astype(np.float32)
    return means
