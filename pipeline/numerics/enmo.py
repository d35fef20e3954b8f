"""ENMO, Euclidean norm minus one: by how much acceleration exceeds gravity (van Hees et al. 2013).

doi:10.1371/journal.pone.0061691. Computed from the stored values, as motion is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.grid import TICKS_PER_SECOND
from pipeline.numerics.jit import njit


@njit(cache=True, nogil=True)
def enmo(signal_CT: NDArray[np.int16], counts_per_g: float) -> NDArray[np.float32]:
    """Return the mean of max(|a| - 1 g, 0) over each second, in g; meaningless for seconds that were not measured."""
    seconds = signal_CT.shape[1] // TICKS_PER_SECOND
    enmo_S = np.empty(seconds, dtype=np.float32)
    over_k = np.empty(TICKS_PER_SECOND)
    for s in range(seconds):
        start = s * TICKS_PER_SECOND
        for k in range(TICKS_PER_SECOND):
            x = np.float64(signal_CT[0, start + k])
            y = np.float64(signal_CT[1, start + k])
            z = np.float64(signal_CT[2, start + k])
            over_k[k] = max(np.sqrt(x * x + y * y + z * z) - counts_per_g, 0.0)
        total = 0.0
        for k in range(TICKS_PER_SECOND):
            total += over_k[k]
        enmo_S[s] = total / (TICKS_PER_SECOND * counts_per_g)
    return enmo_S
