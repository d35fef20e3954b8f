"""Drawing a day's windows: without replacement, with probability by the window's mean motion.

The draw is an exponential race (Efraimidis and Spirakis 2006, doi:10.1016/j.ipl.2005.11.003): every eligible start has
an arrival time, exponentially distributed with its weight as the rate, and the first `quota` to arrive are drawn. Each
start has its own counter-based random number, so a draw depends only on its key. The code is compiled, because a day
has 86,400 starts and a core should draw more than a hundred days per second.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.numerics.jit import njit
from pipeline.store.states import BAD, MEASURED, NONWEAR
from train.random import MASK, Purpose, philox_many, philox_run

MOTION_FLOOR_G = 1e-6
MARGIN = 1.2
"""The race first stops when this multiple of the starts needed should have arrived, if all weights were small."""

Weighting = Literal["motion", "root", "uniform"]
"""A start's weight: its window's mean motion, the square root of that, or the same for all."""

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
    skip: int = 0,
    spacing: int = 1,
) -> Int:
    """Draw the start seconds of `quota` windows from a day's motion and states (`draw_by_weight`)."""
    return draw_by_weight(weights(motion_S, state_S, seconds), quota, key, slot, skip, spacing)


def draw_by_weight(
    weight_S: Float, quota: int, key: tuple[int, int], slot: int, skip: int = 0, spacing: int = 1
) -> Int:
    """Draw the start seconds of `quota` windows, ascending, int64; the first `skip` arrivals are skipped.

    With a `spacing` above 1, a start less than that many seconds from an earlier arrival is skipped too. Raises
    ValueError if fewer starts are left.
    """
    wanted, available = skip + quota, int(np.count_nonzero(weight_S))
    if spacing > 1:
        start_N, arrival_N = arrivals(weight_S, key[0], key[1], slot)
        in_order = _spaced(start_N[np.argsort(arrival_N, kind="stable")], weight_S.size, spacing)
        available, drawn = in_order.size, np.sort(in_order[skip:wanted])
    elif wanted < available:
        drawn = _first(*_soonest(weight_S, key, slot, wanted, MARGIN * wanted / weight_S.sum()), skip, wanted)
    else:
        drawn = _first(*arrivals(weight_S, key[0], key[1], slot), skip, wanted)
    if available < wanted:
        raise ValueError(f"slot {slot}: expected at least {wanted} windows to draw, found {available}")
    return drawn


def reweighted(weight_S: Float, weighting: Weighting) -> Float:
    """Return weights by motion as another weighting has them; starts that are not eligible keep 0."""
    if weighting == "motion":
        return weight_S
    return np.sqrt(weight_S) if weighting == "root" else (weight_S > 0).astype(np.float64)


@njit(cache=True, nogil=True)
def weights(motion_S: NDArray[np.float32], state_S: NDArray[np.uint8], seconds: int) -> Float:
    """Return the weight of every start second: its window's mean motion in g (at least 1e-6), or 0 if not eligible.

    Shapes (S,). The means are differences of one running sum.
    """
    weight_S = np.zeros(motion_S.size)
    total_S = np.empty(motion_S.size + 1)
    total_S[0] = 0.0
    run = 0
    for s in range(motion_S.size):
        if state_S[s] & (MEASURED | NONWEAR | BAD) == MEASURED and motion_S[s] >= 0.0:  # False for NaN
            total_S[s + 1] = total_S[s] + np.float64(motion_S[s])
            run += 1
        else:
            total_S[s + 1] = total_S[s]
            run = 0
        if run >= seconds:
            start = s + 1 - seconds
            weight_S[start] = max((total_S[s + 1] - total_S[start]) / seconds, MOTION_FLOOR_G)
    return weight_S


def _soonest(weight_S: Float, key: tuple[int, int], slot: int, count: int, until: float) -> tuple[Int, Float]:
    """Return at least `count` starts, ascending, that arrive before some time; `until` is the first time tried."""
    while True:
        start_N, arrival_N = arrivals(weight_S, key[0], key[1], slot, until)
        if start_N.size >= count:
            return start_N, arrival_N
        until *= 1.5


@njit(cache=True, nogil=True)
def arrivals(weight_S: Float, key0: int, key1: int, slot: int, until: float = np.inf) -> tuple[Int, Float]:
    """Return the eligible starts that arrive by a time, ascending, and their arrival times.

    A logarithm costs more than the random number in it. Because -log(u) is at least 1 - u, most late starts can be
    dropped without one.
    """
    word_4N = philox_run(slot, (weight_S.size + 3) // 4, _DRAW, key0, key1)
    start_N, arrival_N = np.empty(weight_S.size, np.int64), np.empty(weight_S.size)
    count = 0
    for s in range(weight_S.size):
        weight = weight_S[s]
        if weight > 0.0:
            number = (np.float64(word_4N[s & 3, s >> 2]) + 0.5) * 2.0**-32
            if 1.0 - number <= until * weight * (1.0 + 1e-9):
                arrival = -math.log(number) / weight
                if arrival <= until:
                    start_N[count], arrival_N[count] = s, arrival
                    count += 1
    return start_N[:count], arrival_N[:count]


def _first(start_N: Int, arrival_N: Float, begin: int, end: int) -> Int:
    """Return the starts whose rank of arrival is from `begin` to before `end`, ascending."""
    if end >= start_N.size and not begin:
        return start_N
    order = np.argpartition(arrival_N, [bound for bound in (begin - 1, end - 1) if 0 <= bound < arrival_N.size])
    return np.sort(start_N[order[begin:end]])


@njit(cache=True, nogil=True)
def _spaced(start_N: Int, size: int, spacing: int) -> Int:
    """Return the starts in the given order, without those less than `spacing` from an earlier one."""
    free = np.ones(size, np.bool_)
    kept = np.empty(start_N.size, np.int64)
    count = 0
    for start in start_N:
        if free[start]:
            kept[count] = start
            count += 1
            free[max(start - spacing + 1, 0) : start + spacing] = False
    return kept[:count]


def own_numbers(key0: int, key1: int, slot_N: Int, start_N: Int, purpose: int) -> Int:
    """Return 63 random bits for each (slot, start), which decide its place in an order."""
    c2, c3, k0, k1 = (np.full(slot_N.size, value) for value in (purpose, 0, key0, key1))
    four = np.empty((4, slot_N.size), np.int64)
    philox_many(slot_N & MASK, start_N & MASK, c2, c3, k0, k1, four)
    own: Int = four[0] << 31 | four[1] >> 1
    return own
