"""Which stamps contradict the others: where time runs backwards, one side is wrong, and not always the later one.

Blocks whose numbers and stamps continue one another are a run. The chain of runs that keeps most of the recording is
accepted (a heaviest chain, by dynamic programming). A run that begins before the accepted run before it ended loses the
overlap. Runs between two that lie on one line keep their samples and lose only their stamps. Of equal chains, the one
that skips the fewest runs is accepted. So a first stamp hours ahead loses to the hours after it, which agree with each
other. A jump ahead is a pause where missing blocks explain it, where the device says that it was started again, and
where blocks have no numbers. Any other jump ahead of over a day is a clock that was set: no chain crosses it, nor a
pause that is longer than any recording.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.numerics.jit import njit

MAX_SKIPPED_RUNS = 1_000
"""Runs that a chain may skip between two: bounds the work on a clock that is noise."""


@njit(cache=True, nogil=True)
def contradicted(
    first_K: NDArray[np.int64],
    count_K: NDArray[np.int64],
    sequence_K: NDArray[np.int64],
    sample_K: NDArray[np.int64],
    second_K: NDArray[np.float64],
    stamped_K: NDArray[np.bool_],
    period: float,
    tolerance: float,
    resumed_K: NDArray[np.bool_],
    max_jump: float,
    max_pause: float,
) -> NDArray[np.bool_]:
    """The stamped blocks whose stamp the rest of the recording contradicts.

    The stamp of block K, which holds count_K samples from first_K on, says that sample sample_K was taken at second_K.
    period: seconds per sample. tolerance: seconds by which stamps on one line may differ. resumed_K: blocks
    before which the device says that it stopped. max_jump, max_pause: seconds of the longest gap that missing blocks do
    not explain, elsewhere and before such blocks.
    """
    run_K = np.full(first_K.size, -1, dtype=np.int64)
    begin_R, end_R = np.empty(first_K.size), np.empty(first_K.size)
    start_R, stop_R = np.empty(first_K.size, dtype=np.int64), np.empty(first_K.size, dtype=np.int64)
    broken_R = np.zeros(first_K.size, dtype=np.int64)
    head_R, last_R = np.empty(first_K.size, dtype=np.int64), np.empty(first_K.size, dtype=np.int64)
    resumed_R = np.zeros(first_K.size, dtype=np.int64)
    runs, broken, resumed = 0, 0, 0
    for k in range(first_K.size):
        follows = k > 0 and sequence_K[k] == sequence_K[k - 1] + 1
        broken += not follows
        resumed += resumed_K[k]
        if stamped_K[k]:
            begin = second_K[k] + (first_K[k] - sample_K[k]) * period
            if resumed_K[k] or not (
                runs > 0 and broken == broken_R[runs - 1] and abs(begin - end_R[runs - 1]) <= tolerance
            ):
                begin_R[runs], start_R[runs], broken_R[runs], head_R[runs] = begin, first_K[k], broken, k
                resumed_R[runs] = resumed
                runs += 1
            end_R[runs - 1] = begin + count_K[k] * period
        elif runs > 0 and broken == broken_R[runs - 1]:
            end_R[runs - 1] += count_K[k] * period
        else:
            continue
        stop_R[runs - 1] = first_K[k] + count_K[k]
        run_K[k], last_R[runs - 1] = runs - 1, k

    kept_R, before_R = np.empty(runs), np.full(runs, -1, dtype=np.int64)
    best = -1
    for r in range(runs):
        length = (stop_R[r] - start_R[r]) * period
        kept_R[r] = length
        for p in range(r - 1, max(-1, r - 1 - MAX_SKIPPED_RUNS), -1):
            late = begin_R[r] - end_R[p]
            missing = max(0, sequence_K[head_R[r]] - sequence_K[last_R[p]] - 1) * count_K[last_R[p]]
            if late - missing * period > (max_pause if resumed_R[r] > resumed_R[p] else max_jump):
                continue
            between = (start_R[r] - stop_R[p]) * period
            one_line = broken_R[r] == broken_R[p] and abs(late - between) <= tolerance
            kept = kept_R[p] + (between + length if one_line else max(0.0, length + min(0.0, late)))
            if kept > kept_R[r] + period / 2:
                kept_R[r], before_R[r] = kept, p
        if best < 0 or kept_R[r] > kept_R[best]:
            best = r
    accepted_R = np.zeros(runs, dtype=np.bool_)
    while best >= 0:
        accepted_R[best] = True
        best = before_R[best]
    contradicted_K = stamped_K.copy()
    for k in range(first_K.size):
        if stamped_K[k] and accepted_R[run_K[k]]:
            contradicted_K[k] = False
    return contradicted_K
