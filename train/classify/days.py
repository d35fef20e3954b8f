"""Minutes a day by activity, not worn and unknown, from the table of activities, a file at a time."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.storage.folder import Folder

NOT_WORN, UNKNOWN = "not worn", "unknown"
OTHER = (NOT_WORN, UNKNOWN)
"""What an interval without an activity is: mostly not worn, or worn without a window that could be classified."""
COLUMNS = ("slot", "participant", "time", "activity", "worn_share")
WORN = 0.5


@dataclass(frozen=True)
class DayStates:
    """A person-day: state_I has for each interval the number of its class, or of OTHER after the classes, uint8."""

    slot: int
    participant: str
    date: date | None
    state_I: NDArray[np.uint8]

    def minutes(self, states: int) -> NDArray[np.float64]:
        """Return the minutes of each state."""
        count_K = np.bincount(self.state_I, minlength=states).astype(np.float64)
        return count_K * (1_440 / len(self.state_I))


def read_days(folder: Folder, files: Sequence[str], classes: Sequence[str], seconds: int) -> Iterator[DayStates]:
    """Yield the days of a table's files, in their order."""
    intervals, codes = 86_400 // seconds, {name: number for number, name in enumerate(classes)}
    for name in files:
        with folder.translate_errors(), folder.fs.open(folder.at(name), "rb") as opened:
            rows = pq.ParquetFile(opened, read_dictionary=["activity", "participant"]).read(
                list(COLUMNS), use_threads=False
            )
        activity = rows["activity"].combine_chunks()
        own = np.array([codes[value] for value in activity.dictionary.to_pylist()] or [0], np.uint8)
        number_N = activity.indices.fill_null(0).to_numpy()
        worn_N = rows["worn_share"].to_numpy() >= WORN
        state_N = np.where(np.asarray(activity.is_null()), len(classes) + worn_N, own[number_N]).astype(np.uint8)
        for first in range(0, len(rows), intervals):
            time: datetime | None = rows["time"][first].as_py()
            yield DayStates(
                rows["slot"][first].as_py(),
                rows["participant"][first].as_py() or "",
                None if time is None else time.date(),
                state_N[first : first + intervals],
            )


class DaysTable:
    """Collects the rows of days.csv."""

    def __init__(self, classes: Sequence[str]) -> None:
        self.states = (*classes, *OTHER)
        self.text = io.StringIO()
        self.writer = csv.writer(self.text, lineterminator="\n")
        self.writer.writerow(["slot", "participant", "day", *self.states])

    def add(self, day: DayStates) -> None:
        """Add a day: its minutes in each state."""
        minutes = [f"{value:.2f}".rstrip("0").rstrip(".") for value in day.minutes(len(self.states))]
        self.writer.writerow([day.slot, day.participant, day.date or "", *minutes])

    def encode(self) -> bytes:
        """Return the file."""
        return self.text.getvalue().encode()
