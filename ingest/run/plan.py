"""Which slots a recording gets: pure functions over the rows of the tables.

A slot is given once, by an upper bound of the recording's days, and is never given again: not when a
recording turns out shorter, is rejected, or changes. Slots are dealt in the order of the keyed ids
(compressed recordings after the others), so that their order says nothing about file names and does not
depend on which task was faster.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ingest.run.sources import Source

DONE, REJECTED = "done", "rejected"

Row = dict[str, Any]


@dataclass
class Standing:
    """What the tables know of the recordings, as a run finds it."""

    recordings: dict[str, Row]
    """By id: the row of the table `recordings`."""
    with_days: frozenset[str]
    """Recordings that have rows in `person_days`."""
    plan: dict[str, list[Row]] = field(default_factory=dict)
    """By id: the rows of the table `plan`, oldest first."""
    end_of_plan: int = 0
    """The first slot beyond all that were ever given."""
    again: set[str] = field(default_factory=set)
    """Recordings to be done again, until they have got new slots."""

    def add_plan(self, rows: Iterable[Row]) -> None:
        """Take in rows of the plan."""
        for row in sorted(rows, key=lambda row: int(row["first_slot"])):
            self.plan.setdefault(row["recording"], []).append(row)
            self.again.discard(row["recording"])
            self.end_of_plan = max(self.end_of_plan, row["first_slot"] + row["slots"])

    def rows_of(self, recording: str) -> list[Row]:
        """Its row of `recordings` and its rows of the plan."""
        done = self.recordings.get(recording)
        return [*([done] if done else []), *self.plan.get(recording, [])]

    def is_done(self, source: Source, retry_rejected: bool = False) -> bool:
        """Whether nothing is left to do for a recording: it is as it was when it was ingested or rejected."""
        row = self.recordings.get(source.id)
        if source.id in self.again or row is None or row["source"] != source.fingerprint:
            return False
        return row["status"] == DONE or not retry_rejected

    def has_days(self, recording: str) -> bool:
        """Whether a recording was ingested, in whatever state."""
        return recording in self.recordings and self.recordings[recording]["status"] == DONE

    def is_of_another_device(self, recording: str, serial: str) -> bool:
        """Whether a recording was ingested from another device than the one with this (hashed) serial number."""
        return self.has_days(recording) and self.recordings[recording]["serial"] != serial

    def planned(self, source: Source) -> Row | None:
        """The slots that stand ready for a recording in its present state, if any.

        Only the newest row counts: slots of an older state were given up, whatever it was.
        """
        rows = None if source.id in self.again else self.plan.get(source.id)
        return rows[-1] if rows and rows[-1]["source"] == source.fingerprint else None

    def given_up(self, recording: str, first_slot: int | None) -> list[int]:
        """All slots that a recording ever had, except those of the plan row that begins at `first_slot`."""
        rows = (row for row in self.plan.get(recording, []) if row["first_slot"] != first_slot)
        return [slot for row in rows for slot in range(row["first_slot"], row["first_slot"] + row["slots"])]


def deal_slots(spans: Sequence[tuple[Source, int]], participants: Mapping[str, str], first_free: int) -> list[Row]:
    """Plan rows for recordings and the calendar days they touch at most, one after the other."""
    rows = []
    for source, days in spans:
        rows.append(
            {
                "recording": source.id,
                "participant": participants[source.id],
                "source": source.fingerprint,
                "first_slot": first_free,
                "slots": days,
            }
        )
        first_free += days
    return rows
