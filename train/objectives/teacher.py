"""A kind of companions: only windows that have a vector in a table of features are drawn, and bring it along.

The teacher may be any network: persondays knows its vectors alone. Quotas need the number of eligible starts with a
vector of each day. `embed` writes the share of eligible seconds, and by default only rows where it is 1; for other
tables, the states of all days are read at the start. Vectors are read with the pool that draws their windows.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.grid import SECONDS_PER_DAY
from train.windows.companions.kind import AnchorDay, Bound, Companions, NoCompanions
from train.windows.draw import Float, Int, weights
from train.windows.members import Members
from train.windows.settings import DataSettings

if TYPE_CHECKING:
    from pipeline.store.store import Store
    from train.embed.lookup import IndexedDay, Lookup

READERS, DAYS_AT_ONCE = 8, 64


class InTable(Companions):
    """The windows with a vector in the table at `url`; a round draws more than `least` of them."""

    def __init__(self, url: str, least: int) -> None:
        self.url, self.least = url, least

    @cached_property
    def table(self) -> Lookup:
        """The table; raises UserError if there is none."""
        from train.embed.lookup import Lookup  # reads storage, which a step without a store does not need

        return Lookup(self.url)

    def facts(self, store: Store) -> dict[str, Any]:
        """Return what identifies the table: its digest, and the length of its vectors."""
        return {"table": self.table.digest, "features": self.table.features}

    def bind(self, members: Members, store: Store, data: DataSettings, facts: Mapping[str, Any]) -> Bound:
        """Bind to the days with vectors of eligible windows.

        Raises UserError if the table is not the one that the run began with, of another store, of windows of another
        length or of means over time, or has no row of these days.
        """
        from pipeline.store.day_reader import DayReader

        self._check_same(store, facts)
        all_eligible = self._check_made_for(store, data)
        place = {slot: index for index, slot in enumerate(members.slots.tolist())}
        starts = np.zeros_like(members.starts)
        known = (day for day in self.table.index() if day.slot in place)

        def count(day: IndexedDay) -> int:
            if day.participant not in (None, members.names[members.participant_M[place[day.slot]]]):
                raise UserError(f"{self.url}: expected features of {store.folder.url}, found those of another store.")
            if all_eligible:
                return day.start_N.size
            motion_S, state_S = days.open_day(day.slot).states()
            return int(np.count_nonzero(weights(motion_S, state_S, data.seconds)[day.start_N]))

        with DayReader(store.folder) as days, ThreadPoolExecutor(READERS) as pool:
            while some := list(islice(known, DAYS_AT_ONCE)):
                starts[[place[day.slot] for day in some]] = list(pool.map(count, some))
        if not starts.any():
            raise UserError(
                f"{self.url}: expected vectors of eligible windows of {members.slots.size:,} person-days, found none. "
                "Embed the store that is trained on, or widen data.where."
            )
        kept = Members(members.slots, starts, members.participant_M, members.names).where(starts > 0)
        return Bound(kept, InTableChooser(self.table))

    def check_round(self, windows: int) -> None:
        """Raise UserError unless a round draws more windows than the queue holds: no window should meet itself."""
        if windows <= self.least:
            raise UserError(
                f"{self.url}: expected vectors for more windows in a round than the {self.least:,} of the queue, found "
                f"{windows:,}. Embed more, raise data.windows_per_day, widen data.where, or set a smaller "
                "objective.distil.queue."
            )

    def _check_same(self, store: Store, facts: Mapping[str, Any]) -> None:
        now = self.facts(store)
        if now != facts:
            raise UserError(
                f"{self.url}: expected the table of features that the run began with, found another: vectors of "
                f"{facts['features']} numbers then, {now['features']} now; digest {facts['table']} then, "
                f"{now['table']} now. Give the same table, or start a new run in another folder."
            )

    def _check_made_for(self, store: Store, data: DataSettings) -> bool:
        """Return whether every row is known to be eligible; raises UserError if rows are not windows of the run."""
        made = self.table.facts
        if made is None:
            return False
        attributes = store.attributes
        if (made["store_fingerprint"], made["store_key_check"]) != (attributes.fingerprint, attributes.key_check):
            raise UserError(f"{self.url}: expected features of {store.folder.url}, found those of another store.")
        found = f"windows of {made['seconds']} s" if made["pool"] == "none" else f"means by {made['pool']}"
        if found != f"windows of {data.seconds} s":
            raise UserError(
                f"{self.url}: expected features of windows of {data.seconds} s, found {found}. Embed the store with a "
                "teacher of that window and without --pool, or train a network of the teacher's window."
            )
        return bool(made["min_eligible"] >= 1)


class InTableChooser(NoCompanions):
    """Draws the starts that the table has, by the day's own weights, with their vectors."""

    def __init__(self, table: Lookup) -> None:
        self._table, self.features = table, table.features

    def weights(self, anchor: AnchorDay) -> Float:
        """See `Chooser`."""
        weight_S, named = np.zeros(SECONDS_PER_DAY), self._table.starts(anchor.slot)
        weight_S[named] = anchor.weights_of(anchor.slot)[named]
        return weight_S

    def vectors(self, anchor: AnchorDay, start_N: Int) -> NDArray[np.float32]:
        """See `Chooser`."""
        return self._table.vectors(anchor.slot, start_N)
