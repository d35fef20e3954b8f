"""The tables as arrays of numbers: a recording is its index (its code) in one sorted list of ids."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.store.layout import TABLES
from pipeline.store.store import Store

Int = NDArray[np.int64]
DONE = "done"


@dataclass(frozen=True, eq=False)
class Ledger:
    """One version of the three tables, and the withdrawals. Rows of `days` are sorted by slot."""

    days: pa.Table
    recordings: pa.Table
    plan: pa.Table
    """Sorted by first slot."""
    withdrawn: frozenset[str]
    """Participants who withdrew."""
    unfinished: frozenset[str]
    """Participants whose withdrawal is not complete."""
    length: int
    """Slots that the arrays hold."""
    versions: tuple[int, ...]

    @staticmethod
    def read(store: Store) -> Ledger:
        """The newest version of the tables."""
        tables = [getattr(store, name) for name in TABLES]
        for table in tables:
            table.refresh()
        store.reopen()
        return Ledger(
            days=store.person_days.read().sort_by("slot"),
            recordings=store.recordings.read(["recording", "participant", "source", "status", "person_days"]),
            plan=store.plan.read().sort_by("first_slot"),
            withdrawn=store.withdrawals.participants(),
            unfinished=store.withdrawals.unfinished(),
            length=store.length,
            versions=tuple(table.version for table in tables),
        )

    def refreshed(self, store: Store) -> Ledger:
        """The newest version of the tables; this same object when nothing was committed in the meantime."""
        tables = [getattr(store, name) for name in TABLES]
        for table in tables:
            table.refresh()
        return self if tuple(table.version for table in tables) == self.versions else Ledger.read(store)

    @cached_property
    def slots(self) -> Int:
        """Slots of the rows, ascending."""
        return _ints(self.days["slot"])

    @cached_property
    def ids(self) -> pa.Array:
        """Every recording that a table names, sorted."""
        columns = [pc.unique(table["recording"]) for table in (self.days, self.recordings, self.plan)]
        return pa.chunked_array(columns, pa.string()).unique().sort()

    @cached_property
    def day_codes(self) -> Int:
        """The recording of each row of `days`."""
        return self.codes(self.days["recording"])

    @cached_property
    def plan_codes(self) -> Int:
        """The recording of each row of `plan`."""
        return self.codes(self.plan["recording"])

    @cached_property
    def recording_codes(self) -> Int:
        """The recording of each row of `recordings`."""
        return self.codes(self.recordings["recording"])

    def codes(self, ids: pa.ChunkedArray) -> Int:
        """The codes of recordings."""
        return _ints(pc.index_in(ids, self.ids))

    def names(self, codes: Int) -> list[str]:
        """The ids of recordings, each once."""
        return [str(name) for name in self.ids.take(pa.array(np.unique(codes))).to_pylist()]

    @cached_property
    def spans(self) -> tuple[Int, Int]:
        """First slot of each row of the plan, and the slot after its last."""
        first = _ints(self.plan["first_slot"])
        return first, first + _ints(self.plan["slots"])

    @cached_property
    def fillable(self) -> Int:
        """Slots an unfinished ingest may still fill: the newest plan of each recording whose source is not done."""
        first, end = self.spans
        newest = np.zeros(len(self.ids), np.int64)
        newest[self.plan_codes] = np.arange(first.size)  # rows are sorted by slot, so the last one wins
        done_as = np.full(len(self.ids), None, object)
        done_as[self.recording_codes] = self.recordings["source"].to_numpy()
        rows = np.unique(newest[self.plan_codes])
        waiting = self.plan["source"].to_numpy()[rows] != done_as[self.plan_codes[rows]]
        return span_slots(first[rows[waiting]], end[rows[waiting]])

    def rows_in_slots(self, slots: Int) -> Int:
        """Indices of the rows of `days` in these slots."""
        return np.flatnonzero(np.isin(self.slots, slots))

    def recordings_in_slots(self, slots: Int) -> list[str]:
        """The recordings whose rows are in these slots."""
        return self.names(self.day_codes[self.rows_in_slots(slots)])

    def slots_of_recordings(self, recordings: list[str]) -> Int:
        """The slots of these recordings' rows."""
        known = pc.is_in(self.days["recording"], pa.array(recordings, pa.string()))
        return self.slots[np.asarray(known.to_numpy(), bool)]

    def recordings_of_participants(self, participants: frozenset[str]) -> set[str]:
        """The recordings of these participants in any table."""
        known = pa.array(sorted(participants), pa.string())
        tables = (self.days, self.recordings, self.plan)
        found = [pc.unique(table["recording"].filter(pc.is_in(table["participant"], known))) for table in tables]
        return {str(name) for part in found for name in part.to_pylist()}


def span_slots(first: Int, end: Int) -> Int:
    """All slots of the spans, ascending, each once."""
    return np.unique(np.concatenate([np.zeros(0, np.int64), *map(np.arange, first, end)]))


def _ints(column: pa.ChunkedArray | pa.Array) -> Int:
    return np.asarray(pc.fill_null(column, 0).to_numpy(), np.int64)
