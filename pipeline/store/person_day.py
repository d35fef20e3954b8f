"""A person-day in memory: made by ingest, stored, and read by training."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from pipeline.grid import AXES, COUNTS_PER_G, SECONDS_PER_DAY, TICKS_PER_DAY, TICKS_PER_SECOND
from pipeline.numerics.jit import njit
from pipeline.numerics.moments import moments
from pipeline.store.states import MEASURED


@dataclass(frozen=True)
class PersonDay:
    """24 hours of one recording, midnight to midnight of the device's clock.

    signal_CT: int16 (3, 2,592,000), counts, FILL where not measured.
    motion_S: float32 (86,400), g, NaN where the second is not measured.
    state_S: uint8 (86,400), the bits of `pipeline.store.states`.
    """

    signal_CT: NDArray[np.int16]
    motion_S: NDArray[np.float32]
    state_S: NDArray[np.uint8]

    def __post_init__(self) -> None:
        for name, array, shape, kind in (
            ("signal", self.signal_CT, (AXES, TICKS_PER_DAY), np.int16),
            ("motion", self.motion_S, (SECONDS_PER_DAY,), np.float32),
            ("state", self.state_S, (SECONDS_PER_DAY,), np.uint8),
        ):
            if array.shape != shape or array.dtype != kind:
                raise ValueError(f"{name} of a person-day: expected {shape} {kind}, found {array.shape} {array.dtype}")

    def checksum(self) -> str:
        """SHA-256 of the signal's values, little-endian int16 in C order, fill included."""
        return sha256(np.ascontiguousarray(self.signal_CT, dtype="<i2").data).hexdigest()


def motion(
    signal_CT: NDArray[np.int16], state_S: NDArray[np.uint8], counts_per_g: float = COUNTS_PER_G
) -> NDArray[np.float32]:
    """Motion of each second in g: the root of the summed per-axis variance of its ticks.

    It does not change when the device is rotated. NaN where the second is not measured.
    """
    motion_S = _spread(np.ascontiguousarray(signal_CT)) / (TICKS_PER_SECOND * counts_per_g)
    return np.where(state_S & MEASURED, motion_S, np.nan).astype(np.float32)


@njit(cache=True, nogil=True)
def _spread(signal_CT: NDArray[np.int16]) -> NDArray[np.float64]:
    """Root of the summed variance of each second's counts, times the ticks of a second; from exact integer sums."""
    seconds = signal_CT.shape[1] // TICKS_PER_SECOND
    squares_S = np.zeros(seconds, dtype=np.int64)
    for c in range(signal_CT.shape[0]):
        for s in range(seconds):
            total, squares, _, _ = moments(signal_CT[c], s * TICKS_PER_SECOND, (s + 1) * TICKS_PER_SECOND)
            squares_S[s] += TICKS_PER_SECOND * squares - total * total
    return np.sqrt(squares_S)
