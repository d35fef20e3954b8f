"""Stamps of the oldest AX3 firmware: each states only the full second in which its block began.

Such a stamp is up to a second early, ten blocks' worth of a gap. In a run of blocks without a gap, the time at which a
block began is a smooth function of its first sample, and no stamp is later than it. So the stamps are replaced by a
least-squares line with a knot every 500 blocks (ten minutes), moved up to the largest of them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.numerics.linear_spline import hat_fit

BLOCKS_PER_KNOT = 500
MIN_BLOCKS_FOR_RATE = 100
"""With fewer blocks, the nominal rate is nearer to the true one."""
SECOND_US = 1_000_000
MAX_STEP_OFF_S = 1.5
"""Between two neighbours, truncation changes a step by less than a second, and the true rate by a few hundredths."""


def from_full_seconds(
    stamp_us_K: NDArray[np.int64],
    first_K: NDArray[np.int64],
    sequence_K: NDArray[np.int64],
    stamped_K: NDArray[np.bool_],
    rate_hz: float,
) -> NDArray[np.int64]:
    """Return when each block began, from the full seconds of their beginnings; microseconds, as the stamps."""
    stamped = np.flatnonzero(stamped_K)
    if not stamped.size:
        return stamp_us_K
    step_s = np.diff(stamp_us_K[stamped]) / SECOND_US - np.diff(first_K[stamped]) / rate_hz
    is_broken = (np.diff(sequence_K[stamped]) != np.diff(stamped)) | (np.abs(step_s) > MAX_STEP_OFF_S)
    begun_us_K = stamp_us_K.copy()
    for blocks in np.split(stamped, np.flatnonzero(is_broken) + 1):
        begun_us_K[blocks] = _begun_us(stamp_us_K[blocks], first_K[blocks], rate_hz)
    return begun_us_K


def _begun_us(stamp_us_B: NDArray[np.int64], first_B: NDArray[np.int64], rate_hz: float) -> NDArray[np.int64]:
    """The same for the blocks of one run."""
    sample_B = first_B - first_B[0]
    nominal_B = stamp_us_B[0] / SECOND_US + sample_B / rate_hz
    late_B = stamp_us_B / SECOND_US - nominal_B
    course_B = np.zeros(late_B.size)
    if late_B.size >= MIN_BLOCKS_FOR_RATE:
        pieces = max(1, late_B.size // BLOCKS_PER_KNOT)
        knot_Q = sample_B[np.linspace(0, late_B.size - 1, pieces + 1).astype(np.int64)].astype(np.float64)
        course_B = np.interp(sample_B, knot_Q, hat_fit(knot_Q, sample_B, late_B))
    return np.rint((nominal_B + course_B + (late_B - course_B).max()) * SECOND_US).astype(np.int64)
