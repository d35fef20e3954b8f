"""Who asked to be forgotten: a file a person, `withdrawn/<keyed hash>`, that holds the date and nothing else.

Written before anything else, without the lease, so that from this moment no ingest that begins takes the person
in and no training run draws the person's days, however long the deletion takes or has to wait.
`<keyed hash>.purged` beside it says that the deletion was completed. Plain files, because they outlive every
table and need no history of their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import date

from pipeline.storage.folder import Folder
from pipeline.store.layout import PURGED, WITHDRAWN_FOLDER

AT_ONCE = 16


class Withdrawals:
    """The withdrawals of one store, as they stand now: every call looks anew."""

    def __init__(self, store: Folder) -> None:
        self.folder = store.folder(WITHDRAWN_FOLDER)

    def participants(self) -> frozenset[str]:
        """Keyed ids of all who have withdrawn, whether their data are purged already or not."""
        return frozenset(name.removesuffix(PURGED) for name in self.folder.names())

    def unfinished(self) -> frozenset[str]:
        """Those whose data may still be there: the deletion was begun and not completed."""
        names = set(self.folder.names())
        return frozenset(name for name in names if not name.endswith(PURGED) and name + PURGED not in names)

    def begin(self, participants: Iterable[str], day: date) -> None:
        """Note that these people withdrew; the date of an earlier note stays."""
        self._write(participants, day)

    def complete(self, participants: Iterable[str], day: date) -> None:
        """Note that nothing of these people is left."""
        self._write((participant + PURGED for participant in participants), day)

    def _write(self, names: Iterable[str], day: date) -> None:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda name: self.folder.create(name, f"{day.isoformat()}\n".encode()), names))
