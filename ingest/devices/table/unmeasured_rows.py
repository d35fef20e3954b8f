"""Rows of a table where nothing was measured: rows without values, and idle sleep that an export filled in.

A device in idle sleep stores nothing, and exports fill the time with zeros on all axes (which no accelerometer reads
for a second, because of gravity). ActiGraph's own export repeats the last value instead, in full seconds, and writes
zeros where nothing was recorded at all. Such rows are removed and reported as idle sleep and as gaps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ingest.devices.table.row_times import Blocks, Int
from ingest.devices.table.scaling import MISSING
from ingest.recording import disjoint_spans

IDLE_S = 1.0
"""Zeros for a shorter time are values."""


@dataclass(frozen=True)
class UnmeasuredRows:
    """Spans of rows, begin_M <= row < end_M, in order; is_idle_M: whether the device slept."""

    begin_M: Int
    end_M: Int
    is_idle_M: NDArray[np.bool_]

    def idle_us(self, blocks: Blocks, period_us: float) -> Int:
        """Return when the device slept: spans in microseconds (M, 2)."""
        ends = [blocks.us_of(row_M[self.is_idle_M], period_us) for row_M in (self.begin_M, self.end_M)]
        return disjoint_spans(np.stack(ends, axis=1))


def find_unmeasured(counts_CN: NDArray[np.int16], rate_hz: float, by_seconds: bool) -> UnmeasuredRows:
    """Find the rows of a table that are not measurements.

    by_seconds: sleep may also be filled with the last value, always in full seconds counted from the first row.
    """
    x_N, y_N, z_N = counts_CN
    missing_N = x_N == MISSING
    zero_N = (x_N == 0) & (y_N == 0) & (z_N == 0)
    least = max(1, round(IDLE_S * rate_hz))
    zero_M2 = _runs(zero_N, least, least if by_seconds else 1)
    held_M2 = np.empty((0, 2), dtype=np.int64)
    if by_seconds:
        held_N = ~(zero_N | missing_N)
        held_N[:1] = False
        for axis_N in counts_CN:
            held_N[1:] &= axis_N[1:] == axis_N[:-1]
        held_M2 = _runs(held_N, least, least)
    kinds = ((zero_M2, not held_M2.size), (held_M2, True), (_runs(missing_N, 1, 1), False))
    span_M2 = np.concatenate([spans for spans, _ in kinds])
    is_idle_M = np.concatenate([np.full(len(spans), is_idle) for spans, is_idle in kinds])
    order = np.argsort(span_M2[:, 0], kind="stable")
    return UnmeasuredRows(span_M2[order, 0], span_M2[order, 1], is_idle_M[order])


def remove_rows(
    counts_CN: NDArray[np.int16], blocks: Blocks, unmeasured: UnmeasuredRows, period_us: float
) -> tuple[int, Blocks, Int]:
    """Remove rows in place; returns the number of remaining rows, their blocks, and the numbers of these blocks.

    Block numbers skip as many blocks as the removed rows would have filled.
    """
    rows = counts_CN.shape[1]
    begin_P, end_P = np.append(0, unmeasured.end_M), np.append(unmeasured.begin_M, rows)
    kept = 0
    for begin, end in zip(begin_P.tolist(), end_P.tolist(), strict=True):
        counts_CN[:, kept : kept + end - begin] = counts_CN[:, begin:end]
        kept += end - begin
    first_K = np.unique(np.concatenate([blocks.first_K, unmeasured.end_M[unmeasured.end_M < rows]]))
    us_K = blocks.us_of(first_K, period_us)
    before_K = np.searchsorted(unmeasured.begin_M, first_K, side="right")
    removed_M = np.append(0, np.cumsum(unmeasured.end_M - unmeasured.begin_M))
    is_kept_K = (before_K == 0) | (first_K >= np.append(0, unmeasured.end_M)[before_K])
    first_K, us_K, removed_K = first_K[is_kept_K], us_K[is_kept_K], removed_M[before_K[is_kept_K]]
    new_first_K = first_K - removed_K
    count_K = np.diff(new_first_K, append=kept)
    skipped_K = np.rint(np.diff(removed_K, prepend=removed_K[:1]) / np.append(1, count_K[:-1])).astype(np.int64)
    return kept, Blocks(new_first_K, us_K), np.arange(new_first_K.size) + np.cumsum(skipped_K)


def _runs(flag_N: NDArray[np.bool_], least: int, multiple: int) -> Int:
    """Return first row and the row after the last (M, 2) of runs of at least `least` rows in which a flag is set.

    Each run is shortened to begin and end at multiples of `multiple` rows.
    """
    edges = np.flatnonzero(flag_N[1:] != flag_N[:-1]) + 1
    edges = np.concatenate([[0] if flag_N[:1].any() else [], edges, [flag_N.size] if flag_N[-1:].any() else []])
    span_M2 = edges.astype(np.int64).reshape(-1, 2)
    span_M2 = np.stack([-(-span_M2[:, 0] // multiple), span_M2[:, 1] // multiple], axis=1) * multiple
    return span_M2[span_M2[:, 1] - span_M2[:, 0] >= least]
