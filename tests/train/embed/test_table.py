"""Tables of features: ours and those of other programs, read in groups of rows, and refused when they are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import UserError
from train.embed.table import read_index, read_vectors


def write(path: Path, slots: list[int], starts: list[int], vectors: pa.Array, **how: int) -> None:
    pq.write_table(pa.table({"vector": vectors, "start_second": starts, "slot": slots}), path, **how)


def test_a_table_of_another_program_is_read_by_slot(tmp_path: Path) -> None:
    vectors = np.arange(12, dtype=np.float64).reshape(6, 2)
    lists = pa.array(vectors.tolist(), pa.list_(pa.float64()))
    write(tmp_path / "a.parquet", [4, 4, 5, 5, 9, 9], [0, 10, 0, 20, 0, 10], lists, row_group_size=2)
    (tmp_path / "notes.txt").write_text("mine")
    groups = list(read_vectors(str(tmp_path)))
    assert [group.slot_N.tolist() for group in groups] == [[4, 4], [5, 5], [9, 9]]
    assert groups[0].vector_NF.dtype == np.float32
    np.testing.assert_array_equal(np.concatenate([group.vector_NF for group in groups]), vectors)
    (found,) = read_vectors(str(tmp_path / "a.parquet"), slots={5, 7})
    assert (found.slot_N.tolist(), found.start_N.tolist()) == ([5, 5], [0, 20])
    np.testing.assert_array_equal(found.vector_NF, vectors[2:4])
    slot_N, start_N = read_index(str(tmp_path))
    assert (slot_N.tolist(), start_N.tolist()) == ([4, 4, 5, 5, 9, 9], [0, 10, 0, 20, 0, 10])


def test_rows_of_some_slots_in_a_group_are_kept(tmp_path: Path) -> None:
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(6, dtype=np.float32)), 2)
    write(tmp_path / "a.parquet", [1, 2, 3], [0, 0, 0], vectors)
    (found,) = read_vectors(str(tmp_path), slots=[3, 1])
    assert found.slot_N.tolist() == [1, 3]
    np.testing.assert_array_equal(found.vector_NF, [[0, 1], [4, 5]])
    assert list(read_vectors(str(tmp_path), slots=[])) == []


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="found none"):
        list(read_vectors(str(tmp_path)))
    (tmp_path / "a.parquet").write_text("text")
    with pytest.raises(UserError, match="something else"):
        read_index(str(tmp_path))
    pq.write_table(pa.table({"slot": [1], "vector": [[1.0]]}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match="start_second is missing"):
        list(read_vectors(str(tmp_path)))
    write(tmp_path / "a.parquet", [1, 2], [0, 0], pa.array([[1.0], [1.0, 2.0, 3.0]]))
    with pytest.raises(UserError, match="one length"):
        list(read_vectors(str(tmp_path)))
