"""A withdrawal deletes the alignments of both days, in every version of the table, and the proof covers them."""

from __future__ import annotations

import pytest

from pipeline.errors import UserError
from pipeline.store.alignments import Alignment, read_alignments, write_alignments
from pipeline.store.store import Store
from pipeline.withdraw.forget import forget
from pipeline.withdraw.prove import prove
from tests.pipeline.six_participants import ANN, DORA, TODAY, files_in, reopen


def row(slot: int, other: int) -> Alignment:
    return Alignment(slot, other, 0, 86_400, 0.0, 0.0, 0.9, "made", 0, 0, 0)


def slots_in(store: Store) -> set[tuple[int, int]]:
    store.alignments.refresh()
    return {(row.slot, row.other_slot) for row in read_alignments(store, store.alignments.version)}


def test_rows_of_either_day_are_deleted_and_nothing_is_left_of_older_versions(store: Store) -> None:
    write_alignments(store, [row(2, 5), row(5, 2)])  # Ann's
    write_alignments(store, [row(3, 4), row(4, 3)])  # Bob's
    forget(store, [ANN, DORA], TODAY)
    later = reopen(store)
    assert slots_in(later) == {(3, 4), (4, 3)}
    assert prove(later).participants == 2
    data = [name for name in files_in(store.folder.path) if name.startswith("tables/alignments/part")]
    assert len(data) == 1


def test_a_withdrawal_before_any_alignment_creates_no_table(store: Store) -> None:
    forget(store, [ANN, DORA], TODAY)
    assert not reopen(store).alignments.exists


def test_the_proof_finds_an_alignment_of_a_withdrawn_day_in_a_file_of_an_older_version(withdrawn: Store) -> None:
    write_alignments(withdrawn, [row(2, 5), row(5, 2)])
    with pytest.raises(UserError, match=r"tables/alignments/.*: alignments of a slot that no row names"):
        prove(withdrawn)
    withdrawn.alignments.overwrite(withdrawn.alignments.schema.empty_table())
    with pytest.raises(UserError, match=r"tables/alignments/.*: alignments of a slot that no row names"):
        prove(reopen(withdrawn))
    forget(reopen(withdrawn), [], TODAY)
    prove(reopen(withdrawn))


def test_alignments_of_participants_who_stay_are_no_trace(withdrawn: Store) -> None:
    write_alignments(withdrawn, [row(3, 4), row(4, 3)])
    assert prove(withdrawn).files == len(files_in(withdrawn.folder.path))
