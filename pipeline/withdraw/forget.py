"""Forgetting people, in an order in which a kill at any moment loses nothing and is made good by the next run.

    noted        withdrawn/<id>: from now on no run that begins takes the person in, and none draws the days
    the lease    one run writes at a time; an ingest that began before the note may still bring the person in
    rows         of person_days, then of recordings: the days are nobody's
    objects      of every slot that no row names but theirs: also of ingests that died, and of late writers
    plan         their rows, by which those slots were known
    the past     of every table: older versions, the log, what killed writers left
    objects      once more: a worker of an ingest that lost its lease may have gone on writing meanwhile
    done         withdrawn/<id>.purged, only when nothing is left

No step depends on what an earlier run has done: each finds by itself what is still there.
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
from pipeline.store.layout import table_folder
from pipeline.store.lease import Lease, LeaseHeld
from pipeline.store.store import Store
from pipeline.store.tables import Table, of_participants
from pipeline.withdraw.files import Files, files_of
from pipeline.withdraw.slots import named_slots

SHOWN = 10
SLOTS_AT_ONCE = 1000


@dataclass(frozen=True)
class Forgotten:
    """What a run found in the store of the people that had to go."""

    people: int
    """Those it was given, and those whom an earlier run did not finish."""
    recordings: int
    person_days: int
    twins: tuple[tuple[int, str], ...]
    """Slots and recordings of others that hold the very values of a day that is gone."""


class Unfinished(UserError):
    """Something of withdrawn people may be left."""


def forget(store: Store, people: Collection[str], today: date, vouched: bool = False) -> Forgotten:
    """Forget these people, and whomever an earlier run did not finish.

    `vouched`: the user answers for older versions where the storage does not tell. Raises LeaseHeld when they are
    noted and another run writes the store, Unfinished when something could not be deleted or may be left.
    """
    store.withdrawals.begin(people, today)
    try:
        with Lease(store.folder) as lease:
            return forget_noted(store, lease, people, today, vouched)
    except LeaseHeld as error:
        raise LeaseHeld(
            f"{error}\nThe withdrawal of {len(store.withdrawals.unfinished()):,} participants is noted: ingests that "
            "begin from now on leave them out, and their days are not drawn for training any more. Nothing of them is "
            "deleted yet. Run the same command again when the other run has ended."
        ) from None


def forget_noted(store: Store, lease: Lease, people: Collection[str], today: date, vouched: bool) -> Forgotten:
    """Forget everybody who is noted, these people among them, under the lease."""
    tables = (store.person_days, store.recordings, store.plan)
    for table in tables:
        table.fence(lease.epoch)
    files = files_of(store)
    begun = store.withdrawals.unfinished()  # asked first: who is noted meanwhile goes, and is not called done
    everyone = store.withdrawals.participants()
    found = look(store, everyone, len(begun | set(people)))
    for table in (store.person_days, store.recordings):
        lease.check()
        table.delete_participants(everyone)
    lease.check()
    empty_slots(store, files, everyone)
    lease.check()
    store.plan.delete_participants(everyone)
    for table in tables:
        lease.check()
        delete_past(table, files)
    files.end_unfinished()
    if not files.left:
        lease.check()
        empty_slots(store, files, everyone)
    require_nothing_left(store, files, vouched or not begun)
    store.withdrawals.complete(begun, today)
    return found


def look(store: Store, everyone: Collection[str], asked: int) -> Forgotten:
    """What there is of the people who are to go, so many of them now."""
    days, *others = (
        table.rows_of_participants(everyone, ["recording"])
        for table in (store.person_days, store.recordings, store.plan)
    )
    rows = pa.concat_tables([days, *others])
    theirs = of_participants(everyone)
    twins = store.person_days.rows_where(
        f"not {theirs} and measured_seconds > 0 and checksum in (select checksum from person_days where {theirs})",
        ["slot", "recording"],
    )
    return Forgotten(
        people=asked,
        recordings=len(pc.unique(rows["recording"])),
        person_days=days.num_rows,
        twins=tuple((row["slot"], row["recording"]) for row in twins.sort_by("slot").to_pylist()),
    )


def empty_slots(store: Store, files: Files, people: Collection[str]) -> None:
    """Delete what stands in slots that no row names but those of these people."""
    named = named_slots(store, but=people)
    store.grow(named.size)  # where the plan reaches further: when it forgets, these slots must not be given again
    slots = np.flatnonzero(~named)
    with Progress("delete", slots.size, "slots") as progress:
        for start in range(0, slots.size, SLOTS_AT_ONCE):
            files.delete_slots(slots[start : start + SLOTS_AT_ONCE].tolist())
            progress.update(min(start + SLOTS_AT_ONCE, slots.size))


def delete_past(table: Table, files: Files) -> None:
    """Delete every file of a table that its newest version does not need, the log first."""
    place = table_folder(table.name)
    needed = {f"{place}/{name}" for name in table.drop_history()}
    past = [file for file in files.below(place) if file.name not in needed or not file.is_newest]
    files.delete(file for file in past if "/_delta_log/" in file.name)
    files.delete(file for file in past if "/_delta_log/" not in file.name)


def require_nothing_left(store: Store, files: Files, vouched: bool) -> None:
    """Raise Unfinished when something was not deleted, or may be left and nobody vouches for it."""
    if files.left:
        more = f" and {len(files.left) - SHOWN:,} more" if len(files.left) > SHOWN else ""
        raise Unfinished(
            f"{store.folder.url}: the storage refused to delete {len(files.left):,} files or versions of files that "
            f"may hold withdrawn people: {', '.join(files.left[:SHOWN])}{more}. The withdrawal stays unfinished. Lift "
            "what protects them (no permission to delete versions, object lock, legal hold) and run the same command "
            "again."
        )
    if files.doubt and not vouched:
        raise Unfinished(
            f"{store.folder.url}: what can be seen of withdrawn people is deleted, but {files.doubt}: older versions "
            "of the deleted files may still hold them. The withdrawal stays unfinished. Give that permission, or "
            "delete older versions by the storage's own means; then run this command again, with --versions-purged."
        )
