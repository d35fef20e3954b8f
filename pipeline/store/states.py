"""The state of a second: bits, of which it may have several, and what is derived from them.

`worn` and `eligible` are never stored, so they are defined here only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MEASURED = 1
"""Every tick of the second comes from samples of the device."""
IDLE = 2
"""Idle sleep: the device saw no movement and stored nothing."""
GAP = 4
"""Inside the recording's span, but at least one tick is neither measured nor idle."""
CLIPPED = 8
"""At least one tick is on the rail of the device: the end of its range."""
NONWEAR = 16
"""Part of a stationary period of over 90 minutes."""
BAD = 32
"""Never drawn: half a second on the rail, impossible values, or the edge of a segment."""

NAMES = {
    MEASURED: "measured",
    IDLE: "idle sleep",
    GAP: "gap",
    CLIPPED: "clipped",
    NONWEAR: "non-wear",
    BAD: "bad",
}


def worn(state: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Seconds that are measured or idle, and not non-wear."""
    return ((state & (MEASURED | IDLE)) != 0) & ((state & NONWEAR) == 0)


def eligible(state: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Seconds that may be drawn for training: measured, worn and not bad."""
    return (state & (MEASURED | NONWEAR | BAD)) == MEASURED


def eligible_starts(eligible_S: NDArray[np.bool_], seconds: int) -> NDArray[np.bool_]:
    """Start seconds whose window of `seconds` holds eligible seconds only.

    The result has the length of the input; the last `seconds - 1` starts are False.
    """
    if seconds < 1:
        raise ValueError(f"a window has at least 1 second, not {seconds}")
    starts = np.zeros(eligible_S.shape, dtype=bool)
    if seconds <= eligible_S.size:
        total = np.concatenate(([0], np.cumsum(eligible_S, dtype=np.int64)))
        starts[: eligible_S.size - seconds + 1] = total[seconds:] - total[:-seconds] == seconds
    return starts
