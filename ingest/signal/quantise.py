"""From resampled counts of the device to counts of the store: calibrated, rounded half to even, clipped."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.grid import COUNT_LIMIT, TICKS_PER_SECOND
from pipeline.numerics.jit import njit


@njit(cache=True, nogil=True)
def quantise(
    x_CT: NDArray[np.int32],
    first_tick: int,
    first_G: NDArray[np.int64],
    stop_G: NDArray[np.int64],
    scale_C: NDArray[np.float64],
    offset_CS: NDArray[np.float64],
    out_CT: NDArray[np.int16],
) -> None:
    """Write scale * x + offset of the ticks in the spans [first, stop) to `out_CT`; every second has its offset.

    `x_CT` holds the ticks from `first_tick` on. The loop counts in unsigned integers: only then numba vectorises it.
    """
    for c in range(3):
        x_T, out_T, scale = x_CT[c], out_CT[c], scale_C[c]
        for g in range(first_G.size):
            begin = first_G[g]
            while begin < stop_G[g]:
                second = begin // TICKS_PER_SECOND
                end = min((second + 1) * TICKS_PER_SECOND, stop_G[g])
                offset = offset_CS[c, second]
                for t in range(np.uint64(begin), np.uint64(end)):
                    value = np.rint(x_T[t - np.uint64(first_tick)] * scale + offset)
                    out_T[t] = np.int16(min(max(value, -COUNT_LIMIT), COUNT_LIMIT))
                begin = end
