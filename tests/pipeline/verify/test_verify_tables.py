"""Tables that contradict each other, the arrays or the withdrawals are found."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.store.schemas import PERSON_DAYS, PLAN
from pipeline.store.schemas import RECORDINGS as RECORDINGS_SCHEMA
from pipeline.store.store import Store
from pipeline.verify import tables
from pipeline.verify.checks import check_store
from pipeline.verify.choice import all_slots, no_slots
from pipeline.verify.ledger import Ledger, span_slots
from tests.pipeline.verify.three_recordings import (
    ANN,
    BOB,
    FIRST,
    RECORDINGS,
    SLOTS,
    done_row,
    found,
    object_of,
    plan_row,
)


def test_rows_that_disagree_with_recordings_are_found(store: Store) -> None:
    """A wrong count, days of a recording that is not done, and of one that was rejected."""
    a, b, c = RECORDINGS
    store.recordings.replace([a, b, c], [done_row(a, ANN, 3), done_row(c, BOB, 2) | {"status": "rejected"}])
    report = check_store(store, all_slots)
    assert found(report) == {"miscounted": [a[:12]], "unnoted": sorted([b[:12], c[:12]])}
    assert report.repairable == sorted(RECORDINGS)


def test_duplicate_slots_and_days_are_found(store: Store) -> None:
    a = next(iter(RECORDINGS))
    (row,) = (row for row in store.person_days.read().to_pylist() if row["slot"] == SLOTS[0])
    store.person_days.append([row])
    assert found(check_store(store, all_slots)) == {
        "doubled-slots": [SLOTS[0]],
        "doubled-days": [a[:12]],
        "miscounted": [a[:12]],
    }


def test_a_slot_planned_twice_is_a_fault_where_it_is_used(store: Store) -> None:
    _, b, c = RECORDINGS
    store.plan.append([plan_row(b, ANN, FIRST[c] + 1, 5)])
    report = check_store(store, no_slots)
    assert found(report) == {"given-twice": [FIRST[c] + 1]}
    assert report.repairable == [c]


def test_rows_that_disagree_with_the_plan_are_found(store: Store) -> None:
    """In slots of another recording, in a day's wrong slot, and beyond the arrays."""
    a, b, c = RECORDINGS
    rows = {row["slot"]: row for row in store.person_days.read().to_pylist()}
    store.person_days.replace(
        [a, b, c],
        [
            rows[0],
            rows[1] | {"day_index": 2},
            rows[3],
            rows[6] | {"recording": b, "participant": ANN},
            rows[7],
        ],
    )
    assert found(check_store(store, no_slots)) == {
        "unplanned": [1, 6],
        "doubled-days": [b[:12]],
        "miscounted": sorted([b[:12], c[:12]]),
    }


def test_days_beyond_shortened_arrays_are_found(store: Store) -> None:
    for name in ("signal", "motion", "state"):
        path = Path(store.folder.path) / name / "zarr.json"
        text = json.loads(path.read_text())
        text["shape"][0] = 7
        path.write_text(json.dumps(text))
    report = check_store(Store.open(store.folder.url), all_slots)
    assert found(report) == {"beyond": [7]}
    assert report.repairable == [list(RECORDINGS)[2]]


def test_participants(store: Store) -> None:
    a, b, _ = RECORDINGS
    store.recordings.replace([b], [done_row(b, BOB, 1)])
    store.withdrawals.begin([BOB], date(2026, 3, 4))
    object_of(store, "signal", FIRST[a]).unlink()
    object_of(store, "signal", FIRST[b]).unlink()
    report = check_store(store, no_slots)
    assert found(report) == {
        "missing": [FIRST[a], FIRST[b]],
        "two-people": [b[:12]],
        "withdrawn": [BOB[:12]],
        "withdrawals": [BOB[:12]],
    }
    assert report.repairable == [a], "recordings of a withdrawn participant are not ingested again"


def test_a_missing_table_file_is_found(store: Store) -> None:
    (uri,) = store.person_days.delta.file_uris()
    Path(uri).unlink()
    report = check_store(Store.open(store.folder.url), all_slots)
    assert found(report) == {"tables": [f"tables/person_days/{Path(uri).name}"]}


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 5)), max_size=8))
def test_span_slots_equal_a_loop(spans: list[tuple[int, int]]) -> None:
    first, size = np.array([a for a, _ in spans], np.int64), np.array([n for _, n in spans], np.int64)
    assert span_slots(first, first + size).tolist() == sorted({a + i for a, n in spans for i in range(n)})


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 12), st.integers(1, 4)), max_size=6, unique_by=lambda row: row[1]
    ),
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 12)), max_size=5),
)
@settings(deadline=None)
def test_checks_of_plan_and_rows_equal_counting(
    plan: list[tuple[int, int, int]], days: list[tuple[int, int, int]]
) -> None:
    """Any plan over a few slots and any rows, nobody done: compared with counting one by one."""
    ledger = Ledger(
        pa.Table.from_pylist(
            [{"recording": f"{name}", "day_index": index, "slot": slot} for name, index, slot in days], PERSON_DAYS
        ).sort_by("slot"),
        pa.Table.from_pylist([], RECORDINGS_SCHEMA),
        pa.Table.from_pylist([plan_row(f"{name}", "p", first, slots) for name, first, slots in plan], PLAN).sort_by(
            "first_slot"
        ),
        frozenset(),
        frozenset(),
        20,
        (0, 0, 0),
    )
    given_slots = [slot for _, first, slots in plan for slot in range(first, first + slots)]
    newest = {name: max(row[1:] for row in plan if row[0] == name) for name, _, _ in plan}
    fillable = {slot for first, slots in newest.values() for slot in range(first, first + slots)}
    used = {slot for _, _, slot in days}
    last = {
        day: max(((first, slots) for name, first, slots in plan if name == day[0] and first <= day[2]), default=None)
        for day in days
    }
    fits = {day for day, row in last.items() if row and row[0] == day[2] - day[1] and day[2] < sum(row)}
    assert set(ledger.fillable.tolist()) == fillable
    twice = {slot for slot in given_slots if given_slots.count(slot) > 1}
    assert set(tables.twice_given_slots(ledger).tolist()) == twice & (used | fillable)
    assert set(tables.unplanned_slots(ledger).tolist()) == {day[2] for day in days if day not in fits}
    assert set(tables.doubled_slots(ledger).tolist()) == {s for s in used if [d[2] for d in days].count(s) > 1}
    assert set(tables.doubled_days(ledger)) == {f"{d[0]}" for d in days if [e[:2] for e in days].count(d[:2]) > 1}
    assert tables.unnoted_recordings(ledger) == sorted({f"{day[0]}" for day in days})
