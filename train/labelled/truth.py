"""Labelled windows from a window store and a table of who did what when, such as the simulator writes.

Windows are cut from the store alone, so they have gone through every step that training's windows
have: calibration, resampling, states. People are found by the keyed ids of their names.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.grid import AXES, SECONDS_PER_DAY, TICKS_PER_SECOND
from pipeline.identity import SHORT_ID, Key
from pipeline.store.states import eligible
from pipeline.store.store import Store

COLUMNS = ("participant", "start", "end", "activity")
NO_ACTIVITY = {"non-wear", "gap"}
"""Words of the simulator's truth that are no activity of a person."""


@dataclass(frozen=True)
class Bout:
    """One activity of one person, by the device's clock."""

    start: datetime
    end: datetime
    activity: str


@dataclass(frozen=True)
class Windows:
    """Windows in g at 30 Hz, (windows, ticks, 3), with labels and keyed short ids, and what was not found."""

    x_NTC: NDArray[np.float32]
    y_N: list[str]
    pid_N: list[str]
    people_absent: int


def read_truth(path: Path) -> dict[str, list[Bout]]:
    """The bouts of each person by name, from Parquet with participant, start, end (without time zone) and activity."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(f"{path}: expected a Parquet table of who did what when, found none ({error}).") from None
    types = {name: table.schema.field(name).type for name in COLUMNS if name in table.schema.names}
    zoned = [name for name in ("start", "end") if name in types and getattr(types[name], "tz", None) is not None]
    wrong = [name for name in ("start", "end") if name in types and not pa.types.is_timestamp(types[name])]
    if len(types) < len(COLUMNS) or zoned or wrong:
        raise UserError(
            f"{path}: expected the columns {', '.join(COLUMNS)}, start and end as time stamps of the device's clock "
            f"without time zone; found {', '.join(f'{field.name} ({field.type})' for field in table.schema)}."
        )
    bouts: dict[str, list[Bout]] = defaultdict(list)
    chosen = table.select(COLUMNS)
    for number, row in enumerate(chosen.cast(_microseconds(chosen.schema), safe=False).to_pylist()):
        if None in row.values() or not row["start"] < row["end"]:
            raise UserError(f"{path}, row {number}: expected no empty cell and start before end. Mend or drop the row.")
        if row["activity"] not in NO_ACTIVITY:
            bouts[str(row["participant"])].append(Bout(row["start"], row["end"], str(row["activity"])))
    return bouts


def _microseconds(schema: Any) -> Any:
    import pyarrow as pa

    return pa.schema(
        [pa.field(f.name, pa.timestamp("us") if pa.types.is_timestamp(f.type) else f.type) for f in schema]
    )


def window_starts(eligible_S: NDArray[np.bool_], seconds: int) -> Iterator[int]:
    """First seconds of consecutive windows of eligible seconds only, without overlap, as early as they fit."""
    start = 0
    while start + seconds <= len(eligible_S):
        ineligible = np.flatnonzero(~eligible_S[start : start + seconds])
        if ineligible.size:
            start += int(ineligible[-1]) + 1
        else:
            yield start
            start += seconds


def spread(count: int, most: int) -> NDArray[np.int64]:
    """At most `most` of the numbers below `count`, in order and evenly apart, ends included."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def within_day(bout: Bout, day: date) -> tuple[int, int]:
    """The whole seconds of the day that lie inside the bout, as first and one past the last; empty where none."""
    midnight = datetime.combine(day, time())
    first, last = bout.start - midnight, bout.end - midnight
    return max(0, -(-first // timedelta(seconds=1))), min(SECONDS_PER_DAY, last // timedelta(seconds=1))


def cut_person(
    store: Store, days: list[tuple[date, int]], bouts: list[Bout], seconds: int, per_activity: int
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Activity and window (ticks, 3) in g, at most `per_activity` of each activity; `days` are (day, slot) in order."""
    held = {slot: store.read_day(slot) for _, slot in days}
    candidates: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for day, slot in days:
        eligible_S = eligible(held[slot].state_S)
        for bout in sorted(bouts, key=lambda bout: bout.start):
            first, last = within_day(bout, day)
            if last - first >= seconds:
                starts = window_starts(eligible_S[first:last], seconds)
                candidates[bout.activity] += [(slot, first + start) for start in starts]
    for activity, places in candidates.items():
        for number in spread(len(places), per_activity) if places else ():
            slot, start = places[number]
            ticks = slice(start * TICKS_PER_SECOND, (start + seconds) * TICKS_PER_SECOND)
            yield activity, (held[slot].signal_CT[:, ticks].T / store.attributes.counts_per_g).astype(np.float32)


def label_store(
    store: Store,
    truth: dict[str, list[Bout]],
    key: Key,
    seconds: int,
    per_activity: int,
    progress: Callable[[int], None] = lambda done: None,
) -> Windows:
    """Windows of `seconds` from every person of the truth that the store knows, in order of their keyed ids.

    Raises UserError for another key, for a store without calendar dates, and when it knows nobody.
    """
    if key.check != store.attributes.key_check:
        raise UserError(
            f"{store.folder.url}: the store was made with another key, under which nobody of the truth can be found. "
            "Give the key that the store was made with."
        )
    rows = store.person_days.read(["slot", "participant", "day"]).to_pylist()
    if any(row["day"] is None for row in rows):
        raise UserError(
            f"{store.folder.url}: the store has no calendar dates, so times of a truth table have no place."
        )
    days: dict[str, list[tuple[date, int]]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: (row["day"], row["slot"])):
        days[row["participant"]].append((row["day"], row["slot"]))
    people = {key.participant(name): bouts for name, bouts in truth.items()}
    known = sorted(people.keys() & days.keys())
    if not known:
        raise UserError(
            f"{store.folder.url}: the store knows none of the {len(people)} people of the truth. Give the truth of the "
            "recordings that it was made from; names must be the participants' as ingest was told them (for simulated "
            "recordings: --id-regex '(P[0-9]+)[.]cwa')."
        )
    x: list[NDArray[np.float32]] = []
    y_N: list[str] = []
    pid_N: list[str] = []
    for done, person in enumerate(known, 1):
        for activity, window_TC in cut_person(store, days[person], people[person], seconds, per_activity):
            x.append(window_TC)
            y_N.append(activity)
            pid_N.append(person[:SHORT_ID])
        progress(done)
    x_NTC = np.stack(x) if x else np.empty((0, seconds * TICKS_PER_SECOND, AXES), np.float32)
    return Windows(x_NTC, y_N, pid_N, people_absent=len(people) - len(known))
