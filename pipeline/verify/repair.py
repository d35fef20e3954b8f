"""Repair a store: ingest damaged recordings again, into new slots, and delete what belongs to no row, or is wrong.

Ingest runs as a process of its own, the way users run it: it knows the key, the lease and the rules of slots. Files
are deleted under the lease with the tables fenced, so that no late writer can commit rows for them.
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
from pipeline.verify.alignments import delete_faulty_alignments
from pipeline.verify.checks import check_store, loose_slots
from pipeline.verify.contents import list_contents
from pipeline.verify.ledger import Ledger
from pipeline.verify.report import Report

SLOTS_AT_ONCE = 1000
"""Slots deleted between two checks of the lease."""
INTERRUPTED = (130, -2)


def repair(store: Store, report: Report, ingest_flags: Sequence[str]) -> Report:
    """Repair what `report` found, check the store again, read the recordings ingested again; returns what is left.

    Raises UserError when another run is writing the store, or when ingest would need flags and none are given.
    """
    if report.being_written:
        raise UserError(f"{report.store}: a run is writing this store. Wait for it to end, then repair.")
    if report.of("tables"):
        raise UserError(
            f"{report.store}: files of its tables are missing, and nothing else says what each slot holds. Restore "
            "them from a backup or an older version of the bucket, or ingest into a new store."
        )
    if report.repairable and not ingest_flags:
        raise UserError(
            f"{report.store}: {len(report.repairable):,} recordings have to be ingested again. Give ingest's flags "
            "after two dashes: persondays verify STORE --repair -- --recordings ... --key-file ... --id-regex ..."
        )
    if report.repairable:
        ingest_again(store, report.repairable, ingest_flags)
    delete_loose_files(store, report)
    opened = Store.open(store.folder.url)
    repaired = Ledger.read(opened).slots_of_recordings(report.repairable)
    return check_store(opened, lambda slots: np.intersect1d(slots, repaired))


def ingest_again(store: Store, recordings: Sequence[str], flags: Sequence[str]) -> None:
    """Run `python -m ingest` over these recordings; it reports those it cannot ingest, and the store keeps them."""
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


def delete_loose_files(store: Store, report: Report) -> None:
    """Delete objects without a row, unfinished writes and uploads, and faulty alignments, under the lease."""
    with Lease(store.folder) as lease:
        for name in TABLES:
            getattr(store, name).fence(lease.epoch)
        ledger = Ledger.read(store)
        delete_faulty_alignments(store, lease, report, ledger)
        contents = list_contents(store.folder, 3 * ledger.slots.size)
        orphans, _ = loose_slots(ledger, contents)
        for first in range(0, orphans.size, SLOTS_AT_ONCE):
            lease.check()
            store.delete_days(orphans[first : first + SLOTS_AT_ONCE].tolist())
        lease.check()
        own = f"{LEASE_FOLDER}/.{epoch_file(lease.epoch)}"  # the heartbeat of this process, while it is written
        store.folder.delete([name for name in contents.leftovers if not name.startswith(own)])
        if contents.uploads and (refused := S3Client(store.folder).abort_uploads(contents.uploads)):
            raise StorageError(f"{store.folder.url}: {len(refused):,} unfinished uploads remain ({refused[0][1]}).")
