"""Mending a store: what is damaged is brought in again by ingest itself, into new slots; what is nobody's is deleted.

Ingest runs as a process of its own, as users run it: it holds the key, the lease and the law of slots. What
follows is done here under the lease, with the tables fenced, so that no late writer can commit what is deleted.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence

import numpy as np

from pipeline.errors import UserError
from pipeline.storage.folder import StorageError
from pipeline.storage.s3 import S3Client
from pipeline.store.layout import LEASE_FOLDER, TABLES, epoch_file
from pipeline.store.lease import Lease
from pipeline.store.store import Store
from pipeline.verify.ledger import Ledger
from pipeline.verify.listing import list_objects
from pipeline.verify.look import look, loose_slots
from pipeline.verify.report import Report

AT_ONCE = 1000
"""Slots that are deleted between two looks at the lease."""
INTERRUPTED = (130, -2)


def repair(store: Store, report: Report, ingest_flags: Sequence[str]) -> Report:
    """Mend what `report` found and look again, reading the recordings that were brought in; gives what is left.

    Raises UserError when another run is writing the store, or when ingest would need flags and has none.
    """
    if report.being_written:
        raise UserError(f"{report.store}: a run is writing this store. Wait for it to end, then repair.")
    if report.of("tables"):
        raise UserError(
            f"{report.store}: files of its tables are gone, and with them what every slot is. Bring them back from a "
            "backup or an older version of the bucket, or ingest into a new store."
        )
    if report.mend and not ingest_flags:
        raise UserError(
            f"{report.store}: {len(report.mend):,} recordings have to be ingested again. Give what ingest needs after "
            "two dashes: persondays verify STORE --repair -- --recordings ... --key-file ... --id-regex ..."
        )
    if report.mend:
        ingest_again(store, report.mend, ingest_flags)
    tidy(store)
    opened = Store.open(store.folder.url)
    mended = Ledger.read(opened).slots_of(report.mend)
    return look(opened, lambda slots: np.intersect1d(slots, mended))


def ingest_again(store: Store, recordings: Sequence[str], flags: Sequence[str]) -> None:
    """Run `python -m ingest` over these recordings; what it cannot bring in it tells, and the store keeps."""
    with tempfile.NamedTemporaryFile("w", prefix="again-", suffix=".txt") as again:
        again.write("\n".join(recordings) + "\n")
        again.flush()
        command = [sys.executable, "-m", "ingest", *flags, "--store", store.folder.url, "--again", again.name]
        process = subprocess.Popen(command, env=os.environ)
        try:
            status = process.wait()
        except KeyboardInterrupt:
            process.wait()
            raise
    if status in INTERRUPTED:
        raise KeyboardInterrupt


def tidy(store: Store) -> None:
    """Delete objects of no row, unfinished writes and unfinished uploads, under the lease."""
    with Lease(store.folder) as lease:
        for name in TABLES:
            getattr(store, name).fence(lease.epoch)
        ledger = Ledger.read(store)
        objects = list_objects(store.folder, 3 * ledger.slots.size)
        orphans, _ = loose_slots(ledger, objects)
        for first in range(0, orphans.size, AT_ONCE):
            lease.check()
            store.delete_days(orphans[first : first + AT_ONCE].tolist())
        lease.check()
        ours = f"{LEASE_FOLDER}/.{epoch_file(lease.epoch)}"  # a heartbeat in the making
        store.folder.delete([name for name in objects.leftovers if not name.startswith(ours)])
        if objects.uploads and (refused := S3Client(store.folder).abort_uploads(objects.uploads)):
            raise StorageError(f"{store.folder.url}: {len(refused):,} unfinished uploads stay ({refused[0][1]}).")
