"""How many requests an ingest run makes to object storage, by kind: counted once, checked by a test.

`tests/ingest/capacity/test_capacity_requests.py` compares these counts with the log of a real S3 server. Storage prices
LIST like PUT and HEAD like GET, so these kinds are enough.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.storage.s3_read import PART_BYTES

LIST_NAMES = 1000
"""Names in the answer to one LIST."""


@dataclass(frozen=True)
class Requests:
    """Numbers of requests; `get` includes HEAD."""

    get: float = 0
    list: float = 0
    put: float = 0

    def __add__(self, other: Requests) -> Requests:
        return Requests(self.get + other.get, self.list + other.list, self.put + other.put)

    def __mul__(self, times: float) -> Requests:
        return Requests(self.get * times, self.list * times, self.put * times)

    @property
    def total(self) -> float:
        """All of them."""
        return self.get + self.list + self.put


PROBE = Requests(get=3)
"""A plain recording: its size, its head, its tail."""
OPEN_STORE = Requests(get=4, list=1)
"""Requests of a task before its first day: the store's metadata, and a check of the lease."""
PERSON_DAY = Requests(put=3)
"""Three objects, one PUT each."""
COMMIT = Requests(get=6, list=10, put=4)
"""Two tables, a row file and a log entry each, and a check of the lease."""
RUN = Requests(get=100, list=70, put=20)
"""Once per run: creating and opening the store, lease and fences, the first plan, compaction of a few files."""
BEAT = Requests(put=1)
"""A heartbeat of the lease."""


def read_requests(bytes_each: float) -> Requests:
    """Requests to fetch one recording of this many bytes."""
    return Requests(get=max(1, -(-bytes_each // PART_BYTES)))
