"""Counts, bars, quantiles and reasons as a page for release shows them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.report.sections.disclosure import Disclosure, coarse


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_coarse_counts_do_not_reveal_hidden_counts(one: int, other: int) -> None:
    shown = coarse(one)
    assert (shown == "under 5") == (0 < one < 5)
    if shown != "under 5":
        assert abs(int(shown.replace(",", "")) - one) <= 2
    assert Disclosure(for_release=False).count(one) == f"{one:,}"
    share = Disclosure(for_release=True).share(min(one, other), max(one, other))
    if 0 < min(one, other) < 5 or 0 < abs(one - other) < 5:
        assert share == "-"


def test_a_page_for_release_leaves_out_small_bars_and_quantiles() -> None:
    usual, release = Disclosure(), Disclosure(for_release=True)
    counts_B = np.array([0, 1, 4, 5, 12, 13, 250])
    assert usual.bins(counts_B).tolist() == counts_B.tolist()
    assert release.bins(counts_B).tolist() == [0, 0, 0, 5, 10, 15, 250]
    values = np.arange(50.0)
    assert usual.quantile(values, 0.05) == pytest.approx(np.quantile(values, 0.05))
    assert np.isnan(release.quantile(values, 0.05))
    assert release.quantile(values, 0.1) == pytest.approx(np.quantile(values, 0.1))
    assert release.short_ids(["a" * 64]) == ""
    assert usual.short_ids([letter * 64 for letter in "abcdef"]).split()[0] == "a" * 12
