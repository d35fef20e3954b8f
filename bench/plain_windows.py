"""The pretext recipe in NumPy and SciPy, one window at a time, as in the `__getitem__` of a data set.

Written for the benchmarks from the published description: a random generator and a branch for each coin flip. The warp
fits a spline per axis, as Um et al. do, or calls SciPy once for all three axes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

Array = NDArray[Any]


def permuted(x_CT: Array, rng: np.random.Generator) -> Array:
    """Four segments longer than 10 ticks in another order; cuts and orders that do not fit are drawn again."""
    while True:
        bounds = np.concatenate(([0], np.sort(rng.integers(11, x_CT.shape[1] - 11, 3)), [x_CT.shape[1]]))
        if np.diff(bounds).min() > 10:
            break
    order = rng.permutation(4)
    while (order == np.arange(4)).all():
        order = rng.permutation(4)
    return np.concatenate([x_CT[:, bounds[i] : bounds[i + 1]] for i in order], axis=1)


def warped(x_CT: Array, rng: np.random.Generator, spline_an_axis: bool) -> Array:
    """Each axis at a speed along a cubic spline over six knots around 1, stretched to the length of the window."""
    axes, ticks = x_CT.shape
    knots, time_T = np.linspace(0, ticks - 1, 6), np.arange(ticks)
    if spline_an_axis:
        speed = np.stack([CubicSpline(knots, rng.normal(1, 0.2, 6))(time_T) for _ in range(axes)])
    else:
        speed = CubicSpline(knots, rng.normal(1, 0.2, (axes, 6)), axis=1)(time_T)
    position = np.cumsum(np.maximum(speed, 0.05), axis=1)
    position -= position[:, :1]
    position *= (ticks - 1) / position[:, -1:]
    return np.stack([np.interp(position[axis], time_T, x_CT[axis]) for axis in range(axes)])


def turn(rng: np.random.Generator) -> Array:
    """A uniform rotation, from a unit quaternion."""
    x, y, z, w = (q := rng.normal(size=4)) / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def view(x_CT: Array, rng: np.random.Generator, jitter_g: float, spline_an_axis: bool) -> tuple[Array, Array]:
    """One window's view and its labels."""
    labels = rng.integers(0, 2, 3)
    if labels[0]:
        x_CT = x_CT[:, ::-1]
    if labels[1]:
        x_CT = permuted(x_CT, rng)
    if labels[2]:
        x_CT = warped(x_CT, rng, spline_an_axis)
    x_CT = turn(rng) @ x_CT[rng.permutation(3)]
    if jitter_g:
        x_CT = x_CT + rng.normal(0, jitter_g, x_CT.shape)
    return x_CT.astype(np.float32), labels
