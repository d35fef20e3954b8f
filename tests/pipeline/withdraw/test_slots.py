"""Slots covered by spans, compared with counting."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.withdraw.slots import covered_slots


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 9)), max_size=8), st.sets(st.integers(0, 49), max_size=5))
def test_covered_slots_equal_counting(spans: list[tuple[int, int]], single: set[int]) -> None:
    first, sizes = np.array(spans, np.int64).reshape(-1, 2).T
    expected = single.union(*(range(start, start + size) for start, size in spans))
    found = covered_slots(50, first, first + sizes, np.array(sorted(single), np.int64))
    assert set(np.flatnonzero(found)) == expected
