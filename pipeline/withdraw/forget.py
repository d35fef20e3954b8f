"""Delete everything a store holds of participants who withdrew. A run killed at any moment is completed by the next.

    register       withdrawn/<id>: later ingests leave the participant out, and training draws none of the days
    lease          one run writes at a time; an ingest that began before may still add the participant
    rows           of person_days, then of recordings: the days belong to nobody; then alignments of these days
    objects        of every slot that only rows of these participants name, or none: also of killed ingests
    plan           their rows, by which those slots were known
    old versions   of every table: older files, the log, what killed writers left
    objects        again: a worker of an ingest that lost its lease may have written in the meantime
    complete       withdrawn/<id>.purged, only when nothing is left

Every step finds for itself what still exists, so none depends on what an earlier run has done.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UserError
from pipeline.progress import Progress
from pipeline.store.alignments import without_stale_rows
from pipeline.store.layout import table_folder
from pipeline.store.lease import Lease, LeaseHeld
from pipeline.store.store import Store
from pipeline.store.tables import StoreTable, of_participants
from pipeline.withdraw.files import StoreFiles, open_files
from pipeline.withdraw.slots import named_slots

MAX_SHOWN = 10
SLOTS_AT_ONCE = 1000


@dataclass(frozen=True)
class WithdrawalResult:
    """What a run found of the participants whose withdrawal it completed."""

    participants: int
    """Those it was given, and those an earlier run did not complete."""
    recordings: int
    person_days: int
    duplicates: tuple[tuple[int, str], ...]
    """Slots and recordings of other participants that hold the same values as a deleted day."""


class WithdrawalIncomplete(UserError):
    """Data of withdrawn participants may be left."""


def forget(store: Store, participants: Collection[str], today: date, versions_purged: bool = False) -> WithdrawalResult:
    """Delete these participants, and all whose withdrawal an earlier run did not complete.

    `versions_purged`: the user confirms that the storage keeps no older versions, if it cannot report that itself.
    Raises LeaseHeld when they are registered and another run writes the store, WithdrawalIncomplete when something
    could not be deleted or may be left.
    """
    store.withdrawals.begin(participants, today)
    try:
        with Lease(store.folder) as lease:
            return delete_registered(store, lease, participants, today, versions_purged)
    except LeaseHeld as error:
        raise LeaseHeld(
            f"{error}\nThe withdrawal of {len(store.withdrawals.unfinished()):,} participants is registered: ingests "
            "that begin from now on leave them out, and training no longer draws their days. Nothing of them is "
            "deleted yet. Run the same command again when the other run has ended."
        ) from None


def delete_registered(
    store: Store, lease: Lease, participants: Collection[str], today: date, versions_purged: bool
) -> WithdrawalResult:
    """Delete all registered participants, the given ones among them, under the lease."""
    tables = [store.person_days, store.recordings, store.plan, *store.derived]
    for table in tables:
        table.fence(lease.epoch)
    files = open_files(store)
    unfinished = store.withdrawals.unfinished()  # read first: one registered later is deleted, but not marked complete
    everyone = store.withdrawals.participants()
    result = count_rows(store, everyone, len(unfinished | set(participants)))
    for table in (store.person_days, store.recordings):
        lease.check()
        table.delete_participants(everyone)
    delete_alignments(store, lease)
    lease.check()
    delete_unnamed_slots(store, files, everyone)
    lease.check()
    store.plan.delete_participants(everyone)
    for table in tables:
        lease.check()
        delete_old_versions(table, files)
    files.abort_uploads()
    if not files.refused:
        lease.check()
        delete_unnamed_slots(store, files, everyone)
    require_nothing_left(store, files, versions_purged or not unfinished)
    store.withdrawals.complete(unfinished, today)
    return result


def count_rows(store: Store, everyone: Collection[str], participants: int) -> WithdrawalResult:
    """What the tables hold of all registered participants; `participants` is the number this run completes."""
    tables = (store.person_days, store.recordings, store.plan)
    days, *others = (table.rows_of_participants(everyone, ["recording"]) for table in tables)
    rows = pa.concat_tables([days, *others])
    theirs = of_participants(everyone)
    duplicates = store.person_days.rows_where(
        f"not {theirs} and measured_seconds > 0 and checksum in (select checksum from person_days where {theirs})",
        ["slot", "recording"],
    )
    return WithdrawalResult(
        participants=participants,
        recordings=len(pc.unique(rows["recording"])),
        person_days=days.num_rows,
        duplicates=tuple((row["slot"], row["recording"]) for row in duplicates.sort_by("slot").to_pylist()),
    )


def delete_alignments(store: Store, lease: Lease) -> None:
    """Delete the alignments of all days that no table has any more."""
    rows = without_stale_rows(store)
    if rows is not None:
        lease.check()
        store.alignments.overwrite(rows)


def delete_unnamed_slots(store: Store, files: StoreFiles, participants: Collection[str]) -> None:
    """Delete all objects in slots that no row names, apart from rows of these participants in the plan."""
    named = named_slots(store, without=participants)
    store.grow(named.size)  # slots that leave the plan must not be given again: the arrays have to reach beyond them
    slots = np.flatnonzero(~named)
    with Progress("delete", slots.size, "slots") as progress:
        for start in range(0, slots.size, SLOTS_AT_ONCE):
            files.delete_slots(slots[start : start + SLOTS_AT_ONCE].tolist())
            progress.update(min(start + SLOTS_AT_ONCE, slots.size))


def delete_old_versions(table: StoreTable, files: StoreFiles) -> None:
    """Delete every file of a table that its newest version does not need, the log first."""
    folder = table_folder(table.name)
    needed = {f"{folder}/{name}" for name in table.drop_history()}
    old = [file for file in files.versions(folder) if file.name not in needed or not file.is_newest]
    files.delete(file for file in old if "/_delta_log/" in file.name)
    files.delete(file for file in old if "/_delta_log/" not in file.name)


def require_nothing_left(store: Store, files: StoreFiles, versions_purged: bool) -> None:
    """Raise WithdrawalIncomplete when a deletion was refused, or when older versions may remain unseen."""
    if files.refused:
        more = f" and {len(files.refused) - MAX_SHOWN:,} more" if len(files.refused) > MAX_SHOWN else ""
        raise WithdrawalIncomplete(
            f"{store.folder.url}: the storage refused to delete {len(files.refused):,} files or versions of files that "
            f"may hold withdrawn participants: {', '.join(files.refused[:MAX_SHOWN])}{more}. The withdrawal stays "
            "unfinished. Remove what protects them (missing permission to delete versions, object lock, legal hold) "
            "and run the same command again."
        )
    if files.doubt and not versions_purged:
        raise WithdrawalIncomplete(
            f"{store.folder.url}: all visible data of the withdrawn participants are deleted, but {files.doubt}: older "
            "versions of the deleted files may still hold them. The withdrawal stays unfinished. Grant that "
            "permission, or delete older versions with the storage's own tools; then run this command again with "
            "--versions-purged."
        )
