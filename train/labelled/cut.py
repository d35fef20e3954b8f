"""Cut windows at 30 Hz from rows of samples at an even rate, with the resampling filter of `ingest`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.grid import AXES, COUNT_LIMIT, SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from pipeline.numerics.resample import Bank

COUNTS_PER_G = 8_192
"""Finer than the steps of devices; int16 holds 4 g."""
INTERVALS_OFF = 1.0
"""Rows are even if no stamp is further from a straight line, in intervals. One lost row is not, two are."""


def even_pieces(time_N: NDArray[np.float64], shortest_s: float) -> Iterator[tuple[int, int]]:
    """Yield the pieces of ascending times (seconds) in which rows are even, as first and one past the last row.

    Where a stamp is too far from the line between the ends, the piece is split there (Ramer 1972,
    doi:10.1016/S0146-664X(72)80017-0): at pauses and at changes of the rate. Pieces shorter than `shortest_s` are left
    out. Neighbouring pieces share a row.
    """
    waiting = [(0, len(time_N))]
    while waiting:
        first, stop = waiting.pop()
        times = time_N[first:stop]
        if len(times) < 2 or times[-1] - times[0] < shortest_s:
            continue
        line = times[0] + (times[-1] - times[0]) / (len(times) - 1) * np.arange(len(times))
        off = np.abs(times - line)
        worst = int(off.argmax())
        if off[worst] <= INTERVALS_OFF * float(np.median(np.diff(times))):
            yield first, stop
        else:
            waiting += [(first + worst, stop), (first, first + worst + 1)]


@cache
def _bank(rate_hz: int) -> Bank:
    from pipeline.numerics.resample import design

    return design(rate_hz, "bandlimited")


def cut(
    time_N: NDArray[np.float64], x_CN: NDArray[np.float64], ticks: int, counts_per_g: int = COUNTS_PER_G
) -> NDArray[np.float32]:
    """Return consecutive windows (windows, ticks, 3) in g at 30 Hz, the filter's reach away from both ends.

    `time_N` are the seconds of even rows, `x_CN` their acceleration in g (3, rows); larger values than int16 holds at
    `counts_per_g` are clipped.
    """
    from pipeline.numerics.resample import UNITY, Course, resample

    none, count = np.empty((0, ticks, AXES), np.float32), len(time_N)
    rate_hz = (count - 1) / (time_N[-1] - time_N[0])
    if (count - 1) / rate_hz * SAMPLE_RATE_HZ < ticks or round(rate_hz) < 1:
        return none
    bank, step = _bank(round(rate_hz)), rate_hz / SAMPLE_RATE_HZ
    windows = int((count - 1 - 2 * bank.reach) / step + 1) // ticks
    if windows < 1:
        return none
    count_CN = np.clip(np.rint(x_CN * counts_per_g), -COUNT_LIMIT, COUNT_LIMIT).astype(np.int16)
    course = Course(
        first_tick_R=np.array([0]),
        stop_tick_R=np.array([windows * ticks]),
        position_R=np.array([float(bank.reach)]),
        step_R=np.array([step]),
        lo_R=np.array([0]),
        hi_R=np.array([count]),
    )
    out_CT = np.zeros((AXES, windows * ticks), np.int32)
    resample(count_CN, course, bank, 0, out_CT)
    return (out_CT.reshape(AXES, windows, ticks).transpose(1, 2, 0) / (UNITY * counts_per_g)).astype(np.float32)
