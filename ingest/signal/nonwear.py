"""Non-wear: the device lay still for over 90 minutes without interruption.

A worn wrist moves by 13 mg in some ten seconds of any 90 minutes, also asleep (Choi et al. 2011,
doi:10.1249/MSS.0b013e3181ed61a3, for the 90 minutes; van Hees et al. 2011, doi:10.1371/journal.pone.0022922, for
stillness). A window in which nothing was measured ends a run of still windows; idle sleep does not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ingest.signal.stationary import WINDOW_SECONDS

MINUTES = 90


def nonwear(still_W: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which seconds are in runs of still windows that last over 90 minutes."""
    edges = np.flatnonzero(np.diff(still_W, prepend=False, append=False))
    begin, end = edges[::2], edges[1::2]
    long = (end - begin) * WINDOW_SECONDS > MINUTES * 60
    change = np.zeros(still_W.size + 1, dtype=np.int64)
    change[begin[long]] = 1
    change[end[long]] = -1
    return np.repeat(np.cumsum(change[:-1]) > 0, WINDOW_SECONDS)
