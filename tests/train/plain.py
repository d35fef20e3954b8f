"""The pretext tasks in plain NumPy and SciPy, one window at a time, with the project's random numbers.

Written from the papers and the documented law, in float64, as clearly as possible: the reference for the batched
transforms.
"""

from __future__ import annotations

from itertools import permutations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from train.random import Purpose, WindowRandom

Array = NDArray[np.float64]


def randoms(count: int, seed: int = 11) -> WindowRandom:
    """Random numbers for windows of many lanes, rounds, slots and starts."""
    index = torch.arange(count)
    return WindowRandom.of(seed, index % 64, index // 64, index * 31 % 5000, index * 17 % 86400)


def at(random: WindowRandom, chosen: torch.Tensor) -> WindowRandom:
    """Random numbers of the chosen windows."""
    return WindowRandom(random.key0[chosen], random.key1[chosen], random.slot[chosen], random.start[chosen])


def movement(count: int, ticks: int) -> torch.Tensor:
    """Smooth windows in g: gravity and a few harmonics of a walk, different in every window and axis."""
    generator = np.random.default_rng(3)
    seconds = np.arange(ticks) / 30
    x = generator.normal(0, 0.6, (count, 3, 1)) + np.zeros(ticks)
    for harmonic in (1, 2, 3):
        rate, phase = generator.uniform(0.7, 1.1, (count, 1, 1)) * harmonic, generator.uniform(0, 6.28, (count, 3, 1))
        x += generator.uniform(0, 0.3, (count, 3, 1)) / harmonic * np.sin(2 * np.pi * rate * seconds + phase)
    return torch.tensor(x, dtype=torch.float32)


def impacts(count: int, ticks: int) -> torch.Tensor:
    """The roughest windows possible: every tick is random between -8 and 8 g."""
    return 16 * torch.rand(count, 3, ticks, generator=torch.Generator().manual_seed(8)) - 8


def numbers(random: WindowRandom, purpose: Purpose, count: int, normal: bool = False) -> Array:
    """Uniform or normal numbers (windows, count)."""
    return (random.normal if normal else random.uniform)(purpose, count).numpy().astype(float)


def scaled(x_CT: Array, uniform: Array) -> Array:
    factor = np.where(uniform < 0.5, 0.5 + 0.7 * uniform, 1.15 + 0.7 * (uniform - 0.5))
    return x_CT * factor[:, None]


def segments(ticks: int, uniform: Array) -> tuple[list[slice], tuple[int, ...]]:
    """The four segments, and their new order."""
    share = np.float32(ticks - 44 + 1)
    cut = [int(np.float32(value) * share) for value in sorted(uniform[:3])]
    bounds = [0, cut[0] + 11, cut[1] + 22, cut[2] + 33, ticks]
    order = [order for order in permutations(range(4)) if order != (0, 1, 2, 3)][int(uniform[3] * 23)]
    return [slice(*bounds[i : i + 2]) for i in range(4)], order


def permuted(x_CT: Array, uniform: Array) -> Array:
    parts, order = segments(x_CT.shape[1], uniform)
    return np.concatenate([x_CT[:, parts[i]] for i in order], 1)


def pace(knots: Array, ticks: int) -> Array:
    """Um et al.'s curve at every tick (scipy's default spline), pulled towards 1 if it falls below 0.05."""
    place = np.linspace(0, ticks - 1, 6)
    slowest = CubicSpline(place, knots)(np.linspace(0, ticks - 1, 51)).min()
    if slowest < 0.05:
        knots = 1 + (knots - 1) * 0.95 / (1 - slowest)
    return CubicSpline(place, knots)(np.arange(ticks))


def warped_positions(knots: Array, ticks: int) -> Array:
    speed = pace(knots, ticks)
    position = np.cumsum(speed) - speed[0]
    return position * (ticks - 1) / position[-1]


def warped(x_CT: Array, normal: Array) -> Array:
    """Each axis read by numpy's interpolation, its knots from 6 of 18 normal numbers."""
    ticks = x_CT.shape[1]
    knots = 1 + 0.2 * normal.reshape(3, 6)
    return np.stack([np.interp(warped_positions(knots[c], ticks), np.arange(ticks), x_CT[c]) for c in range(3)])


def axes_permuted(x_CT: Array, uniform: Array) -> Array:
    return x_CT[list(list(permutations(range(3)))[int(np.float32(uniform[0]) * np.float32(6))])]


def turn(uniform: Array) -> Array:
    """The matrix of v -> q v q* for Shoemake's quaternion, by quaternion products."""
    first, second, (a, b) = np.sqrt(1 - uniform[0]), np.sqrt(uniform[0]), 2 * np.pi * uniform[1:]
    vector, scalar = np.array([first * np.sin(a), first * np.cos(a), second * np.sin(b)]), second * np.cos(b)
    columns = []
    for unit in np.eye(3):
        cross = np.cross(vector, unit)
        columns.append(unit + 2 * scalar * cross + 2 * np.cross(vector, cross))
    return np.stack(columns, 1)


def views(x_BCT: torch.Tensor, random: WindowRandom, labels: NDArray[np.bool_], jitter_g: float) -> Array:
    """All transforms: the four tasks (labels in their order), axis permutation, rotation and jitter."""
    ticks = x_BCT.shape[2]
    scaling, permutation = numbers(random, Purpose.SCALING, 3), numbers(random, Purpose.PERMUTATION, 4)
    warp, axes = numbers(random, Purpose.WARP, 18, normal=True), numbers(random, Purpose.AXES, 1)
    rotation, jitter = numbers(random, Purpose.ROTATION, 3), numbers(random, Purpose.JITTER, 3 * ticks, normal=True)
    seen = []
    for window, x_CT in enumerate(x_BCT.double().numpy()):
        if labels[window, 0]:
            x_CT = x_CT[:, ::-1]
        if labels[window, 1]:
            x_CT = scaled(x_CT, scaling[window])
        if labels[window, 2]:
            x_CT = permuted(x_CT, permutation[window])
        if labels[window, 3]:
            x_CT = warped(x_CT, warp[window])
        x_CT = turn(rotation[window]) @ axes_permuted(x_CT, axes[window])
        seen.append(x_CT + jitter_g * jitter[window].reshape(3, ticks))
    return np.stack(seen)
