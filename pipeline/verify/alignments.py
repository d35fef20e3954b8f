"""Whether the table of alignments agrees with the other tables, with itself, and with the stored states."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.errors import UnreadableDay
from pipeline.grid import SECONDS_PER_DAY, TICKS_PER_DAY, TICKS_PER_SECOND, WINDOW_SECONDS
from pipeline.progress import Progress
from pipeline.store.alignments import REFUSED, Alignment, shared_starts
from pipeline.store.lease import Lease
from pipeline.store.states import eligible, eligible_starts
from pipeline.store.store import Store
from pipeline.verify.ledger import Int, Ledger
from pipeline.verify.report import Finding, Report

KINDS = ("alignments-slots", "alignments-people", "alignments-values", "alignments-twice", "alignments-one-way")
COUNTS, STALE = "alignments-counts", "alignments-stale"
MAX_DRIFT_PPM = 1_000
ROUND_TRIP_TICKS = 1.0
"""By how much going to the other day and back may differ."""
DAYS_CACHED = 64
SLOT_STEP = 1 << 31
"""More than any slot, so that two slots fit into one number."""


def read_alignments(store: Store) -> pa.Table:
    """All rows; none where the store has no such table."""
    if not store.alignments.exists:
        return store.alignments.schema.empty_table()
    store.alignments.refresh()
    return store.alignments.read()


def findings_of_alignments(rows: pa.Table, ledger: Ledger, store: Store, read: Int) -> list[Finding]:
    """Faults of the rows. Numbers of starts are counted again for rows whose slot is among those in `read`."""
    columns = {name: np.asarray(rows[name].to_numpy()) for name in rows.column_names if name != "method"}
    refused = np.asarray(pc.starts_with(rows["method"], REFUSED).to_numpy(), bool)
    slot, other = columns["slot"], columns["other_slot"]
    given = (np.minimum(slot, other) >= 0) & (np.maximum(slot, other) < ledger.length)
    known = given & np.isin(slot, ledger.slots) & np.isin(other, ledger.slots)
    faults = (
        ~given,
        known & ~_of_one_participant(ledger, np.where(known, slot, 0), np.where(known, other, 0), known),
        _impossible(columns, refused),
        *_unpaired(columns, refused),
    )
    texts = (
        "alignments of slots that were never given",
        "alignments of two participants, or within one recording",
        "alignments with impossible values",
        "two alignments of the same days",
        "alignments that the other day does not confirm",
    )
    found = [
        Finding(kind, f"{text} (--repair deletes them)", _slots(slot[fault]))
        for kind, text, fault in zip(KINDS, texts, faults, strict=True)
    ]
    sound = known & ~refused & ~np.logical_or.reduce(faults) & np.isin(slot, read)
    miscounted = list(_miscounted(rows.filter(pa.array(sound)), store))
    found.append(
        Finding(COUNTS, "alignments whose numbers of eligible starts are not true (--repair deletes them)", miscounted)
    )
    stale = _slots(slot[given & ~known])
    text = "alignments of days that were replaced; the next `persondays align` deletes them"
    return [*found, Finding(STALE, text, stale, wrong=False)]


def _slots(slots: Int) -> list[int]:
    return [int(slot) for slot in np.unique(slots)]


def _of_one_participant(ledger: Ledger, slot: Int, other: Int, known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether both days are of one participant and of two recordings, for rows that are `known`."""
    if not known.any():
        return np.ones_like(known)
    participant = pc.index_in(ledger.days["participant"], pc.unique(ledger.days["participant"])).to_numpy()
    first, second = np.searchsorted(ledger.slots, slot), np.searchsorted(ledger.slots, other)
    first, second = np.where(known, first, 0), np.where(known, second, 0)
    people = participant[first] == participant[second]
    return np.asarray(people & (ledger.day_codes[first] != ledger.day_codes[second]))


def _impossible(columns: dict[str, Int], refused: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Values that no alignment has."""
    first, seconds = columns["first_second"], columns["seconds"]
    offset, drift = columns["offset_ticks"], columns["drift_ppm"]
    counts = [columns[f"eligible_{length}s"] for length in WINDOW_SECONDS]
    begin = first * TICKS_PER_SECOND + offset
    end = begin + seconds * TICKS_PER_SECOND * (1 + drift / 1e6)
    possible = (first >= 0) & (seconds >= 0) & (first + seconds <= SECONDS_PER_DAY)
    possible &= np.isfinite(offset) & (np.abs(drift) <= MAX_DRIFT_PPM) & (np.abs(columns["correlation"]) <= 1.001)
    inside = (begin >= -TICKS_PER_SECOND) & (end <= TICKS_PER_DAY + TICKS_PER_SECOND) & (seconds > 0)
    fits = (counts[0] <= seconds) & (counts[1] <= counts[0]) & (counts[2] <= counts[1]) & (counts[2] >= 0)
    return np.asarray(~(possible & np.where(refused, (seconds == 0) & (counts[0] == 0), inside) & fits))


def _unpaired(columns: dict[str, Int], refused: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Rows of days that have several, and rows that the row of the other day does not confirm."""
    slot, other = columns["slot"], columns["other_slot"]
    key, back = slot * SLOT_STEP + other, other * SLOT_STEP + slot
    order = np.argsort(key, kind="stable")
    at = np.minimum(np.searchsorted(key[order], back), max(key.size - 1, 0))
    mate = order[at] if key.size else order
    twice = np.zeros(key.size, np.bool_)
    same = np.flatnonzero(np.diff(key[order]) == 0)
    twice[order[same]] = twice[order[same + 1]] = True
    confirmed = (key[mate] == back) & (refused[mate] == refused)
    tick = TICKS_PER_SECOND * columns["first_second"]
    middle = tick + TICKS_PER_SECOND * columns["seconds"] / 2
    there = middle + columns["offset_ticks"] + columns["drift_ppm"] / 1e6 * (middle - tick)
    returned = there + columns["offset_ticks"][mate] + columns["drift_ppm"][mate] / 1e6 * (there - tick[mate])
    return twice, ~(confirmed & (np.abs(returned - middle) <= ROUND_TRIP_TICKS)) & ~twice


def _miscounted(rows: pa.Table, store: Store) -> Iterator[int]:
    """Slots of rows whose numbers of starts are not those of the states; days that cannot be read are left out."""

    @lru_cache(DAYS_CACHED)
    def eligible_seconds(slot: int) -> NDArray[np.bool_]:
        return eligible(store.days.read_state(slot))

    with Progress("count", rows.num_rows, "alignments") as progress:
        for number, values in enumerate(rows.sort_by("slot").to_pylist()):
            row = Alignment(**values)
            try:
                days = eligible_seconds(row.slot), eligible_seconds(row.other_slot)
            except UnreadableDay:
                continue
            for length in WINDOW_SECONDS:
                starts = [eligible_starts(day_S, length) for day_S in days]
                if shared_starts(starts[0], starts[1], row, length).sum() != values[f"eligible_{length}s"]:
                    yield row.slot
                    break
            progress.update(number + 1)


def delete_faulty_alignments(store: Store, lease: Lease, report: Report, ledger: Ledger) -> None:
    """Delete all alignments of the recordings whose alignments are at fault: `persondays align` finds them again."""
    slots = {slot for kind in (*KINDS, COUNTS) for found in [report.of(kind)] if found for slot in found.slots}
    if not slots or not store.alignments.exists:
        return
    recordings = ledger.recordings_in_slots(np.array(sorted(slots), np.int64))
    gone = pa.array(np.union1d(sorted(slots), ledger.slots_of_recordings(recordings)).astype(np.int64))
    store.alignments.fence(lease.epoch)
    rows = store.alignments.read()
    lost = pc.or_(*(pc.is_in(rows[name], value_set=gone) for name in ("slot", "other_slot")))
    store.alignments.overwrite(rows.filter(pc.invert(lost)))
