"""What stands in a table where nothing was measured: rows without values, and idle sleep that an export filled in.

A device that sleeps while nothing moves stores nothing; who exports its recording fills in zeros on all axes (no
accelerometer reads that for a second: gravity is there), or, as ActiGraph's own export does second by second, the
last value. Such rows are taken out again and told as what they are: a gap, and idle sleep.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ingest.devices.table_clock import Blocks, Int
from ingest.devices.table_values import MISSING

IDLE_S = 1.0
"""Zeros that last for less are values."""


@dataclass(frozen=True)
class Holes:
    """Spans of rows, begin_M <= row < end_M, in their order; is_idle_M: whether the device slept."""

    begin_M: Int
    end_M: Int
    is_idle_M: NDArray[np.bool_]


def find_holes(counts_CN: NDArray[np.int16], rate_hz: float, holds_last: bool) -> Holes:
    """The rows of a table that are no measurements. holds_last: sleep may be filled in with the last value, in seconds
    that are counted from the first row."""
    x_N, y_N, z_N = counts_CN
    missing_N = x_N == MISSING
    idle_N = (x_N == 0) & (y_N == 0) & (z_N == 0)
    if holds_last:
        idle_N[1:] |= (x_N[1:] == x_N[:-1]) & (y_N[1:] == y_N[:-1]) & (z_N[1:] == z_N[:-1])
    least = max(1, round(IDLE_S * rate_hz))
    idle_M2 = _runs(idle_N & ~missing_N)
    if holds_last:
        idle_M2 = np.stack([-(-idle_M2[:, 0] // least) * least, idle_M2[:, 1] // least * least], axis=1)
    idle_M2 = idle_M2[idle_M2[:, 1] - idle_M2[:, 0] >= least]
    missing_M2 = _runs(missing_N)
    both_M2 = np.concatenate([idle_M2, missing_M2])
    order = np.argsort(both_M2[:, 0], kind="stable")
    return Holes(both_M2[order, 0], both_M2[order, 1], order < len(idle_M2))


def take_out(counts_CN: NDArray[np.int16], blocks: Blocks, holes: Holes, period_us: float) -> tuple[int, Blocks, Int]:
    """Move the rows that remain together, in place: how many they are, their blocks, and numbers of these blocks.

    Where rows were taken out, block numbers leave out as many as would have held them: what is missing is known.
    """
    rows = counts_CN.shape[1]
    begin_P, end_P = np.append(0, holes.end_M), np.append(holes.begin_M, rows)
    kept = 0
    for begin, end in zip(begin_P.tolist(), end_P.tolist(), strict=True):
        counts_CN[:, kept : kept + end - begin] = counts_CN[:, begin:end]
        kept += end - begin
    first_K = np.unique(np.concatenate([blocks.first_K, holes.end_M[holes.end_M < rows]]))
    us_K = blocks.us_of(first_K, period_us)
    before_K = np.searchsorted(holes.begin_M, first_K, side="right")
    taken_M = np.append(0, np.cumsum(holes.end_M - holes.begin_M))
    remains_K = (before_K == 0) | (first_K >= np.append(0, holes.end_M)[before_K])
    first_K, us_K, taken_K = first_K[remains_K], us_K[remains_K], taken_M[before_K[remains_K]]
    new_first_K = first_K - taken_K
    count_K = np.diff(new_first_K, append=kept)
    left_out_K = np.rint(np.diff(taken_K, prepend=taken_K[:1]) / np.append(1, count_K[:-1])).astype(np.int64)
    return kept, Blocks(new_first_K, us_K), np.arange(new_first_K.size) + np.cumsum(left_out_K)


def _runs(flag_N: NDArray[np.bool_]) -> Int:
    """First row and the row after the last of every stretch in which a flag stands (M, 2)."""
    edges = np.flatnonzero(flag_N[1:] != flag_N[:-1]) + 1
    edges = np.concatenate([[0] if flag_N[:1].any() else [], edges, [flag_N.size] if flag_N[-1:].any() else []])
    return edges.astype(np.int64).reshape(-1, 2)
