"""The table of activities: a row for every interval of a day, of a window's length, also where there is no activity."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.store.states import eligible, worn
from train.embed.days import Day
from train.embed.inference import Member
from train.embed.rows import times_of
from train.embed.table import KEY, to_parquet

FORMAT = "persondays-activities"
VERSION = 1
DIGITS = 3
"""Decimal digits of a probability: more would be half of a file."""


def schema(facts: Mapping[str, Any]) -> pa.Schema:
    """Return the columns of the table, with the facts in the metadata.

    slot and start_second are the interval's place in the store; time is the device's own clock, null in a store with
    relative dates; participant is the keyed id. activity and its probability are null where no window was classified.
    worn_share and eligible_share are shares of the interval's seconds.
    """
    columns = [
        pa.field("slot", pa.int64(), nullable=False),
        pa.field("participant", pa.string()),
        pa.field("start_second", pa.int32(), nullable=False),
        pa.field("time", pa.timestamp("ms")),
        pa.field("activity", pa.string()),
        pa.field("probability", pa.float32()),
        pa.field("worn_share", pa.float32(), nullable=False),
        pa.field("eligible_share", pa.float32(), nullable=False),
    ]
    return pa.schema(columns, {KEY: json.dumps(facts, sort_keys=True).encode()})


def rows_of(
    day: Day,
    seconds: int,
    class_W: NDArray[np.int64],
    probability_W: NDArray[np.float64],
    classes: Sequence[str],
    member: Member,
    columns: pa.Schema,
) -> pa.Table:
    """Return the rows of a day whose windows, one for each of some intervals, have these classes and probabilities."""
    start_I = np.arange(0, len(day.state_S), seconds)
    class_I, probability_I = np.full(len(start_I), -1, np.int32), np.zeros(len(start_I), np.float32)
    class_I[day.start_W // seconds] = class_W
    probability_I[day.start_W // seconds] = np.round(probability_W, DIGITS)
    missing_I = class_I < 0
    names = pa.DictionaryArray.from_arrays(pa.array(class_I, mask=missing_I), pa.array(classes, pa.string()))
    shares = [kind(day.state_S).reshape(-1, seconds).mean(1, dtype=np.float32) for kind in (worn, eligible)]
    arrays = [
        pa.array(np.full(len(start_I), day.slot)),
        pa.array([member.participant] * len(start_I), pa.string()),
        pa.array(start_I.astype(np.int32)),
        times_of(start_I, member.date),
        names.cast(pa.string()),
        pa.array(probability_I, mask=missing_I),
        *(pa.array(share_I) for share_I in shares),
    ]
    return pa.Table.from_arrays(arrays, schema=columns)


def encode(rows: pa.Table) -> bytes:
    """Return a file of rows."""
    few = ["slot", "participant", "activity", "probability", "worn_share", "eligible_share"]
    return to_parquet(rows, dictionary=few, statistics=["slot", "start_second", "time"])
