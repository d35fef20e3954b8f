"""The companion is a window of another day of the same person, drawn by that day's own weights.

Members are the days of participants who have at least two. The days of a participant are dealt to one lane, and a pool
holds at least two of them (`lanes.deal`), so companions come from days that the pool reads in any case. Only where a
pool has one day of a participant (a replaced day, a validation day, or `data.one_day_per_participant`), another day is
read for it: one for all anchors of the day in that round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import UserError
from pipeline.grid import TICKS_PER_SECOND
from train.windows.companions.kind import AnchorDay, Bound, Chooser, Companions
from train.windows.draw import Int
from train.windows.members import Members
from train.windows.settings import DataSettings

if TYPE_CHECKING:
    from pipeline.store.store import Store


@dataclass(frozen=True)
class OtherDay(Companions):
    """One window of another day of the same participant."""

    def bind(self, members: Members, store: Store, data: DataSettings, facts: Mapping[str, Any]) -> Bound:
        """Bind to the days of participants with at least two; raises UserError if nobody has two."""
        days = np.bincount(members.participant_M)
        kept = members.where(days[members.participant_M] > 1)
        if not kept.slots.size:
            raise UserError(
                f"{store.folder.url}: expected participants with at least two person-days to draw from, found none "
                f"among {len(members.participants):,}. Ingest longer or repeated recordings, name who recorded them "
                "(`ingest --participants` or `--id-regex`), or widen data.where."
            )
        order = np.lexsort((kept.slots, kept.participant_M))
        groups = np.split(kept.slots[order], np.flatnonzero(np.diff(kept.participant_M[order])) + 1)
        days_of = {slot: group for group in groups for slot in group.tolist()}
        return Bound(kept, OtherDayChooser(days_of), people_share_pools=True)


class OtherDayChooser(Chooser):
    """Chooses from the days of the anchor's participant; `days_of` holds these for each slot, its own included."""

    count = 1

    def __init__(self, days_of: Mapping[int, Int]) -> None:
        self._days_of = days_of

    def days_of(self, anchor: AnchorDay) -> Sequence[int]:
        """See `Chooser`: the participant's other days in the pool, or one of all others."""
        others = [day for day in self._days_of[anchor.slot].tolist() if day != anchor.slot and day not in anchor.gone]
        pooled = set(anchor.pooled)
        return [day for day in others if day in pooled] or [
            others[int(anchor.number() * len(others))] for _ in range(min(len(others), 1))
        ]

    def choose(self, anchor: AnchorDay, start_N: Int) -> Int:
        """See `Chooser`. One number chooses the day, another the start, in proportion to its weight."""
        days, chosen = self.days_of(anchor), anchor.itself(start_N)
        day_N = (anchor.numbers(start_N, 1) * len(days)).astype(np.int64)
        number_N = anchor.numbers(start_N)
        for index, slot in enumerate(days):
            mine, total_S = day_N == index, np.cumsum(anchor.weights_of(slot))
            below = np.minimum(number_N[mine] * total_S[-1], np.nextafter(total_S[-1], 0))
            if total_S[-1] > 0:
                chosen[mine, 0] = slot
                chosen[mine, 1] = np.searchsorted(total_S, below, side="right") * TICKS_PER_SECOND
        return chosen[:, None]
