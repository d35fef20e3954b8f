"""Least squares with a continuous piecewise-linear function (de Boor 1978, A Practical Guide to Splines)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.numerics.jit import njit


@njit(cache=True, nogil=True)
def hat_fit(knot_Q: NDArray[np.float64], x: NDArray[np.int64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values at the knots of the continuous piecewise-linear function that is nearest to y(x) in least squares.

    x ascends; the end pieces extend to points beyond the end knots. Every piece has points.
    """
    size = knot_Q.size
    diagonal, beside, right = np.zeros(size), np.zeros(size), np.zeros(size)
    q = 0
    for i in range(x.size):
        while q < size - 2 and x[i] >= knot_Q[q + 1]:
            q += 1
        w = (x[i] - knot_Q[q]) / (knot_Q[q + 1] - knot_Q[q])
        diagonal[q] += (1 - w) * (1 - w)
        beside[q] += (1 - w) * w
        diagonal[q + 1] += w * w
        right[q] += (1 - w) * y[i]
        right[q + 1] += w * y[i]
    for q in range(1, size):
        ratio = beside[q - 1] / diagonal[q - 1]
        diagonal[q] -= ratio * beside[q - 1]
        right[q] -= ratio * right[q - 1]
    value = np.empty(size)
    value[size - 1] = right[size - 1] / diagonal[size - 1]
    for q in range(size - 2, -1, -1):
        value[q] = (right[q] - beside[q] * value[q + 1]) / diagonal[q]
    return value
