"""The windows to validate on: drawn once from the people held out, the same at every validation and world size."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from pipeline.errors import UnreadableDay
from train.windows.members import Members
from train.windows.pool import Days, Part, Windows, draw_pool

LANE = 0xFFFFFFFF
"""The number that stands for validation where windows of the stream have their lane's."""

WINDOWS_PER_DAY = 100
WINDOWS_MOST = 131_072


def draw_validation(
    days: Days,
    members: Members,
    seconds: int,
    seed: int,
    rank: int,
    world_size: int,
    threads: int = 2,
    withdrew: Callable[[int], bool] = lambda slot: False,
) -> Windows:
    """This rank's share of the validation windows: up to 100 a day, 131,072 in all.

    Each rank takes every `world_size`-th day; the windows together are the same at every world size. A day that is
    not there is left out where `withdrew` says so of its slot, else it raises UnreadableDay.
    """

    def draw_one(slot: int, count: int) -> Windows:
        try:
            return draw_pool(days, [Part(slot, count)], seconds, seed, LANE, 0)
        except UnreadableDay as error:
            if not withdrew(error.slot):
                raise
            return Windows.none(seconds)

    per_day = max(1, min(WINDOWS_PER_DAY, WINDOWS_MOST // members.slots.size))
    slots = members.slots[:WINDOWS_MOST]
    counts = np.minimum(per_day, members.starts[:WINDOWS_MOST])
    mine = list(zip(slots[rank::world_size].tolist(), counts[rank::world_size].tolist(), strict=True))
    with ThreadPoolExecutor(threads) as pool:
        parts = pool.map(lambda day: draw_one(*day), mine)
        return Windows.join(list(parts)) if mine else Windows.none(seconds)
