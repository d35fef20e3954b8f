"""Looking up the rows of single days: in tables of any layout, with little memory, and known again by their digest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import UserError
from train.embed import lookup
from train.embed.lookup import Lookup

FEATURES = 3


def write(path: Path, slots: list[int], starts: list[int], rows_in_group: int = 2, shift: float = 0.0) -> None:
    """Write a file whose vectors are slot, start second and a constant."""
    vector_NF = np.stack([slots, starts, np.full(len(slots), shift)], 1).astype(np.float32)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(vector_NF.ravel()), FEATURES)
    rows = pa.table({"slot": slots, "start_second": starts, "vector": vectors})
    pq.write_table(rows, path, row_group_size=rows_in_group)


def opened(folder: Path) -> tuple[Lookup, dict[int, list[int]]]:
    found = Lookup(str(folder))
    return found, {day.slot: day.start_N.tolist() for day in found.index()}


@pytest.mark.parametrize("kept_bytes", [0, 1 << 30])
def test_rows_of_a_day_are_found_in_any_order_and_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept_bytes: int
) -> None:
    monkeypatch.setattr(lookup, "KEPT_BYTES", kept_bytes)
    write(tmp_path / "a.parquet", [7, 7, 4, 7, 4], [30, 10, 0, 20, 5])
    write(tmp_path / "b.parquet", [9, 9, 9], [50, 40, 50])
    table, days = opened(tmp_path)
    assert days == {4: [0, 5], 7: [10, 20, 30], 9: [40, 50]}
    assert (table.features, table.facts) == (FEATURES, None)
    for slot, starts in days.items():
        assert table.starts(slot).tolist() == starts
        wanted = np.array(starts[::-1] + starts[:1])
        assert table.vectors(slot, wanted).tolist() == [[slot, start, 0] for start in wanted]
    assert len(table._kept) == (1 if kept_bytes == 0 else 5)


def test_a_table_is_known_again_by_its_digest(tmp_path: Path) -> None:
    digests = []
    for name, shift, starts in (("a", 0.0, [0, 1]), ("b", 0.0, [0, 1]), ("c", 0.5, [0, 1]), ("d", 0.0, [0, 2])):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "rows.parquet", [1, 1], starts, shift=shift)
        digests.append(Lookup(str(tmp_path / name)).digest)
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_tables_that_cannot_be_looked_up_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", [1, 2], [0, 0])
    write(tmp_path / "b.parquet", [2, 3], [9, 0])
    with pytest.raises(UserError, match=r"one file, found those of slot 2 in two"):
        opened(tmp_path)
    write(tmp_path / "b.parquet", [3], [86_400])
    with pytest.raises(UserError, match=r"b\.parquet: expected start seconds of 0 to 86399"):
        opened(tmp_path)
    pq.write_table(pa.table({"slot": [3], "start_second": [0], "vector": [[1.0]]}), tmp_path / "b.parquet")
    with pytest.raises(UserError, match="vectors of one length in every row, found others"):
        opened(tmp_path)
    (tmp_path / "a.parquet").unlink()
    pq.write_table(
        pa.table({"slot": [3, 4], "start_second": [0, 0], "vector": [[1.0], [1.0, 2.0]]}), tmp_path / "b.parquet"
    )
    with pytest.raises(UserError, match="found others"):
        opened(tmp_path)
    write(tmp_path / "b.parquet", [], [])
    with pytest.raises(UserError, match="found no rows"):
        opened(tmp_path)
