"""How the hours of the day are covered, from the states of a sample of person-days.

The tables count seconds a day; which hours they fall in only the `state` arrays tell. Some 2,000 of them, drawn
at random and always the same ones, give each hour's shares to about a percent, whatever the cohort's size.
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

SAMPLE = 2_000
SEED = 0
AT_ONCE = 16
HOURS = 24
CONDITIONS = ("worn", "non-wear", "gap", "not recorded")
"""What a second is, the first that holds."""


@dataclass(frozen=True)
class Coverage:
    """seconds_KH: seconds of each condition in each hour of the day, (4, 24), summed over `read` person-days.

    missing: sampled person-days whose states are not in storage. total: person-days of the store.
    """

    seconds_KH: NDArray[np.int64]
    read: int
    missing: int
    total: int

    @property
    def share_KH(self) -> NDArray[np.float64]:
        """The share of each condition in each hour; NaN where nothing was read."""
        with np.errstate(invalid="ignore"):
            return self.seconds_KH / self.seconds_KH.sum(0)


def sample(slot_D: NDArray[np.int64], most: int = SAMPLE) -> NDArray[np.int64]:
    """At most `most` slots, drawn at random and in order; the same ones in whichever order they come."""
    slots = np.sort(slot_D)
    if slots.size <= most:
        return slots
    return np.sort(np.random.default_rng(SEED).choice(slots, most, replace=False))


def by_hour(state_S: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Seconds of each condition in each hour of one person-day, (4, 24)."""
    worn_S = worn(state_S)
    nonwear_S = ~worn_S & ((state_S & NONWEAR) != 0)
    gap_S = ~worn_S & ~nonwear_S & ((state_S & GAP) != 0)
    flags_KS = np.stack([worn_S, nonwear_S, gap_S, ~(worn_S | nonwear_S | gap_S)])
    return flags_KS.reshape(len(CONDITIONS), HOURS, -1).sum(2)


def read_coverage(store: Store, slot_D: NDArray[np.int64], most: int = SAMPLE) -> Coverage:
    """Read the states of a sample of at most `most` person-days, several at once."""
    seconds_KH = np.zeros((len(CONDITIONS), HOURS), np.int64)
    slots = sample(slot_D, most)
    slots_there = slots[slots < store.length] if slots.size else slots
    missing = slots.size - slots_there.size

    def read(slot: int) -> NDArray[np.int64] | None:
        try:
            return by_hour(store.days.read_state(slot))
        except UnreadableDay:
            return None

    with (
        store.folder.translate_errors(),
        ThreadPoolExecutor(AT_ONCE) as pool,
        Progress("coverage by the hour", slots.size, "person-days") as progress,
    ):
        for done, found_KH in enumerate(pool.map(read, slots_there.tolist()), 1):
            if found_KH is None:
                missing += 1
            else:
                seconds_KH += found_KH
            progress.update(done)
    return Coverage(seconds_KH, slots.size - missing, missing, slot_D.size)
