"""What the driver alone may write, under its lease: slots into the plan, and outcomes, in batches, into the tables.

The order is the law: rows of `person_days` first, then the objects that an earlier state of a recording
had are deleted, then `recordings`, whose row says that a recording is done. A run killed in between finds
the recording undone and does all of it again, with the same result. The slots of a rejected recording are
those that another driver would use for it: they are emptied when its row stands, so that only the driver
that may still commit empties them.
"""

from __future__ import annotations

import time
from collections.abc import Container, Iterable, Mapping, Sequence

from ingest.run.plan import Row, Standing, deal_slots
from ingest.run.rows import Outcome
from ingest.run.sources import Source
from pipeline.store.lease import Lease
from pipeline.store.store import Store
from pipeline.store.tables import StoreTable

COMMIT_S = 60.0
COMMIT_ROWS = 20_000


class Committer:
    """Collects outcomes and commits them when it is told."""

    def __init__(self, store: Store, lease: Lease, standing: Standing) -> None:
        self.store, self.lease, self.standing = store, lease, standing
        self._pending: list[Outcome] = []
        self._rows = 0
        self._last = time.monotonic()

    def give_slots(self, spans: Sequence[tuple[Source, int]], participants: Mapping[str, str]) -> None:
        """Commit slots for recordings and the days they span at most, then grow the arrays to hold every slot given."""
        self.lease.check()
        rows = deal_slots(spans, participants, max(self.store.length, self.standing.end_of_plan))
        self.store.plan.append(rows)
        self.standing.add_plan(rows)
        self.store.grow(self.standing.end_of_plan)

    def add(self, outcome: Outcome) -> None:
        """Keep an outcome for the next commit."""
        self._pending.append(outcome)
        self._rows += 1 + len(outcome.days)

    def is_due(self) -> bool:
        """Whether the last commit is a minute ago or the batch is large."""
        return self._rows >= COMMIT_ROWS or time.monotonic() - self._last >= COMMIT_S

    def commit(self) -> None:
        """Commit what has been collected."""
        self._last = time.monotonic()
        batch, self._pending, self._rows = self._pending, [], 0
        if not batch:
            return
        self.store.folder.flush()
        self.lease.check()
        self._swap(self.store.person_days, self.standing.with_days, {outcome.id: outcome.days for outcome in batch})
        if replaced := self._given_up(outcome for outcome in batch if outcome.is_done):
            self.lease.check()
            self.store.delete_days(replaced)
        self.lease.check()
        self._swap(self.store.recordings, self.standing.recordings, {o.id: [o.recording] for o in batch})
        self.store.delete_days(self._given_up(outcome for outcome in batch if not outcome.is_done))

    def _given_up(self, outcomes: Iterable[Outcome]) -> list[int]:
        return [slot for each in outcomes for slot in self.standing.given_up(each.id, each.first_slot)]

    @staticmethod
    def _swap(table: StoreTable, present: Container[str], rows: dict[str, list[Row]]) -> None:
        """Put new rows into a table; those of recordings that have rows there already take their place at once."""
        standing = [recording for recording in rows if recording in present]
        table.replace(standing, [row for recording in standing for row in rows[recording]])
        table.append([row for recording in rows if recording not in present for row in rows[recording]])
