"""Samples in g as a pandas DataFrame: one row per tick or sample, with its time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.extras import optional
from pipeline.grid import SAMPLE_RATE_HZ
from pipeline.store.states import eligible, worn

if TYPE_CHECKING:
    import pandas as pd

NS_PER_S = 1_000_000_000


def tick_times(start: np.datetime64, ticks: int) -> NDArray[np.datetime64]:
    """Times of consecutive ticks from `start` on, datetime64[ns], each rounded down to a nanosecond."""
    since_N: NDArray[np.int64] = np.arange(ticks) * NS_PER_S // SAMPLE_RATE_HZ
    return start.astype("datetime64[ns]") + since_N.astype("timedelta64[ns]")


def samples_frame(
    time_N: NDArray[np.datetime64],
    x_CN: NDArray[np.float32],
    state_N: NDArray[np.uint8],
    celsius_N: NDArray[np.float32] | None = None,
) -> pd.DataFrame:
    """Samples in g (3, N) as a DataFrame indexed by time: x, y, z, temperature (if given), worn, eligible.

    `state_N` is the state of the second that each sample is in. Raises UserError without pandas.
    """
    pandas = optional("pandas")
    columns: dict[str, Any] = dict(zip("xyz", x_CN, strict=True))
    if celsius_N is not None:
        columns["temperature"] = celsius_N
    columns |= {"worn": worn(state_N), "eligible": eligible(state_N)}
    frame: pd.DataFrame = pandas.DataFrame(columns, index=pandas.DatetimeIndex(time_N, name="time"), copy=False)
    return frame
