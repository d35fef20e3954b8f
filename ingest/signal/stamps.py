"""Which block stamps are used, and where the recording is split into segments.

A segment ends where the next stamp is more than 3 sample periods off the line of the stamps before it. A stamp that the
rest of the recording contradicts (`contradictions`) is not used: the samples of its block continue those before. A
block that begins before the previous one ended (a duplicate, a clock set back) is dropped. Gaps are never bridged.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from ingest.recording import Recording
from ingest.signal.contradictions import contradicted
from pipeline.numerics.jit import njit

GAP_PERIODS = 3.0
MAX_JUMP_S = 86_400.0
"""A longer jump ahead is a clock that was set, unless it is a pause or missing blocks explain it."""
RATE_TOLERANCE = 0.1
MIN_STAMPS_FOR_RATE = 25
"""With fewer stamps a rate would be noise."""


class BlockUse(IntEnum):
    """How a block is used."""

    ON = 0
    """Continues the segment; its stamp is on the line."""
    BREAK = 1
    """Begins a segment."""
    MENDED = 2
    """Continues the segment; its stamp is not used."""
    DROPPED = 3


@dataclass(frozen=True)
class Stamps:
    """The stamps that are used, and the segments of the recording; seconds count from a midnight.

    Segment g holds the samples first_G[g] <= i < stop_G[g]; stamp s, in segment segment_S[s], says that sample
    sample_S[s] was taken at second_S[s]. period: seconds per sample, common to all segments. contradictions: blocks
    whose stamp the others contradict, either dropped (backward) or kept without it (mended).
    """

    first_G: NDArray[np.int64]
    stop_G: NDArray[np.int64]
    segment_S: NDArray[np.int64]
    sample_S: NDArray[np.int64]
    second_S: NDArray[np.float64]
    period: float
    duplicate_blocks: int
    backward_blocks: int
    mended_stamps: int
    contradictions: int


def read_stamps(recording: Recording, midnight_us: int, max_pause: float) -> Stamps:
    """Decide how every block is used, first with a rough rate, then with the rate of the stamps used so far.

    max_pause: seconds of the longest pause.
    """
    second_K = (recording.stamp_us_K - midnight_us) * np.float64(1e-6)
    period = _rough_period(recording, second_K)
    max_jump = MAX_JUMP_S if recording.is_counted else max_pause
    resumed_K = recording.resumed_K if recording.resumed_K.size else np.zeros(second_K.size, dtype=np.bool_)
    for _ in range(2):
        blocks = (recording.first_K, recording.count_K, recording.sequence_K, recording.stamp_sample_K, second_K)
        contradicted_K = contradicted(
            *blocks, recording.stamped_K, period, GAP_PERIODS * period, resumed_K, max_jump, max_pause
        )
        use_K = _classify(*blocks, recording.stamped_K & ~contradicted_K, period)
        if not recording.is_counted:
            use_K[_unplaced(recording, contradicted_K, second_K, period)] = BlockUse.DROPPED
        kept = np.flatnonzero(use_K != BlockUse.DROPPED)
        breaks = np.flatnonzero(use_K[kept] == BlockUse.BREAK)
        segment_K = np.cumsum(use_K[kept] == BlockUse.BREAK) - 1
        used = use_K[kept] != BlockUse.MENDED
        segment_S, stamp_S = segment_K[used], kept[used]
        period = _common_period(segment_S, recording.stamp_sample_K[stamp_S], second_K[stamp_S], period)
    dropped = np.flatnonzero(use_K == BlockUse.DROPPED)
    duplicates = _duplicates(recording, dropped, kept) if dropped.size else 0
    backward = len(dropped) - duplicates
    last_G = kept[np.append(breaks[1:], len(kept)) - 1]
    return Stamps(
        first_G=recording.first_K[kept[breaks]],
        stop_G=recording.first_K[last_G] + recording.count_K[last_G],
        segment_S=segment_S,
        sample_S=recording.stamp_sample_K[stamp_S],
        second_S=second_K[stamp_S],
        period=period,
        duplicate_blocks=duplicates,
        backward_blocks=backward,
        mended_stamps=len(kept) - len(stamp_S),
        contradictions=backward + int(contradicted_K[kept].sum()),
    )


def _unplaced(
    recording: Recording, contradicted_K: NDArray[np.bool_], second_K: NDArray[np.float64], period: float
) -> NDArray[np.bool_]:
    """Contradicted blocks of a device that does not count them, where their samples do not fill the time between.

    Those that fill it have stray stamps; the others belong to a time that is not known.
    """
    edges = np.flatnonzero(np.diff(contradicted_K, prepend=False, append=False))
    unplaced_K = np.zeros(contradicted_K.size, dtype=np.bool_)
    start_K = second_K + (recording.first_K - recording.stamp_sample_K) * period
    for first, stop in edges.reshape(-1, 2).tolist():
        fills = first > 0 and stop < contradicted_K.size
        if fills:
            between = (recording.first_K[stop] - recording.first_K[first - 1]) * period
            fills = abs(start_K[stop] - start_K[first - 1] - between) <= GAP_PERIODS * period
        unplaced_K[first:stop] = not fills
    return unplaced_K


def _duplicates(recording: Recording, dropped: NDArray[np.int64], kept: NDArray[np.int64]) -> int:
    """The number of dropped blocks that have the number and the stamp of a kept one."""
    same = np.ones(dropped.size, dtype=bool)
    for value_K in (recording.stamp_us_K, recording.sequence_K):
        few = np.unique(value_K[dropped])
        place = np.minimum(np.searchsorted(few, value_K[kept]), few.size - 1)
        same &= np.isin(value_K[dropped], few[place[few[place] == value_K[kept]]])
    return int(same.sum())


def _rough_period(recording: Recording, second_K: NDArray[np.float64]) -> float:
    """Median seconds per sample between neighbouring stamps; with few stamps only if near the nominal period."""
    nominal = 1 / recording.nominal_rate_hz
    samples = np.diff(recording.stamp_sample_K[recording.stamped_K])
    seconds = np.diff(second_K[recording.stamped_K])[samples > 0]
    if not seconds.size:
        return nominal
    period = float(np.median(seconds / samples[samples > 0]))
    enough = seconds.size >= MIN_STAMPS_FOR_RATE
    return period if period > 0 and (enough or abs(period / nominal - 1) < RATE_TOLERANCE) else nominal


@njit(cache=True, nogil=True)
def _common_period(
    segment_S: NDArray[np.int64], sample_S: NDArray[np.int64], second_S: NDArray[np.float64], otherwise: float
) -> float:
    """Least-squares seconds per sample, one slope for all segments and an offset each (running means: Welford 1962)."""
    if segment_S.size < MIN_STAMPS_FOR_RATE:
        return otherwise
    spread, joint = 0.0, 0.0
    number, sample, second = 0, 0.0, 0.0
    for s in range(segment_S.size):
        if s == 0 or segment_S[s] != segment_S[s - 1]:
            number, sample, second = 0, 0.0, 0.0
        number += 1
        away = sample_S[s] - sample
        sample += away / number
        second += (second_S[s] - second) / number
        spread += away * (sample_S[s] - sample)
        joint += away * (second_S[s] - second)
    return joint / spread if spread > 0 else otherwise


@njit(cache=True, nogil=True)
def _classify(
    first_K: NDArray[np.int64],
    count_K: NDArray[np.int64],
    sequence_K: NDArray[np.int64],
    sample_K: NDArray[np.int64],
    second_K: NDArray[np.float64],
    stamped_K: NDArray[np.bool_],
    period: float,
) -> NDArray[np.uint8]:
    """How each block is used; the line continues from the last stamp used."""
    use_K = np.full(first_K.size, BlockUse.DROPPED, dtype=np.uint8)
    tolerance = GAP_PERIODS * period
    last = -1
    line_sample, line_second = 0, 0.0
    for k in range(first_K.size):
        adjacent = last >= 0 and k == last + 1
        follows = adjacent and sequence_K[k] == sequence_K[last] + 1
        if not stamped_K[k]:
            if follows:
                use_K[k] = BlockUse.MENDED
                last = k
            continue
        if last < 0:
            use = BlockUse.BREAK
        else:
            end = line_second + (first_K[last] + count_K[last] - line_sample) * period
            jump = second_K[k] + (first_K[k] - sample_K[k]) * period - end
            if adjacent and abs(jump) <= tolerance:
                use = BlockUse.ON
            else:
                use = BlockUse.BREAK if jump >= -tolerance else BlockUse.DROPPED
        use_K[k] = use
        if use != BlockUse.DROPPED:
            last = k
            line_sample, line_second = int(sample_K[k]), second_K[k]
    return use_K
