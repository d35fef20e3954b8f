"""Which recordings may have been made at the same time, and which pairs an earlier run has decided: tables only."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import combinations, pairwise

import numpy as np
import pyarrow as pa

from ingest.align.pair import Pair, RecordedDay
from pipeline.errors import UserError
from pipeline.store.store import Store

OTHER_DATES, ONE_DEVICE, SAME_SAMPLES = "on other dates", "of the same device", "with the same samples, ingested twice"
COLUMNS = ["slot", "recording", "participant", "day", "serial", "location", "checksum", "measured_seconds"]


@dataclass(frozen=True)
class Candidates:
    """The pairs of recordings of a store that may overlap in time, and what was left out."""

    pairs: list[Pair]
    participants: int
    """Those with at least two recordings."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Pairs of recordings of one participant that cannot have been made at the same time, by reason."""
    without_location: int = 0
    """Recordings in pairs that do not say where they were worn."""


@dataclass
class _Recording:
    days: list[RecordedDay] = field(default_factory=list)
    serial: str | None = None
    location: str | None = None
    checksums: set[str] = field(default_factory=set)


def find_candidates(store: Store) -> Candidates:
    """Return the pairs of a store; raises UserError if its tables cannot say who wore what when."""
    if store.attributes.processing.get("relative_dates"):
        raise UserError(
            f"{store.folder.url}: the store has no calendar dates (--relative-dates), so nothing says which days may "
            "have been recorded at the same time. To align devices, ingest into a store without --relative-dates."
        )
    if store.attributes.people == "alone":
        raise UserError(
            f"{store.folder.url}: expected participants with several recordings; this store was made without "
            "--participants and --id-regex, so each recording is a participant of its own. Ingest into a new store "
            "with one of them."
        )
    found = candidates_of(store.person_days.read(COLUMNS), store.withdrawals.participants())
    if not found.participants:
        raise UserError(
            f"{store.folder.url}: expected participants with several recordings, found none: every participant has "
            "worn one device. Ingest the recordings of the other devices too, under the same participants."
        )
    return found


def candidates_of(days: pa.Table, withdrawn: frozenset[str]) -> Candidates:
    """The same from the rows of `person_days` (`COLUMNS`)."""
    people: dict[str, dict[str, _Recording]] = defaultdict(lambda: defaultdict(_Recording))
    for row in days.sort_by("slot").to_pylist():
        if row["participant"] in withdrawn or row["day"] is None:
            continue
        recording = people[row["participant"]][row["recording"]]
        recording.days.append(RecordedDay(row["slot"], int(np.datetime64(row["day"], "D").astype(int))))
        recording.serial, recording.location = row["serial"], row["location"]
        if row["measured_seconds"]:
            recording.checksums.add(row["checksum"])
    several = [list(recordings.values()) for recordings in people.values() if len(recordings) > 1]
    left_out, pairs, unplaced = Counter[str](), list[Pair](), set[int]()
    for recordings in several:
        for first, second in combinations(recordings, 2):
            reason = _why_not(first, second)
            if reason:
                left_out[reason] += 1
                continue
            pairs.append(Pair(tuple(first.days), tuple(second.days)))
            unplaced |= {each.days[0].slot for each in (first, second) if each.location is None}
    return Candidates(sorted(pairs, key=lambda pair: pair.slots), len(several), left_out, len(unplaced))


def _why_not(first: _Recording, second: _Recording) -> str:
    """Why two recordings cannot have been made at the same time; "" if they may.

    A clock that is wrong by a day still makes a pair.
    """
    if first.checksums & second.checksums:
        return SAME_SAMPLES
    if first.serial is not None and first.serial == second.serial:
        return ONE_DEVICE
    before, after = sorted((first, second), key=lambda each: each.days[0].day)
    return OTHER_DATES if after.days[0].day > before.days[-1].day + 1 else ""


def undecided(pairs: Iterable[Pair], slots: Iterable[tuple[int, int]]) -> list[Pair]:
    """The pairs of which the table has no row. `slots`: slot and other slot of its rows.

    Rows name days; the rows of one pair of recordings are committed together.
    """
    known = defaultdict(set)
    for slot, other in slots:
        known[slot].add(other)

    def is_decided(pair: Pair) -> bool:
        others = {day.slot for day in pair.other_days}
        return any(not others.isdisjoint(known.get(day.slot, ())) for day in pair.days)

    return [pair for pair in pairs if not is_decided(pair)]


def spans(pairs: list[Pair], size: int) -> list[tuple[Pair, ...]]:
    """The pairs in bundles of up to `size`."""
    edges = [*range(0, len(pairs), size), len(pairs)]
    return [tuple(pairs[first:end]) for first, end in pairwise(edges)]
