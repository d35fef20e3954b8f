"""Recordings of one participant that touch the same calendar date: one recording in several files, or two devices.

Parts of a recording follow each other; two devices worn at once overlap in time. Both are reported, and neither is an
error.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.identity import SHORT_ID
from pipeline.store.figures import read_figures

if TYPE_CHECKING:
    from pipeline.store.store import Store

MAX_OVERLAP = np.timedelta64(1, "s")
"""Parts of one recording may overlap by less."""
FIRST_DATE = np.datetime64("1980-01-01")
"""Earlier times count from when a device was switched on."""
IDS_SHOWN = 6
JOIN = "--join-folders, --join-map or --join-regex"


@dataclass(frozen=True)
class Recorded:
    """Whose a recording is, by which device (None: not known), and when it begins and ends."""

    recording: str
    participant: str
    serial: str | None
    start: np.datetime64
    end: np.datetime64


@dataclass(frozen=True)
class SameDates:
    """Recordings that touch a date of another one of their participant, by participant.

    in_turn: they follow each other and may be of one device. at_once: they overlap in time.
    """

    in_turn: dict[str, set[str]] = field(default_factory=dict)
    at_once: dict[str, set[str]] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """Notes for a summary; none where there is nothing to report."""
        notes = []
        if self.in_turn:
            notes.append(
                f"note: {_counted(self.in_turn)} follow each other within a date. If they are parts of one recording, "
                f"{JOIN} makes one of them, in a new store, with one person-day per date ({_some(self.in_turn)})"
            )
        if self.at_once:
            notes.append(
                f"note: {_counted(self.at_once)} overlap in time on a date: two devices worn at once, or one recording "
                f"twice ({_some(self.at_once)})"
            )
        return notes


def same_dates(recorded: Iterable[Recorded]) -> SameDates:
    """The recordings that share a calendar date with another one of their participant."""
    of_participant = defaultdict[str, list[Recorded]](list)
    for each in (each for each in recorded if each.start >= FIRST_DATE):
        of_participant[each.participant].append(each)
    found = SameDates()
    for participant, some in of_participant.items():
        some.sort(key=lambda each: (each.start, each.end))
        for place, first in enumerate(some):
            for second in some[place + 1 :]:
                if second.start.astype("datetime64[D]") > first.end.astype("datetime64[D]"):
                    break
                if first.end - second.start > MAX_OVERLAP:
                    kind = found.at_once
                elif first.serial == second.serial or first.serial is None or second.serial is None:
                    kind = found.in_turn
                else:  # another device was worn afterwards
                    continue
                kind.setdefault(participant, set()).update((first.recording, second.recording))
    return found


def find_same_dates(store: Store) -> SameDates:
    """The recordings of a store that share a date; none where it has no dates (--relative-dates)."""
    recordings = store.recordings.read(["recording", "participant", "status", "serial", "figures"])
    done = recordings.filter(pc.equal(recordings["status"], "done"))
    return same_dates_of(done, read_figures(done["figures"], ["start", "end"]))


def same_dates_of(done: pa.Table, figures: pa.Table) -> SameDates:
    """The same from the rows of ingested recordings, and from their figures `start` and `end`."""
    counts = pc.value_counts(done["participant"])
    several = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
    table = done.select(["recording", "participant", "serial"])
    for name in ("start", "end"):
        table = table.append_column(name, figures[name])
    has_date = pc.fill_null(pc.match_substring(table["start"], "T"), False)
    table = table.filter(pc.and_(has_date, pc.is_in(table["participant"], value_set=several)))
    return same_dates(
        Recorded(
            row["recording"],
            row["participant"],
            row["serial"],
            np.datetime64(row["start"], "us"),
            np.datetime64(row["end"], "us"),
        )
        for row in table.to_pylist()
    )


def _counted(by_participant: dict[str, set[str]]) -> str:
    recordings, people = sum(map(len, by_participant.values())), len(by_participant)
    return f"{recordings:,} recordings of {people:,} participant{'' if people == 1 else 's'}"


def _some(by_participant: dict[str, set[str]]) -> str:
    ids = sorted(recording[:SHORT_ID] for some in by_participant.values() for recording in some)
    return f"{' '.join(ids[:IDS_SHOWN])}{', ...' if len(ids) > IDS_SHOWN else ''}"
