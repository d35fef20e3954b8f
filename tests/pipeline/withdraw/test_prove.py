"""The proof finds every trace of a withdrawn participant, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import UserError
from pipeline.store.lease import Lease
from pipeline.store.store import Store
from pipeline.withdraw.prove import prove
from tests.pipeline import six_participants as people
from tests.pipeline.six_participants import ANN, BOB, DORA, EMIL, KEY, TODAY, files_in


@pytest.mark.parametrize(
    ("id_", "before"),
    [(ANN, 0), (people.recordings_of(ANN)[1], 7), (DORA, (1 << 25) - 30), (ANN, (1 << 25) + 100)],
)
def test_an_id_is_found_at_any_offset(withdrawn: Store, id_: str, before: int) -> None:
    file = Path(withdrawn.folder.path) / "signal" / "c" / "3" / "0" / "0"
    file.write_bytes(b"\xff" * before + id_.encode() + b"\xff" * 50)
    with pytest.raises(UserError, match=f"signal/c/3/0/0: an id .{id_[:12]}"):
        prove(withdrawn)


def test_adjacent_ids_are_found(withdrawn: Store) -> None:
    (Path(withdrawn.folder.path) / "lease" / "x").write_text(BOB + ANN + BOB)
    with pytest.raises(UserError, match=ANN[:12]):
        prove(withdrawn)


def test_an_id_in_a_nested_column_is_found(withdrawn: Store) -> None:
    kind = pa.struct([("path", pa.string()), ("tags", pa.map_(pa.string(), pa.string()))])
    rows = pa.array([{"path": "x", "tags": [("predicate", f"participant = '{ANN}'")]}] * 2, kind)
    path = Path(withdrawn.folder.path) / "tables" / "old.parquet"
    pq.write_table(pa.table({"remove": rows}), path, compression="zstd")
    with pytest.raises(UserError, match=r"tables/old.parquet: an id in the column remove"):
        prove(withdrawn)


def test_ids_of_remaining_participants_are_not_traces(withdrawn: Store) -> None:
    """Ids of participants who stay, of their recordings, of a device that Ann wore too; days replaced since."""
    log = Path(withdrawn.folder.path) / "lease" / "note"
    log.write_text(f"{BOB} {people.recordings_of(EMIL)[0]} {people.SHARED_DEVICE} {KEY.check}")
    withdrawn.person_days.replace(people.recordings_of(BOB), [people.day_row(BOB, 0, 3, 0, "1" * 64)])
    proof = prove(withdrawn)
    every = files_in(withdrawn.folder.path)
    assert (proof.files, proof.bytes) == (len(every), sum(map(len, every.values())))
    assert proof.foreign == 0


def test_rows_of_a_withdrawn_participant_are_a_trace(withdrawn: Store) -> None:
    withdrawn.recordings.append([people.recording_row(ANN, 0, 1)])
    with pytest.raises(UserError, match=f"tables/recordings: rows of a participant .{ANN[:12]}"):
        prove(withdrawn)


def test_an_unfinished_withdrawal_is_not_proven(withdrawn: Store) -> None:
    withdrawn.withdrawals.begin([BOB], TODAY)
    with pytest.raises(UserError, match="1 withdrawals are not finished"):
        prove(withdrawn)


def test_without_a_withdrawal_there_is_nothing_to_prove(store: Store) -> None:
    with pytest.raises(UserError, match="nobody has withdrawn"):
        prove(store)


def test_nothing_is_proven_while_another_run_writes(withdrawn: Store) -> None:
    with (
        Lease(withdrawn.folder, heartbeat_s=0.1),
        pytest.raises(UserError, match="another run is writing"),
    ):
        prove(withdrawn)
