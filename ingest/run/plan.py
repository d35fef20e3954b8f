"""Which slots a recording gets: pure functions over the rows of the tables.

A slot is assigned once, by the days that a recording seems to have, and never again: not when a recording turns out
shorter, is rejected, or changes. One that turns out longer gets new slots. Slots follow the order of the keyed ids
(compressed recordings come last), so that their order says nothing about file names and does not depend on which task
finished first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ingest.run.sources import Source

DONE, REJECTED = "done", "rejected"

Row = dict[str, Any]


@dataclass
class Catalogue:
    """What the tables of a store say about its recordings."""

    recordings: dict[str, Row]
    """The row of the table `recordings`, by id."""
    with_days: frozenset[str]
    """Recordings that have rows in `person_days`."""
    plan: dict[str, list[Row]] = field(default_factory=dict)
    """The rows of the table `plan`, by id, oldest first."""
    end_of_plan: int = 0
    """The first slot after all that were ever assigned."""
    again: set[str] = field(default_factory=set)
    """Recordings to ingest again that have no new slots yet."""

    def add_plan(self, rows: Iterable[Row]) -> None:
        """Add rows of the plan."""
        for row in sorted(rows, key=lambda row: int(row["first_slot"])):
            self.plan.setdefault(row["recording"], []).append(row)
            self.again.discard(row["recording"])
            self.end_of_plan = max(self.end_of_plan, row["first_slot"] + row["slots"])

    def rows_of(self, recording: str) -> list[Row]:
        """Its row of `recordings` and its rows of the plan."""
        done = self.recordings.get(recording)
        return [*([done] if done else []), *self.plan.get(recording, [])]

    def is_done(self, source: Source, retry_rejected: bool = False) -> bool:
        """Whether nothing is left to do for a recording: it has not changed since it was ingested or rejected."""
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
        """The slots assigned to a recording in its present state, if any.

        Only the newest row counts: slots of an older state are no longer its own, whatever that state was.
        """
        rows = None if source.id in self.again else self.plan.get(source.id)
        return rows[-1] if rows and rows[-1]["source"] == source.fingerprint else None

    def old_slots(self, recording: str, first_slot: int | None) -> list[int]:
        """All slots that a recording ever had, except those of the plan row that begins at `first_slot`."""
        rows = (row for row in self.plan.get(recording, []) if row["first_slot"] != first_slot)
        return [slot for row in rows for slot in range(row["first_slot"], row["first_slot"] + row["slots"])]


def plan_rows(spans: Sequence[tuple[Source, int]], participants: Mapping[str, str], first_free: int) -> list[Row]:
    """Plan rows for recordings and the most calendar days each may span, one after the other."""
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
