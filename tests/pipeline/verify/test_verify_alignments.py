"""Alignments that contradict the other tables, each other or the states are found, and deleted by a repair."""

from __future__ import annotations

from dataclasses import asdict, replace

import pyarrow as pa
import pytest

from pipeline import grid
from pipeline.store.alignments import REFUSED, Alignment, read_alignments, write_alignments
from pipeline.store.store import Store
from pipeline.verify.checks import check_store
from pipeline.verify.choice import all_slots, no_slots
from pipeline.verify.repair import repair
from tests.pipeline.verify.three_recordings import FIRST, found

A, B, C = FIRST.values()
"""First slots of two recordings of Ann, and of one of Bob: each has 30 minutes from 9 o'clock."""
GOOD = Alignment(A, B, 0, grid.SECONDS_PER_DAY - 10, 60.0, 0.0, 0.9, "made", 1794, 1789, 1769)
BACK = replace(GOOD, slot=B, other_slot=A, first_second=2, offset_ticks=-60.0)
"""Of 30 minutes shifted by two seconds: 1,800 - 2 - (5 - 1) starts of 5 s."""
REFUSAL = [
    Alignment(A + 1, B, 0, 0, 0.0, 0.0, 0.0, REFUSED + "no clear peak", 0, 0, 0),
    Alignment(B, A + 1, 0, 0, 0.0, 0.0, 0.0, REFUSED + "no clear peak", 0, 0, 0),
]


def test_true_alignments_are_no_faults(store: Store) -> None:
    write_alignments(store, [GOOD, BACK, *REFUSAL])
    assert check_store(store, all_slots).findings == []


@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        ("alignments-slots", [replace(GOOD, other_slot=99), replace(BACK, slot=99)]),
        ("alignments-people", [replace(GOOD, other_slot=C), replace(BACK, slot=C)]),
        ("alignments-people", [replace(GOOD, other_slot=A + 1), replace(BACK, slot=A + 1)]),
        ("alignments-values", [replace(GOOD, seconds=99_999), BACK]),
        ("alignments-values", [replace(GOOD, eligible_10s=1800), BACK]),
        ("alignments-values", [GOOD, replace(BACK, drift_ppm=float("nan"))]),
        ("alignments-twice", [GOOD, GOOD, BACK]),
        ("alignments-one-way", [GOOD]),
        ("alignments-one-way", [GOOD, replace(BACK, offset_ticks=-64.0)]),
        ("alignments-counts", [replace(GOOD, eligible_5s=1793), BACK]),
    ],
)
def test_every_fault_is_found_and_a_repair_deletes_it(store: Store, kind: str, rows: list[Alignment]) -> None:
    write_alignments(store, [*rows, *REFUSAL])
    report = check_store(store, all_slots)
    assert kind in found(report), found(report)
    assert set(found(report)) <= {kind, "alignments-one-way"}
    assert report.repairable == []
    assert found(repair(store, report, [])) == {}
    store.alignments.refresh()
    assert not {row.slot for row in read_alignments(store, store.alignments.version)} & set(report.of(kind).slots)


def test_counts_need_states(store: Store) -> None:
    write_alignments(store, [replace(GOOD, eligible_5s=1793), BACK])
    assert found(check_store(store, no_slots)) == {}


def test_alignments_of_replaced_days_are_no_fault(store: Store) -> None:
    write_alignments(store, [GOOD, BACK])
    row = store.person_days.rows_where(f"slot = {B}", ["recording"]).to_pylist()[0]
    store.person_days.replace([row["recording"]], [])
    report = check_store(store, no_slots)
    assert report.of("alignments-stale").slots == [A, B]
    assert not report.of("alignments-stale").wrong


def test_a_lost_file_of_the_table_is_named(store: Store) -> None:
    write_alignments(store, [GOOD, BACK])
    (name,) = (name for name in store.alignments.folder.names() if name.endswith(".parquet"))
    store.alignments.folder.delete([name])
    assert check_store(Store.open(store.folder.url), no_slots).of("tables").names == [f"tables/alignments/{name}"]


def test_the_rows_are_those_of_the_schema(store: Store) -> None:
    write_alignments(store, [GOOD])
    assert store.alignments.read() == pa.Table.from_pylist([asdict(GOOD)], store.alignments.schema)
