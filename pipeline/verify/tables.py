"""Whether the tables agree with each other: functions of one ledger that return the slots or recordings at fault."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.verify.ledger import DONE, Int, Ledger

CODE_STEP = 1 << 40
"""More than any slot, so that a recording's code and a slot fit into one number."""


def doubled_slots(ledger: Ledger) -> Int:
    """Slots with two rows."""
    return np.unique(ledger.slots[1:][np.diff(ledger.slots) == 0])


def doubled_days(ledger: Ledger) -> list[str]:
    """Recordings with two rows of one day, or with two rows in `recordings`."""
    index = pc.fill_null(ledger.days["day_index"], 0).to_numpy().astype(np.int64)
    keys = np.sort(ledger.day_codes * CODE_STEP + index)
    days = keys[1:][np.diff(keys) == 0] // CODE_STEP
    codes = np.sort(ledger.recording_codes)
    return ledger.names(np.concatenate((days, codes[1:][np.diff(codes) == 0])))


def unplanned_slots(ledger: Ledger) -> Int:
    """Slots of rows that the plan did not assign to the row's recording for that day."""
    first, end = ledger.spans
    if not first.size:
        return ledger.slots
    index = pc.fill_null(ledger.days["day_index"], 0).to_numpy().astype(np.int64)
    order = np.lexsort((first, ledger.plan_codes))
    keys = ledger.plan_codes[order] * CODE_STEP + first[order]
    row = ledger.day_codes * CODE_STEP + ledger.slots
    at = order[np.maximum(np.searchsorted(keys, row, side="right") - 1, 0)]
    given = (ledger.plan_codes[at] == ledger.day_codes) & (ledger.slots < end[at]) & (ledger.slots - index == first[at])
    return np.unique(ledger.slots[~given])


def twice_given_slots(ledger: Ledger) -> Int:
    """Slots that two rows of the plan assigned, and that a row uses or may still use; others do no harm."""
    first, end = ledger.spans
    before = np.concatenate(([0], np.maximum.accumulate(end)))[:-1] if first.size else end
    overlap = first < before
    spans = [np.arange(a, b) for a, b in zip(first[overlap], np.minimum(end, before)[overlap], strict=True)]
    twice = np.unique(np.concatenate([np.zeros(0, np.int64), *spans]))
    return twice[np.isin(twice, ledger.slots) | np.isin(twice, ledger.fillable)]


def beyond_slots(ledger: Ledger) -> Int:
    """Slots of rows beyond the end of the arrays."""
    return np.unique(ledger.slots[ledger.slots >= ledger.length])


def unnoted_recordings(ledger: Ledger) -> list[str]:
    """Recordings with rows of days that are not done in `recordings`: an ingest stopped between its two commits."""
    done = ledger.recording_codes[np.asarray(pc.equal(ledger.recordings["status"], DONE).to_numpy(), bool)]
    return ledger.names(np.setdiff1d(ledger.day_codes, done))


def miscounted_recordings(ledger: Ledger) -> list[str]:
    """Done recordings with more or fewer rows of days than `recordings` says."""
    done = ledger.recordings.filter(pc.equal(ledger.recordings["status"], DONE))
    codes = ledger.codes(done["recording"])
    expected = pc.fill_null(done["person_days"], 0).to_numpy()
    return ledger.names(codes[np.bincount(ledger.day_codes, minlength=len(ledger.ids))[codes] != expected])


def recordings_of_two_participants(ledger: Ledger) -> list[str]:
    """Recordings for which the tables name two participants."""
    pairs = pa.concat_tables(
        [table.select(["recording", "participant"]) for table in (ledger.days, ledger.recordings, ledger.plan)]
    )
    counts = pairs.group_by("recording").aggregate([("participant", "count_distinct")])
    return sorted(counts.filter(pc.greater(counts["participant_count_distinct"], 1))["recording"].to_pylist())


def withdrawn_with_rows(ledger: Ledger) -> list[str]:
    """Participants who withdrew and are still in a table."""
    withdrawn = pa.array(sorted(ledger.withdrawn), pa.string())
    tables = (ledger.days, ledger.recordings, ledger.plan)
    found = [pc.unique(table["participant"].filter(pc.is_in(table["participant"], withdrawn))) for table in tables]
    return sorted({participant for part in found for participant in part.to_pylist()})


def waiting_recordings(ledger: Ledger) -> list[str]:
    """Recordings with slots in the plan and no row in `recordings`: an ingest is not finished."""
    return ledger.names(np.setdiff1d(ledger.plan_codes, ledger.recording_codes))
