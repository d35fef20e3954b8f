"""What stands in a table where nothing was measured: rows without values, and idle sleep that an export filled in.

A device that sleeps while nothing moves stores nothing; who exports its recording fills in zeros on all axes (no
accelerometer reads that for a second: gravity is there). ActiGraph's own export fills sleep in with the last value,
second by second, and then zeros are what was not recorded at all. Such rows are taken out again and told as what
they are: idle sleep, and a gap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ingest.devices.table.clock import Blocks, Int
from ingest.devices.table.values import MISSING
from ingest.recording import apart

IDLE_S = 1.0
"""Zeros that last for less are values."""


@dataclass(frozen=True)
class Holes:
    """Spans of rows, begin_M <= row < end_M, in their order; is_idle_M: whether the device slept."""

    begin_M: Int
    end_M: Int
    is_idle_M: NDArray[np.bool_]

    def idle_us(self, blocks: Blocks, period_us: float) -> Int:
        """When the device slept: spans in microseconds (M, 2)."""
        ends = [blocks.us_of(row_M[self.is_idle_M], period_us) for row_M in (self.begin_M, self.end_M)]
        return apart(np.stack(ends, axis=1))


def find_holes(counts_CN: NDArray[np.int16], rate_hz: float, by_seconds: bool) -> Holes:
    """The rows of a table that are no measurements.

    by_seconds: sleep may be filled in with the last value too, and what is filled in is whole seconds, counted from the
    first row.
    """
    x_N, y_N, z_N = counts_CN
    missing_N = x_N == MISSING
    zero_N = (x_N == 0) & (y_N == 0) & (z_N == 0)
    least = max(1, round(IDLE_S * rate_hz))
    zero_M2 = _long(zero_N, least, least if by_seconds else 1)
    held_M2 = np.empty((0, 2), dtype=np.int64)
    if by_seconds:
        held_N = ~(zero_N | missing_N)
        held_N[:1] = False
        for axis_N in counts_CN:
            held_N[1:] &= axis_N[1:] == axis_N[:-1]
        held_M2 = _long(held_N, least, least)
    kinds = ((zero_M2, not held_M2.size), (held_M2, True), (_long(missing_N, 1, 1), False))
    span_M2 = np.concatenate([spans for spans, _ in kinds])
    is_idle_M = np.concatenate([np.full(len(spans), is_idle) for spans, is_idle in kinds])
    order = np.argsort(span_M2[:, 0], kind="stable")
    return Holes(span_M2[order, 0], span_M2[order, 1], is_idle_M[order])


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


def _long(flag_N: NDArray[np.bool_], least: int, multiple: int) -> Int:
    """First row and the row after the last (M, 2) of stretches of `least` rows or more in which a flag stands.

    Of each, what lies between multiples of a number of rows.
    """
    edges = np.flatnonzero(flag_N[1:] != flag_N[:-1]) + 1
    edges = np.concatenate([[0] if flag_N[:1].any() else [], edges, [flag_N.size] if flag_N[-1:].any() else []])
    span_M2 = edges.astype(np.int64).reshape(-1, 2)
    span_M2 = np.stack([-(-span_M2[:, 0] // multiple), span_M2[:, 1] // multiple], axis=1) * multiple
    return span_M2[span_M2[:, 1] - span_M2[:, 0] >= least]
