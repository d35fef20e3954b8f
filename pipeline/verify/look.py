"""One look at a store from end to end: tables, listing, reading, and what follows from them.

A store may be written meanwhile. So a row's objects are missed only if its row stood before and after the
listing, and what every writer leaves for a moment is told and not judged while there is one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow.compute as pc

from pipeline.storage.listing import list_files
from pipeline.store.layout import TABLES, TABLES_FOLDER, table_folder
from pipeline.store.lease import Lease
from pipeline.store.store import Store
from pipeline.verify import tables
from pipeline.verify.days import FIGURES, UNREADABLE, VALUES, check_days
from pipeline.verify.ledger import Ledger
from pipeline.verify.listing import Int, Objects, list_objects
from pipeline.verify.report import Finding, Report, by_id

MISSING, ORPHANS, LEFTOVERS = "missing", "orphans", "leftovers"

PASSING = ("unnoted", "miscounted", "withdrawn", "withdrawals", ORPHANS, LEFTOVERS)
"""Kinds that a store shows for a moment while it is written."""


def look(store: Store, choose: Callable[[Int], Int]) -> Report:
    """What is wrong with a store. `choose` says which of the slots that have their objects are read whole."""
    report = Report(store.folder.url, being_written=Lease(store.folder).is_held())
    if lost := lost_table_files(store):
        report.findings = [Finding("tables", "files of tables that are not there; no row can be judged", names=lost)]
        return report
    before = Ledger.read(store)
    objects = list_objects(store.folder, 3 * before.slots.size)
    after = before.renewed(store)
    missing = np.intersect1d(missing_slots(before, objects), after.slots)
    whole = np.setdiff1d(np.intersect1d(before.slots, after.slots), np.union1d(missing, tables.beyond_slots(after)))
    chosen = choose(whole)
    damaged = check_days(store, after.days.take(after.rows_of(chosen)))
    last = after.renewed(store)
    report.being_written |= last is not before
    report.person_days, report.recordings, report.read = last.slots.size, last.recordings.num_rows, chosen.size
    still = {kind: np.intersect1d(slots, last.slots).astype(np.int64) for kind, slots in damaged.items()}
    found = [*of_days(last, np.intersect1d(missing, last.slots), still), *of_tables(last), *of_objects(after, objects)]
    report.findings = [_passing(each) if report.being_written else each for each in found if len(each)]
    report.mend = recordings_to_mend(last, found)
    return report


def _passing(finding: Finding) -> Finding:
    if finding.kind not in PASSING:
        return finding
    return replace(finding, wrong=False, text=f"{finding.text} (the store is being written: not judged)")


def lost_table_files(store: Store) -> list[str]:
    """Files that a table's newest version names and that are not there."""
    there = {name for name, _ in list_files(store.folder, TABLES_FOLDER)}
    lost = []
    for name in TABLES:
        table = getattr(store, name)
        table.refresh()
        lost += [
            file
            for uri in table.delta.file_uris()
            if (file := uri[uri.rindex(f"{table_folder(name)}/") :]) not in there
        ]
    return sorted(lost)


def missing_slots(ledger: Ledger, objects: Objects) -> Int:
    """Slots of rows that lack an object; a day with nothing measured has a state alone."""
    measured = pc.fill_null(ledger.days["measured_seconds"], 1).to_numpy() > 0
    needed = {"signal": ledger.slots[measured], "motion": ledger.slots[measured], "state": ledger.slots}
    return np.unique(np.concatenate([np.setdiff1d(slots, objects.slots[name]) for name, slots in needed.items()]))


def of_days(ledger: Ledger, missing: Int, damaged: dict[str, Int]) -> list[Finding]:
    """What is wrong with the objects of rows."""
    return [
        Finding(MISSING, "rows whose objects are missing or empty", _list(missing)),
        Finding(UNREADABLE, "days that cannot be read", _list(damaged[UNREADABLE])),
        Finding(VALUES, "days whose values are not those of their checksum", _list(damaged[VALUES])),
        Finding(FIGURES, "days whose states or motion are not those of their row", _list(damaged[FIGURES])),
    ]


def of_tables(ledger: Ledger) -> list[Finding]:
    """What is wrong with rows, whatever the objects are."""
    return [
        Finding("doubled-slots", "slots with two rows", _list(tables.doubled_slots(ledger))),
        Finding("unplanned", "rows in slots that the plan did not give them", _list(tables.unplanned_slots(ledger))),
        Finding("given-twice", "slots given to two recordings", _list(tables.twice_given_slots(ledger))),
        Finding("beyond", "rows beyond the arrays' end", _list(tables.beyond_slots(ledger))),
        by_id("doubled-days", "recordings with a day, or themselves, in two rows", tables.doubled_days(ledger)),
        by_id("unnoted", "recordings with days that are not noted as done", tables.unnoted_recordings(ledger)),
        by_id("miscounted", "recordings with more or fewer days than noted", tables.miscounted_recordings(ledger)),
        by_id("two-people", "recordings that belong to two participants", tables.two_peoples_recordings(ledger)),
        by_id("withdrawn", "people who withdrew and are still in a table", tables.withdrawn_with_rows(ledger)),
        by_id("withdrawals", "withdrawals begun and not completed", sorted(ledger.unfinished)),
        by_id("waiting", "recordings with slots, not brought in yet", tables.waiting_recordings(ledger), wrong=False),
    ]


def of_objects(ledger: Ledger, objects: Objects) -> list[Finding]:
    """What stands in the store's folder and belongs to no row."""
    orphans, fillable = loose_slots(ledger, objects)
    unfinished = [*objects.leftovers, *(f"{key} (upload)" for key, _ in objects.uploads)]
    return [
        Finding(ORPHANS, "slots with objects and no row", _list(orphans)),
        Finding(LEFTOVERS, "unfinished writes", names=unfinished),
        Finding(
            "unlisted",
            "unfinished uploads may not be listed: whether there are any is not known",
            names=[objects.unlisted] if objects.unlisted else [],
            wrong=False,
        ),
        Finding("fillable", "slots that an unfinished ingest may still complete", _list(fillable), wrong=False),
        Finding("foreign", "files that are none of a store's", names=objects.foreign, wrong=False),
    ]


def loose_slots(ledger: Ledger, objects: Objects) -> tuple[Int, Int]:
    """Slots with objects and no row: those that nobody will ever give one, and those an unfinished ingest may."""
    loose = np.setdiff1d(objects.slots_of_any(), ledger.slots)
    waited_for = np.isin(loose, ledger.fillable)
    return loose[~waited_for], loose[waited_for]


def recordings_to_mend(ledger: Ledger, findings: list[Finding]) -> list[str]:
    """Recordings that are whole again once they have been brought in again; not of people who withdrew."""
    kinds = (MISSING, UNREADABLE, VALUES, FIGURES, "doubled-slots", "unplanned", "given-twice", "beyond")
    slots = [finding.slots for finding in findings if finding.kind in kinds]
    of_slots = ledger.recordings_of(np.array([slot for part in slots for slot in part], np.int64))
    by_name = (tables.doubled_days, tables.unnoted_recordings, tables.miscounted_recordings)
    found = {*of_slots, *(name for check in by_name for name in check(ledger))}
    return sorted(found - ledger.recordings_of_people(ledger.withdrawn))


def _list(slots: Int) -> list[int]:
    return [int(slot) for slot in slots]
