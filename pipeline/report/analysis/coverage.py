"""Coverage of the hours of the day, from the states of a sample of person-days.

The tables count seconds per day; only the `state` arrays show the hour. A random sample of 2,000 person-days, the
same at every run, gives the shares of each hour to about one percentage point in a cohort of any size.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UnreadableDay
from pipeline.progress import Progress
from pipeline.store.states import GAP, NONWEAR, worn
from pipeline.store.store import Store

SAMPLE_SIZE = 2_000
SEED = 0
THREADS = 16
HOURS = 24
CONDITIONS = ("worn", "non-wear", "gap", "not recorded")
"""A second has the first of these conditions that is true for it."""


@dataclass(frozen=True)
class Coverage:
    """Seconds of each condition in each hour of the day, (4, 24), summed over `read` person-days.

    missing: sampled person-days whose states are missing from the store. total: person-days of the store.
    """

    seconds_KH: NDArray[np.int64]
    read: int
    missing: int
    total: int

    @property
    def share_KH(self) -> NDArray[np.float64]:
        """The share of each condition in each hour, (4, 24); NaN if nothing was read."""
        with np.errstate(invalid="ignore"):
            return self.seconds_KH / self.seconds_KH.sum(0)


def sample(slot_D: NDArray[np.int64], max_days: int = SAMPLE_SIZE) -> NDArray[np.int64]:
    """Draw at most `max_days` slots, sorted; the sample does not depend on the order of the slots."""
    slots = np.sort(slot_D)
    if slots.size <= max_days:
        return slots
    return np.sort(np.random.default_rng(SEED).choice(slots, max_days, replace=False))


def by_hour(state_S: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Count the seconds of each condition in each hour of a person-day, (4, 24)."""
    worn_S = worn(state_S)
    nonwear_S = ~worn_S & ((state_S & NONWEAR) != 0)
    gap_S = ~worn_S & ~nonwear_S & ((state_S & GAP) != 0)
    flags_KS = np.stack([worn_S, nonwear_S, gap_S, ~(worn_S | nonwear_S | gap_S)])
    return flags_KS.reshape(len(CONDITIONS), HOURS, -1).sum(2)


def read_coverage(store: Store, slot_D: NDArray[np.int64], max_days: int = SAMPLE_SIZE) -> Coverage:
    """Read the states of a sample of at most `max_days` person-days in parallel."""
    seconds_KH = np.zeros((len(CONDITIONS), HOURS), np.int64)
    slots = sample(slot_D, max_days)
    in_arrays = slots[slots < store.length] if slots.size else slots
    missing = slots.size - in_arrays.size

    def read(slot: int) -> NDArray[np.int64] | None:
        try:
            return by_hour(store.days.read_state(slot))
        except UnreadableDay:
            return None

    with (
        store.folder.translate_errors(),
        ThreadPoolExecutor(THREADS) as pool,
        Progress("coverage of the hours", slots.size, "person-days") as progress,
    ):
        for done, found_KH in enumerate(pool.map(read, in_arrays.tolist()), 1):
            if found_KH is None:
                missing += 1
            else:
                seconds_KH += found_KH
            progress.update(done)
    return Coverage(seconds_KH, slots.size - missing, missing, slot_D.size)
