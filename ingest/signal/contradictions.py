"""Which stamps contradict the others: where time runs backwards, one side is wrong, and it need not be the later one.

Blocks whose numbers and stamps go on from one another are a run. Runs are believed so that the most of the
recording is kept (a heaviest chain, by dynamic programming): a run that begins before the one believed before
it ended loses what is told twice; runs between two that lie on one line keep their samples and lose only their
stamps. Of equal chains it is the one that passes over the fewest. So a first stamp hours ahead loses to the hours
after it, which agree with each other. A jump ahead of over a day that missing blocks do not explain is no gap but a
clock that was set: a chain does not go over it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.numerics.jit import njit

MOST_RUNS_BACK = 1_000
"""How many runs one chain may pass over: bounds the work on a clock that is noise."""


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
    most_late: float,
) -> NDArray[np.bool_]:
    """The stamped blocks whose stamp the rest of the recording contradicts.

    Sample sample_K of the recording was taken at second_K, says the stamp of a block that holds count_K samples
    from first_K on. period: seconds a sample. tolerance: seconds by which stamps of one line may differ. most_late:
    seconds of the longest gap that no missing blocks explain.
    """
    run_K = np.full(first_K.size, -1, dtype=np.int64)
    begin_R, end_R = np.empty(first_K.size), np.empty(first_K.size)
    start_R, stop_R = np.empty(first_K.size, dtype=np.int64), np.empty(first_K.size, dtype=np.int64)
    broken_R = np.zeros(first_K.size, dtype=np.int64)
    head_R, last_R = np.empty(first_K.size, dtype=np.int64), np.empty(first_K.size, dtype=np.int64)
    runs, broken = 0, 0
    for k in range(first_K.size):
        follows = k > 0 and sequence_K[k] == sequence_K[k - 1] + 1
        broken += not follows
        if stamped_K[k]:
            begin = second_K[k] + (first_K[k] - sample_K[k]) * period
            if not (runs > 0 and broken == broken_R[runs - 1] and abs(begin - end_R[runs - 1]) <= tolerance):
                begin_R[runs], start_R[runs], broken_R[runs], head_R[runs] = begin, first_K[k], broken, k
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
        for p in range(r - 1, max(-1, r - 1 - MOST_RUNS_BACK), -1):
            late = begin_R[r] - end_R[p]
            missing = max(0, sequence_K[head_R[r]] - sequence_K[last_R[p]] - 1) * count_K[last_R[p]]
            if late - missing * period > most_late:
                continue
            between = (start_R[r] - stop_R[p]) * period
            one_line = broken_R[r] == broken_R[p] and abs(late - between) <= tolerance
            kept = kept_R[p] + (between + length if one_line else max(0.0, length + min(0.0, late)))
            if kept > kept_R[r] + period / 2:
                kept_R[r], before_R[r] = kept, p
        if best < 0 or kept_R[r] > kept_R[best]:
            best = r
    believed_R = np.zeros(runs, dtype=np.bool_)
    while best >= 0:
        believed_R[best] = True
        best = before_R[best]
    contradicted_K = stamped_K.copy()
    for k in range(first_K.size):
        if stamped_K[k] and believed_R[run_K[k]]:
            contradicted_K[k] = False
    return contradicted_K
