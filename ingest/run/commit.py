"""What only the driver writes, under its lease: slots into the plan and, in batches, outcomes into the tables.

The order matters: first rows of `person_days`, then the objects of a recording's earlier state are deleted, then comes
the row of `recordings`, which says that a recording is done. A run killed in between finds the recording undone and
ingests it again, with the same result. The slots of a rejected recording are the ones that another driver would use for
it: they are emptied after its row is committed, so that only a driver that still holds the lease empties them.
"""

from __future__ import annotations

import time
from collections.abc import Container, Iterable, Mapping, Sequence

from ingest.run.plan import Catalogue, Row, plan_rows
from ingest.run.rows import Outcome
from ingest.run.sources import Source
from pipeline.store.lease import Lease
from pipeline.store.store import Store
from pipeline.store.tables import StoreTable

COMMIT_S = 60.0
COMMIT_ROWS = 20_000


class Committer:
    """Collects outcomes and commits them in batches."""

    def __init__(self, store: Store, lease: Lease, catalogue: Catalogue) -> None:
        self.store, self.lease, self.catalogue = store, lease, catalogue
        self._pending: list[Outcome] = []
        self._rows = 0
        self._last = time.monotonic()

    def assign_slots(self, spans: Sequence[tuple[Source, int]], participants: Mapping[str, str]) -> None:
        """Commit slots for recordings and the most days each may span, then grow the arrays to hold them."""
        self.lease.check()
        rows = plan_rows(spans, participants, max(self.store.length, self.catalogue.end_of_plan))
        self.store.plan.append(rows)
        self.catalogue.add_plan(rows)
        self.store.grow(self.catalogue.end_of_plan)

    def add(self, outcome: Outcome) -> None:
        """Keep an outcome for the next commit."""
        self._pending.append(outcome)
        self._rows += 1 + len(outcome.days)

    def is_due(self) -> bool:
        """Whether the last commit is a minute ago or the batch is large."""
        return self._rows >= COMMIT_ROWS or time.monotonic() - self._last >= COMMIT_S

    def commit(self) -> None:
        """Commit the outcomes collected so far."""
        self._last = time.monotonic()
        batch, self._pending, self._rows = self._pending, [], 0
        if not batch:
            return
        self.store.folder.flush()
        self.lease.check()
        self._swap(self.store.person_days, self.catalogue.with_days, {outcome.id: outcome.days for outcome in batch})
        if replaced := self._old_slots(outcome for outcome in batch if outcome.is_done):
            self.lease.check()
            self.store.delete_days(replaced)
        self.lease.check()
        self._swap(self.store.recordings, self.catalogue.recordings, {o.id: [o.recording] for o in batch})
        self.store.delete_days(self._old_slots(outcome for outcome in batch if not outcome.is_done))

    def _old_slots(self, outcomes: Iterable[Outcome]) -> list[int]:
        return [slot for each in outcomes for slot in self.catalogue.old_slots(each.id, each.first_slot)]

    @staticmethod
    def _swap(table: StoreTable, present: Container[str], rows: dict[str, list[Row]]) -> None:
        """Add rows to a table; those of recordings that it already has replace the old ones in one commit."""
        replaced = [recording for recording in rows if recording in present]
        table.replace(replaced, [row for recording in replaced for row in rows[recording]])
        table.append([row for recording in rows if recording not in present for row in rows[recording]])
