"""Labelled windows from a window store and a truth table of who did what when, such as the simulator writes.

Windows are cut from the store, so they went through the same steps as training windows: calibration, resampling,
states. Participants are found by the keyed ids of their names.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.grid import SECONDS_PER_DAY, TICKS_PER_SECOND
from pipeline.identity import SHORT_ID, Key
from pipeline.store.states import eligible
from pipeline.store.store import Store
from train.labelled.bouts import Bout, BoutCounts
from train.labelled.files import MISSING, LabelledWindows

TRUTH_COLUMNS = ("participant", "start", "end", "activity")
DAY_COLUMNS = ("device", "location", "month")
"""Further columns of the labelled set: what the store knows of each window's day."""
NOT_ACTIVITIES = {"non-wear", "gap"}
"""Values in the simulator's truth table that are not activities."""


@dataclass(frozen=True)
class TruthBout:
    """One activity of one participant, in the time of the device's clock."""

    start: datetime
    end: datetime
    activity: str


def read_truth(path: Path) -> dict[str, list[TruthBout]]:
    """Read the bouts of each participant, by name, from a Parquet table with the columns `TRUTH_COLUMNS`.

    Start and end are time stamps without a time zone. Raises UserError for anything else.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise UserError(f"{path}: there is no such file. Expected a Parquet table with {', '.join(TRUTH_COLUMNS)}.")
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(
            f"{path}: expected a Parquet table with {', '.join(TRUTH_COLUMNS)}; cannot read it ({error})."
        ) from None
    types = {name: table.schema.field(name).type for name in TRUTH_COLUMNS if name in table.schema.names}
    zoned = [name for name in ("start", "end") if name in types and getattr(types[name], "tz", None) is not None]
    wrong = [name for name in ("start", "end") if name in types and not pa.types.is_timestamp(types[name])]
    if len(types) < len(TRUTH_COLUMNS) or zoned or wrong:
        raise UserError(
            f"{path}: expected the columns {', '.join(TRUTH_COLUMNS)}, with start and end as time stamps of the "
            "device's clock without time zone; found "
            f"{', '.join(f'{field.name} ({field.type})' for field in table.schema)}."
        )
    bouts: dict[str, list[TruthBout]] = defaultdict(list)
    chosen = table.select(TRUTH_COLUMNS)
    for number, row in enumerate(chosen.cast(_microseconds(chosen.schema), safe=False).to_pylist()):
        if not MISSING.isdisjoint(str(value).strip() for value in row.values()) or not row["start"] < row["end"]:
            raise UserError(f"{path}, row {number}: expected no empty cell and start before end. Fix or drop the row.")
        if row["activity"] not in NOT_ACTIVITIES:
            bouts[str(row["participant"])].append(TruthBout(row["start"], row["end"], str(row["activity"])))
    return bouts


def _microseconds(schema: Any) -> Any:
    import pyarrow as pa

    return pa.schema(
        [pa.field(f.name, pa.timestamp("us") if pa.types.is_timestamp(f.type) else f.type) for f in schema]
    )


def window_starts(eligible_S: NDArray[np.bool_], seconds: int) -> Iterator[int]:
    """Yield the first seconds of windows of eligible seconds only, without overlap, each as early as it fits."""
    start = 0
    while start + seconds <= len(eligible_S):
        ineligible = np.flatnonzero(~eligible_S[start : start + seconds])
        if ineligible.size:
            start += int(ineligible[-1]) + 1
        else:
            yield start
            start += seconds


def spread(count: int, limit: int) -> NDArray[np.int64]:
    """Return at most `limit` of the numbers below `count`, in order and evenly spaced, both ends included."""
    return np.unique(np.linspace(0, count - 1, min(count, limit)).round().astype(np.int64))


def within_day(bout: TruthBout, day: date) -> tuple[int, int]:
    """Return the full seconds of the day inside the bout, as first and one past the last; last <= first if none."""
    midnight = datetime.combine(day, time())
    first, last = bout.start - midnight, bout.end - midnight
    return max(0, -(-first // timedelta(seconds=1))), min(SECONDS_PER_DAY, last // timedelta(seconds=1))


def cut_participant(
    store: Store, days: list[tuple[date, int]], bouts: list[TruthBout], seconds: int, per_activity: int
) -> Iterator[tuple[str, list[int], NDArray[np.float32]]]:
    """Yield an activity, the slots of its windows and these windows (windows, ticks, 3) in g, at most `per_activity`.

    `days` are (day, slot) in order of the days.
    """
    read = {slot: store.read_day(slot) for _, slot in days}
    candidates: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for day, slot in days:
        eligible_S = eligible(read[slot].state_S)
        for bout in sorted(bouts, key=lambda bout: bout.start):
            first, last = within_day(bout, day)
            if last - first >= seconds:
                starts = window_starts(eligible_S[first:last], seconds)
                candidates[bout.activity] += [(slot, first + start) for start in starts]
    for activity, places in candidates.items():
        if places:
            chosen = [places[number] for number in spread(len(places), per_activity)]
            signal_NTC = [
                read[slot].signal_CT[:, start * TICKS_PER_SECOND : (start + seconds) * TICKS_PER_SECOND].T
                for slot, start in chosen
            ]
            slots = [slot for slot, _ in chosen]
            yield activity, slots, (np.stack(signal_NTC) / store.attributes.counts_per_g).astype(np.float32)


def label_store(
    store: Store,
    truth: dict[str, list[TruthBout]],
    key: Key,
    seconds: int,
    per_activity: int,
    progress: Callable[[int], None] = lambda done: None,
) -> tuple[LabelledWindows, dict[str, Any]]:
    """Cut windows of `seconds` for every participant of the truth table in the store, in order of their keyed ids.

    Returns the windows, under short keyed ids, and facts for info.json. Raises UserError for another key, for a store
    without calendar dates, and when no participant is in the store.
    """
    if key.check != store.attributes.key_check:
        raise UserError(
            f"{store.folder.url}: the store was made with another key, so no participant of the truth table can be "
            "found. Give the key that the store was made with."
        )
    rows = store.person_days.read(["slot", "participant", "day", "device", "location"]).to_pylist()
    if any(row["day"] is None for row in rows):
        raise UserError(
            f"{store.folder.url}: the store has relative dates, so the times of a truth table cannot be placed. "
            "Use a store ingested without --relative-dates."
        )
    days: dict[str, list[tuple[date, int]]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: (row["day"], row["slot"])):
        days[row["participant"]].append((row["day"], row["slot"]))
    bouts = {key.participant(name): found for name, found in truth.items()}
    known = sorted(bouts.keys() & days.keys())
    if not known:
        raise UserError(
            f"{store.folder.url}: none of the {len(bouts)} participants of the truth table are in the store. Give the "
            "truth "
            "table of the recordings that were ingested; its names must be the participants that ingest used (for "
            "simulated recordings: --id-regex '(P[0-9]+)[.]cwa')."
        )

    slot_N: list[int] = []

    def pieces() -> Iterator[tuple[str, str, NDArray[np.float32]]]:
        for done, participant in enumerate(known, 1):
            found = cut_participant(store, days[participant], bouts[participant], seconds, per_activity)
            for activity, slots, windows_NTC in found:
                slot_N.extend(slots)
                yield participant[:SHORT_ID], activity, windows_NTC
            progress(done)

    counts = BoutCounts()
    for participant in known:
        counts.add(Bout(_seconds(bout.start), _seconds(bout.end), bout.activity) for bout in bouts[participant])
    facts = {
        **counts.facts(),
        "per_activity": per_activity,
        "store_fingerprint": store.attributes.fingerprint,
        "people_not_in_store": len(bouts) - len(known),
    }
    windows = LabelledWindows.of(pieces(), seconds)
    columns = {row["slot"]: columns_of(row) for row in rows}
    return replace(windows, columns={name: [columns[slot][name] for slot in slot_N] for name in DAY_COLUMNS}), facts


def _seconds(time_: datetime) -> float:
    return (time_ - datetime(1970, 1, 1)) / timedelta(seconds=1)


def columns_of(row: dict[str, Any]) -> dict[str, str]:
    """Return the further columns of a person-day's windows: device, place on the body, month of the year."""
    device, location = (str(row[name] or "unknown") for name in ("device", "location"))
    return {"device": device, "location": location, "month": f"{row['day'].month:02d}"}
