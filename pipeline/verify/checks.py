"""Check a store from end to end: tables, names of files, contents of days, and how they agree.

The store may be written in the meantime. So an object counts as missing only if its row existed before and after the
listing, and states that every writer passes through are reported, but not as faults.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow.compute as pc

from pipeline.storage.listing import list_files
from pipeline.store.layout import TABLES, TABLES_FOLDER, table_folder
from pipeline.store.lease import Lease
from pipeline.store.store import Store
from pipeline.verify import tables
from pipeline.verify.alignments import findings_of_alignments, read_alignments
from pipeline.verify.choice import Choice
from pipeline.verify.contents import Contents, Int, list_contents
from pipeline.verify.ledger import Ledger
from pipeline.verify.read_days import FIGURES, UNREADABLE, VALUES, check_days
from pipeline.verify.report import Finding, Report, by_id

MISSING, ORPHANS, LEFTOVERS = "missing", "orphans", "leftovers"

TRANSIENT = ("unnoted", "miscounted", "withdrawn", "withdrawals", ORPHANS, LEFTOVERS)
"""Kinds that a store shows for a moment while it is written."""


def check_store(store: Store, choose: Choice) -> Report:
    """Check a store. `choose` selects the slots that are read, among those that have all their objects."""
    report = Report(store.folder.url, being_written=Lease(store.folder).is_held())
    if lost := lost_table_files(store):
        report.findings = [Finding("tables", "missing files of tables; no row can be checked", names=lost)]
        return report
    before = Ledger.read(store)
    contents = list_contents(store.folder, 3 * before.slots.size)
    after = before.refreshed(store)
    missing = np.intersect1d(missing_slots(before, contents), after.slots)
    readable = np.setdiff1d(np.intersect1d(before.slots, after.slots), np.union1d(missing, tables.beyond_slots(after)))
    chosen = choose(readable)
    faulty = check_days(store, after.days.take(after.rows_in_slots(chosen)))
    alignments = read_alignments(store)
    last = after.refreshed(store)
    report.being_written |= last is not before
    report.person_days, report.recordings, report.read = last.slots.size, last.recordings.num_rows, chosen.size
    remaining = {kind: np.intersect1d(slots, last.slots).astype(np.int64) for kind, slots in faulty.items()}
    found = [
        *findings_of_days(np.intersect1d(missing, last.slots), remaining),
        *findings_of_tables(last),
        *findings_of_alignments(alignments, last, store, chosen),
        *findings_of_contents(after, contents),
    ]
    report.findings = [_without_transient_fault(each) if report.being_written else each for each in found if len(each)]
    report.repairable = repairable_recordings(last, found)
    return report


def _without_transient_fault(finding: Finding) -> Finding:
    if finding.kind not in TRANSIENT:
        return finding
    return replace(finding, wrong=False, text=f"{finding.text} (may be normal while the store is written)")


def lost_table_files(store: Store) -> list[str]:
    """Files that the newest version of a table names and that do not exist."""
    existing = {name for name, _ in list_files(store.folder, TABLES_FOLDER)}
    lost = []
    for table in (*(getattr(store, name) for name in TABLES), *store.derived):
        prefix = f"{table_folder(table.name)}/"
        table.refresh()
        files = (uri[uri.rindex(prefix) :] for uri in table.delta.file_uris())
        lost += [file for file in files if file not in existing]
    return sorted(lost)


def missing_slots(ledger: Ledger, contents: Contents) -> Int:
    """Slots of rows that lack an object; a day with nothing measured needs only its state."""
    measured = pc.fill_null(ledger.days["measured_seconds"], 1).to_numpy() > 0
    needed = {"signal": ledger.slots[measured], "motion": ledger.slots[measured], "state": ledger.slots}
    return np.unique(np.concatenate([np.setdiff1d(slots, contents.slots[name]) for name, slots in needed.items()]))


def findings_of_days(missing: Int, faulty: dict[str, Int]) -> list[Finding]:
    """Faults of the objects of rows."""
    return [
        Finding(MISSING, "rows whose objects are missing or empty", _list(missing)),
        Finding(UNREADABLE, "days that cannot be read", _list(faulty[UNREADABLE])),
        Finding(VALUES, "days whose values do not match their checksum", _list(faulty[VALUES])),
        Finding(FIGURES, "days whose states or motion do not match their row", _list(faulty[FIGURES])),
    ]


def findings_of_tables(ledger: Ledger) -> list[Finding]:
    """Faults of rows, whatever the objects are."""
    return [
        Finding("doubled-slots", "slots with two rows", _list(tables.doubled_slots(ledger))),
        Finding("unplanned", "rows in slots that the plan did not give them", _list(tables.unplanned_slots(ledger))),
        Finding("given-twice", "slots given to two recordings", _list(tables.twice_given_slots(ledger))),
        Finding("beyond", "rows beyond the end of the arrays", _list(tables.beyond_slots(ledger))),
        by_id("doubled-days", "recordings with two rows, or two rows of a day", tables.doubled_days(ledger)),
        by_id("unnoted", "recordings with days that are not done", tables.unnoted_recordings(ledger)),
        by_id("miscounted", "recordings with more or fewer days than stated", tables.miscounted_recordings(ledger)),
        by_id("two-people", "recordings of two participants", tables.recordings_of_two_participants(ledger)),
        by_id("withdrawn", "withdrawn participants who are still in a table", tables.withdrawn_with_rows(ledger)),
        by_id("withdrawals", "unfinished withdrawals", sorted(ledger.unfinished)),
        by_id("waiting", "recordings not ingested yet", tables.waiting_recordings(ledger), wrong=False),
    ]


def findings_of_contents(ledger: Ledger, contents: Contents) -> list[Finding]:
    """Files in the store's folder that belong to no row."""
    orphans, fillable = loose_slots(ledger, contents)
    unfinished = [*contents.leftovers, *(f"{key} (upload)" for key, _ in contents.uploads)]
    return [
        Finding(ORPHANS, "slots with objects and no row", _list(orphans)),
        Finding(LEFTOVERS, "unfinished writes", names=unfinished),
        Finding(
            "unlisted",
            "missing permission: whether there are unfinished uploads is unknown",
            names=[contents.missing_permission] if contents.missing_permission else [],
            wrong=False,
        ),
        Finding("fillable", "slots that an unfinished ingest may still complete", _list(fillable), wrong=False),
        Finding("foreign", "files that do not belong to a store", names=contents.foreign, wrong=False),
    ]


def loose_slots(ledger: Ledger, contents: Contents) -> tuple[Int, Int]:
    """Slots with objects and no row: those that never get one, and those an unfinished ingest may complete."""
    loose = np.setdiff1d(contents.slots_of_any(), ledger.slots)
    is_fillable = np.isin(loose, ledger.fillable)
    return loose[~is_fillable], loose[is_fillable]


def repairable_recordings(ledger: Ledger, findings: list[Finding]) -> list[str]:
    """Recordings whose faults another ingest removes; none of participants who withdrew."""
    kinds = (MISSING, UNREADABLE, VALUES, FIGURES, "doubled-slots", "unplanned", "given-twice", "beyond")
    slots = [finding.slots for finding in findings if finding.kind in kinds]
    in_slots = ledger.recordings_in_slots(np.array([slot for part in slots for slot in part], np.int64))
    by_name = (tables.doubled_days, tables.unnoted_recordings, tables.miscounted_recordings)
    found = {*in_slots, *(name for check in by_name for name in check(ledger))}
    return sorted(found - ledger.recordings_of_participants(ledger.withdrawn))


def _list(slots: Int) -> list[int]:
    return [int(slot) for slot in slots]
