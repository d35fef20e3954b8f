"""The windows to validate on: drawn once from the held-out participants, the same at any world size."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from pipeline.errors import UnreadableDay
from train.windows.companions.kind import NO_COMPANIONS, Chooser
from train.windows.members import Members
from train.windows.pool import DayDraw, DaySource, Windows, draw_pool

LANE = 0xFFFFFFFF
"""Lane number of validation windows."""

MAX_WINDOWS = 131_072


def draw_validation(
    days: DaySource,
    members: Members,
    seconds: int,
    seed: int,
    rank: int,
    world_size: int,
    threads: int = 2,
    is_gone: Callable[[int], bool] = lambda slot: False,
    chooser: Chooser = NO_COMPANIONS,
    per_day: int = 100,
) -> Windows:
    """Draw this rank's share of the validation windows: up to `per_day` of each day, 131,072 in all.

    Each rank draws from every `world_size`-th day, so all ranks together have the same windows at any world size. A
    day that cannot be read, also one for companions, is left out if `is_gone` returns True for its slot; otherwise it
    raises UnreadableDay.
    """

    def draw_one(slot: int, count: int) -> Windows:
        gone: frozenset[int] = frozenset()
        while slot not in gone:
            try:
                return draw_pool(days, [DayDraw(slot, count)], seconds, seed, LANE, 0, chooser=chooser, gone=gone)
            except UnreadableDay as error:
                if not is_gone(error.slot):
                    raise
                gone |= {error.slot}
        return Windows.empty(seconds, chooser.count, chooser.features)

    per_day = max(1, min(per_day, MAX_WINDOWS // members.slots.size))
    slots = members.slots[:MAX_WINDOWS]
    counts = np.minimum(per_day, members.starts[:MAX_WINDOWS])
    own_days = list(zip(slots[rank::world_size].tolist(), counts[rank::world_size].tolist(), strict=True))
    with ThreadPoolExecutor(threads) as pool:
        parts = pool.map(lambda day: draw_one(*day), own_days)
        return Windows.join(list(parts)) if own_days else Windows.empty(seconds, chooser.count, chooser.features)
