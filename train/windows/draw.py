"""Draw a day's windows: without replacement, with probability by the window's mean motion.

An exponential race (Efraimidis and Spirakis 2006, doi:10.1016/j.ipl.2005.11.003): every eligible start
runs a time that is exponential with rate its weight; the first `quota` to arrive are drawn. Each start
has its own counter-based number, so a draw does not depend on anything but its own key. Compiled, because a
day is 86,400 starts and a core is to draw more than a hundred days a second.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipeline.states import BAD, MEASURED, NONWEAR
from train.random import Purpose, philox_one

MOTION_FLOOR_G = 1e-6

_DRAW = int(Purpose.DRAW)

Float = NDArray[np.float64]
Int = NDArray[np.int64]


def draw(
    motion_S: NDArray[np.float32],
    state_S: NDArray[np.uint8],
    seconds: int,
    quota: int,
    key: tuple[int, int],
    slot: int,
    after: int = 0,
    spacing: int = 1,
) -> Int:
    """Start seconds of `quota` windows, ascending, int64; the first `after` to arrive are passed over.

    With a `spacing` above 1, a start that is less than so many seconds from an earlier arrival is passed over as
    well. Raises ValueError when fewer starts are left.
    """
    weight_S = weights(motion_S, state_S, seconds)
    start_N, arrival_N = arrivals(weight_S, key[0], key[1], slot)
    if spacing > 1:
        in_order = _spaced(start_N[np.argsort(arrival_N, kind="stable")], weight_S.size, spacing)
        available, drawn = in_order.size, np.sort(in_order[after : after + quota])
    else:
        available, drawn = start_N.size, _first(start_N, arrival_N, after, after + quota)
    if available < after + quota:
        raise ValueError(f"{after + quota} windows were asked of slot {slot}, which has {available} to give")
    return drawn


@njit(cache=True, nogil=True)
def weights(motion_S: NDArray[np.float32], state_S: NDArray[np.uint8], seconds: int) -> Float:
    """Weight of every start second: the mean motion of its window in g (at least 1e-6), 0 where it is not eligible.

    Shapes (S,). The means are differences of one running sum.
    """
    weight_S = np.zeros(motion_S.size)
    total_S = np.empty(motion_S.size + 1)
    total_S[0] = 0.0
    run = 0
    for s in range(motion_S.size):
        if state_S[s] & (MEASURED | NONWEAR | BAD) == MEASURED:
            total_S[s + 1] = total_S[s] + np.float64(motion_S[s])
            run += 1
        else:
            total_S[s + 1] = total_S[s]
            run = 0
        if run >= seconds:
            start = s + 1 - seconds
            weight_S[start] = max((total_S[s + 1] - total_S[start]) / seconds, MOTION_FLOOR_G)
    return weight_S


@njit(cache=True, nogil=True)
def arrivals(weight_S: Float, key0: int, key1: int, slot: int) -> tuple[Int, Float]:
    """Eligible starts, ascending, and when each arrives."""
    start_N, arrival_N = np.empty(weight_S.size, np.int64), np.empty(weight_S.size)
    count = 0
    for block in range((weight_S.size + 3) // 4):
        first = 4 * block
        end = min(first + 4, weight_S.size)
        if weight_S[first:end].max() > 0.0:
            four = philox_one(slot, block, _DRAW, 0, key0, key1)
            for s in range(first, end):
                if weight_S[s] > 0.0:
                    start_N[count] = s
                    arrival_N[count] = -math.log((four[s - first] + 0.5) * 2.0**-32) / weight_S[s]
                    count += 1
    return start_N[:count], arrival_N[:count]


def _first(start_N: Int, arrival_N: Float, begin: int, end: int) -> Int:
    """The starts that arrive from the `begin`-th to before the `end`-th, ascending."""
    if end >= start_N.size and not begin:
        return start_N
    order = np.argpartition(arrival_N, [bound for bound in (begin - 1, end - 1) if 0 <= bound < arrival_N.size])
    return np.sort(start_N[order[begin:end]])


@njit(cache=True, nogil=True)
def _spaced(start_N: Int, size: int, spacing: int) -> Int:
    """Starts in the order given, without those that are less than `spacing` from one before."""
    free = np.ones(size, np.bool_)
    kept = np.empty(start_N.size, np.int64)
    count = 0
    for start in start_N:
        if free[start]:
            kept[count] = start
            count += 1
            free[max(start - spacing + 1, 0) : start + spacing] = False
    return kept[:count]


@njit(cache=True, nogil=True)
def own_numbers(key0: int, key1: int, slot_N: Int, start_N: Int, purpose: int) -> Int:
    """63 random bits that belong to each (slot, start) and decide its place in an order."""
    number_N = np.empty(slot_N.size, np.int64)
    for n in range(slot_N.size):
        four = philox_one(slot_N[n], start_N[n], purpose, 0, key0, key1)
        number_N[n] = np.int64(four[0]) << 31 | np.int64(four[1]) >> 1
    return number_N
