"""A task that aligns a few pairs of recordings. It reads and never writes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ingest.align.pair import Pair, align
from pipeline.errors import UnreadableDay
from pipeline.storage.retry import with_retry
from pipeline.store.alignments import Alignment
from pipeline.store.day_reader import DayReader
from pipeline.store.store import Store

WORKER_BYTES, BYTES_PER_SECOND = 500e6, 150
"""Memory of a worker: libraries, three days fetched from object storage and an hour of each; and the transforms."""


@dataclass(frozen=True)
class Aligned:
    """The rows of a pair; None if a day of it cannot be read, and then nothing is decided."""

    pair: Pair
    rows: list[Alignment] | None


@dataclass(frozen=True)
class AlignTask:
    """Pairs to align, one after the other."""

    store: str
    pairs: tuple[Pair, ...]

    @property
    def name(self) -> str:
        """The name of the task in the log: its first slots."""
        return "slots {} and {}".format(*self.pairs[0].slots)

    @property
    def memory(self) -> float:
        """Bytes that a worker needs for it at most."""
        return WORKER_BYTES + BYTES_PER_SECOND * max(pair.seconds for pair in self.pairs)

    def split(self) -> list[AlignTask]:
        """The same work, one pair per task."""
        return [replace(self, pairs=(pair,)) for pair in self.pairs]

    def __call__(self) -> list[Aligned]:
        """Align the pairs."""
        store = with_retry(lambda: Store.open(self.store))
        with store.days as reader:
            return [Aligned(pair, _rows(pair, store, reader)) for pair in self.pairs]


def _rows(pair: Pair, store: Store, reader: DayReader) -> list[Alignment] | None:
    try:
        return align(pair, reader, store.attributes.counts_per_g)
    except UnreadableDay:
        return None
