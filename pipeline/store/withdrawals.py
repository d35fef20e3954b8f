"""Who withdrew: one file per participant, `withdrawn/<keyed id>`, that holds the date and nothing else.

It is written first, without the lease: from then on every ingest that begins leaves the participant out, and no
training run draws the days, however long the deletion takes or has to wait. `<keyed id>.purged` beside it says that
the deletion is complete. These are plain files because they outlive every table and need no history.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import date

from pipeline.storage.folder import Folder
from pipeline.store.layout import PURGED, WITHDRAWN_FOLDER

WRITES_AT_ONCE = 16


class Withdrawals:
    """The withdrawals of a store. Every call reads the current state."""

    def __init__(self, store: Folder) -> None:
        self.folder = store.folder(WITHDRAWN_FOLDER)

    def participants(self) -> frozenset[str]:
        """Keyed ids of all who withdrew, whether or not their data are deleted yet."""
        return frozenset(name.removesuffix(PURGED) for name in self.folder.names())

    def unfinished(self) -> frozenset[str]:
        """Keyed ids of those whose deletion is not complete."""
        names = set(self.folder.names())
        return frozenset(name for name in names if not name.endswith(PURGED) and name + PURGED not in names)

    def begin(self, participants: Iterable[str], day: date) -> None:
        """Register that these participants withdrew; the date of an earlier withdrawal stays."""
        self._write(participants, day)

    def complete(self, participants: Iterable[str], day: date) -> None:
        """Register that nothing of these participants is left."""
        self._write((participant + PURGED for participant in participants), day)

    def _write(self, names: Iterable[str], day: date) -> None:
        with ThreadPoolExecutor(WRITES_AT_ONCE) as pool:
            list(pool.map(lambda name: self.folder.create(name, f"{day.isoformat()}\n".encode()), names))
