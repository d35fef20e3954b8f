"""Sums and dot products by explicit vector instructions, compared with NumPy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba.core.errors import TypingError
from numpy.typing import NDArray

from pipeline.numerics.dot import dots
from pipeline.numerics.jit import njit
from pipeline.numerics.moments import moments

SEED = st.integers(0, 1 << 32)


@njit()
def moments_of(x: NDArray[np.int16], begin: int, end: int) -> Any:
    return moments(x, begin, end)


@njit()
def dots_of(
    x: NDArray[np.int16], y: NDArray[np.int16], z: NDArray[np.int16], start: int, taps: NDArray[np.int16], tap: int
) -> Any:
    return dots(x, y, z, start, taps, tap, 48)


@given(SEED, st.integers(0, 130), st.integers(0, 40), st.sampled_from([1, 300, 32_768]))
def test_moments_of_any_run(seed: int, count: int, begin: int, size: int) -> None:
    x = np.random.default_rng(seed).integers(-size, size, begin + count).astype(np.int16)
    run = x[begin:].astype(np.int64)
    expected = (run.sum(), (run**2).sum(), run.min(initial=0), run.max(initial=0))
    assert moments_of(x, begin, begin + count) == expected


@pytest.mark.parametrize("value", [-32_768, 32_767])
def test_moments_of_the_largest_values(value: int) -> None:
    x = np.full(100_000, value, dtype=np.int16)
    assert moments_of(x, 0, x.size) == (value * x.size, value**2 * x.size, min(value, 0), max(value, 0))


@given(SEED, st.integers(0, 20), st.integers(0, 16))
def test_dots_are_exact(seed: int, start: int, tap: int) -> None:
    rng = np.random.default_rng(seed)
    x_3N, taps = rng.integers(-32_768, 32_768, (3, 68)).astype(np.int16), rng.integers(-1300, 1300, 64).astype(np.int16)
    expected = x_3N[:, start : start + 48].astype(np.int64) @ taps[tap : tap + 48]
    x_N, y_N, z_N = x_3N
    assert dots_of(x_N, y_N, z_N, start, taps, tap) == tuple(expected)


def test_values_that_do_not_follow_each_other_in_memory_are_refused() -> None:
    with pytest.raises(TypingError, match="contiguous array of int16"):
        moments_of(np.zeros(8, dtype=np.int16)[::2], 0, 4)
    with pytest.raises(TypingError, match="contiguous array of int16"):
        moments_of(np.zeros(8, dtype=np.int32), 0, 4)
