"""The companion is another window of the same day, near the anchor in time.

It is chosen uniformly from all eligible starts within some seconds of the anchor's. An anchor without any is its own
companion, so the anchors are those of a stream without companions.
"""

from __future__ import annotations

from collections.abc import Mapping
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
class Nearby(Companions, Chooser):
    """One window whose start is at most `within_s` from the anchor's; the two do not overlap."""

    within_s: float
    count = 1

    def bind(self, members: Members, store: Store, data: DataSettings, facts: Mapping[str, Any]) -> Bound:
        """Bind to all days; raises UserError if no window can be as near without overlapping."""
        if self.within_s < data.seconds:
            raise UserError(
                f"a nearby window that does not overlap one of {data.seconds} s starts at least {data.seconds} s from "
                f"it: expected that distance or more, found {self.within_s:g} s."
            )
        return Bound(members, self)

    def choose(self, anchor: AnchorDay, start_N: Int) -> Int:
        """See `Chooser`. Candidates are counted in the sorted eligible starts, so nothing is drawn twice."""
        eligible_M = np.flatnonzero(anchor.weights_of(anchor.slot) > 0)
        near, far = anchor.seconds, int(self.within_s)
        first, before = np.searchsorted(eligible_M, (start_N - far, start_N - near + 1))
        after, end = np.searchsorted(eligible_M, (start_N + near, start_N + far + 1))
        count = (before - first) + (end - after)
        number = (anchor.numbers(start_N) * count).astype(np.int64)
        index = np.where(number < before - first, first + number, after + number - (before - first))
        found = count > 0
        chosen = anchor.itself(start_N)
        chosen[found, 1] = eligible_M[index[found]] * TICKS_PER_SECOND
        return chosen[:, None]
