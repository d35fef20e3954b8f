"""What killed and late writers leave after a withdrawal: the proof finds it, the next withdrawal deletes it."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import UserError
from pipeline.store.layout import ARRAYS
from pipeline.store.store import Store
from pipeline.withdraw.forget import forget
from pipeline.withdraw.prove import prove
from tests.pipeline import six_participants as people
from tests.pipeline.six_participants import ANN, BOB, DORA, EMIL, TODAY, reopen


def assert_found_and_deleted(store: Store, where: str) -> None:
    with pytest.raises(UserError, match=re.escape(where)) as raised:
        prove(store)
    assert not re.search("[0-9a-f]{64}", str(raised.value))
    forget(reopen(store), [], TODAY)
    assert prove(reopen(store)).participants == 2
    assert people.days_of(reopen(store), [BOB, EMIL]).keys() == {3, 4, 10}


@pytest.mark.parametrize("array", ARRAYS)
def test_objects_of_a_late_worker_are_found_and_deleted(withdrawn: Store, array: str) -> None:
    withdrawn._arrays[array][8] = getattr(
        people.a_day(1), {"signal": "signal_CT", "motion": "motion_S", "state": "state_S"}[array]
    )
    assert_found_and_deleted(withdrawn, f"{array}/c/8/")


def test_partial_files_of_a_killed_worker_are_found_and_deleted(withdrawn: Store) -> None:
    left = Path(withdrawn.folder.path) / "signal" / "c" / "5" / "0" / "0.1234.partial"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half a day")
    assert_found_and_deleted(withdrawn, "signal/c/5/0/0.1234.partial")


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("_delta_log/_commit_1.json.tmp", ANN),
        ("_delta_log/00000000000000000002.json", people.recordings_of(ANN)[0]),
        ("part-0.parquet", people.recordings_of(DORA)[0]),
        ("part-0.parquet#1", "cut off"),
        (f"{ANN}.txt", ""),
    ],
)
def test_table_files_of_no_version_are_found_and_deleted(withdrawn: Store, name: str, what: str) -> None:
    path = Path(withdrawn.folder.path) / "tables" / "plan" / name
    if name.endswith(".parquet"):
        pq.write_table(pa.table({"recording": [what] * 3}), path, compression="zstd")
    else:
        path.write_text(f'{{"predicate": "recording in (\'{what}\')"}}')
    assert_found_and_deleted(withdrawn, f"tables/plan/{name}" if what else "tables/plan/")
