"""The true clocks of simulated devices, and how far a row of the table of alignments is from them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from pipeline.grid import SECONDS_PER_DAY, TICKS_PER_SECOND
from pipeline.identity import Key
from pipeline.store.alignments import Alignment
from pipeline.store.store import Store


@dataclass(frozen=True)
class Clock:
    """The clock of a recording: after t true seconds from `start_s`, it shows `start_s + offset_s + t (1 + drift)`."""

    participant: str
    start_s: float
    offset_s: float
    drift: float

    def shown(self, true_s: float) -> float:
        """What the clock shows at a true time, both in seconds from 1970."""
        return self.start_s + self.offset_s + (true_s - self.start_s) * (1 + self.drift)

    def true(self, shown_s: float) -> float:
        """When the clock shows a time."""
        return self.start_s + (shown_s - self.start_s - self.offset_s) / (1 + self.drift)


@dataclass(frozen=True)
class Day:
    """A person-day: its recording, and its day as a number from 1970-01-01."""

    recording: str
    number: int

    @property
    def midnight_s(self) -> int:
        """Seconds from 1970 that the clock shows at its beginning."""
        return self.number * SECONDS_PER_DAY


def read_clocks(path: Path, key: Key) -> dict[str, Clock]:
    """The true clocks, by the store's id of the recording."""
    return {
        key.recording(row["file"]): Clock(
            row["participant"],
            float(np.datetime64(row["start"], "us").astype(np.int64)) / 1e6,
            row["offset_s"],
            row["drift_ppm"] / 1e6,
        )
        for row in pq.read_table(path).to_pylist()
    }


def read_days(store: Store) -> dict[int, Day]:
    """The person-days of a store, by slot."""
    rows = store.person_days.read(["slot", "recording", "day"]).to_pylist()
    return {row["slot"]: Day(row["recording"], int(np.datetime64(row["day"], "D").astype(int))) for row in rows}


def errors(row: Alignment, day: Day, other: Day, clock: Clock, other_clock: Clock) -> tuple[float, float]:
    """The largest error of a row's offset over its seconds, in ticks, and that of its drift, in ppm."""
    away = []
    for second in (row.first_second, row.first_second + row.seconds):
        found = (second + row.drift_ppm / 1e6 * (second - row.first_second)) * TICKS_PER_SECOND + row.offset_ticks
        right = other_clock.shown(clock.true(day.midnight_s + second)) - other.midnight_s
        away.append(abs(found - right * TICKS_PER_SECOND))
    drift = (1 + other_clock.drift) / (1 + clock.drift) - 1
    return max(away), abs(row.drift_ppm - drift * 1e6)
