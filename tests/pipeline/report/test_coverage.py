"""Conditions by hour and the sample of days, compared with counting."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.report.analysis.coverage import SAMPLE_SIZE, by_hour, sample
from pipeline.store.states import GAP, IDLE, MEASURED, NONWEAR


def test_conditions_by_hour_are_counted_from_the_seconds() -> None:
    random = np.random.default_rng(0)
    state_S = random.choice([0, MEASURED, IDLE, GAP, MEASURED | NONWEAR, IDLE | NONWEAR, GAP | NONWEAR], 86_400)
    counted = [[0] * 24 for _ in range(4)]
    for second, bits in enumerate(state_S.tolist()):
        present, still = bits & (MEASURED | IDLE), bits & NONWEAR
        counted[0 if present and not still else 1 if still else 2 if bits & GAP else 3][second // 3600] += 1
    assert by_hour(state_S.astype(np.uint8)).tolist() == counted


@given(st.integers(0, 3 * SAMPLE_SIZE))
def test_the_sample_of_days_is_bounded_and_reproducible(size: int) -> None:
    slots = np.arange(size) * 3
    chosen = sample(slots)
    assert chosen.size == min(size, SAMPLE_SIZE) == np.unique(chosen).size
    assert np.isin(chosen, slots).all()
    assert sample(np.random.default_rng(size).permutation(slots)).tolist() == chosen.tolist()
