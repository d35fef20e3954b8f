"""Edges of histograms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.report.sections.disclosure import Disclosure
from pipeline.report.sections.drawing import edges


@pytest.mark.parametrize("log", [False, True])
@given(values=st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), max_size=60))
def test_edges_increase_and_include_the_quartiles(log: bool, values: list[float]) -> None:
    array = np.array(values, dtype=float)
    shown = array[array > 1e-300] if log else array
    array = array[np.isin(array, shown) | (array <= 0)]
    found = edges(array, Disclosure(), log=log)
    if not shown.size:
        assert found is None
        return
    assert found is not None
    assert (np.diff(found) > 0).all()
    first, third = np.quantile(shown, [0.25, 0.75], method="nearest")
    assert found[0] <= first + 1e-9 * abs(first)
    assert found[-1] >= third - 1e-9 * abs(third)
