"""The companions are the same time on other devices of the same person, by the store's table of alignments.

A member is an anchor's day with the days aligned to it that share the most windows with it. Only starts that are
eligible in all of these days are drawn, weighted by the anchor's motion; their number is in the table, so quotas are
known without reading. A companion may start at any tick.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import UserError
from pipeline.store.alignments import Alignment, alignments_version, read_alignments, shared_starts
from train.windows.companions.kind import AnchorDay, Bound, Chooser, Companions
from train.windows.draw import Float, Int
from train.windows.members import Members
from train.windows.settings import DataSettings

if TYPE_CHECKING:
    from pipeline.store.store import Store


def is_at(location: str | None, name: str) -> bool:
    """Whether a location is one that `name` is the last words of: a left wrist is at "wrist" and "left wrist"."""
    return location is not None and f" {location}".endswith(f" {name}")


@dataclass(frozen=True)
class SameTime(Companions):
    """The same time on `others` other devices.

    With two `locations` (see `is_at`), anchors are of devices at the first, and companions of devices at the second.
    """

    others: int = 1
    locations: tuple[str, ...] = ()

    def facts(self, store: Store) -> dict[str, Any]:
        """Return the version of the table; raises UserError if the store has none."""
        return {"alignments_version": alignments_version(store)}

    def bind(self, members: Members, store: Store, data: DataSettings, facts: Mapping[str, Any]) -> Bound:
        """Bind to the days with enough others; raises UserError if there is none, or for pairs of two participants."""
        place = {slot: index for index, slot in enumerate(members.slots.tolist())}
        at = [self._slots_at(store, name) for name in self.locations]
        aligned: dict[int, list[Alignment]] = {}
        for row in read_alignments(store, self._version(store, facts)):
            located = not at or (row.slot in at[0] and row.other_slot in at[1])
            if located and row.slot in place and row.other_slot in place:
                if members.participant_M[place[row.slot]] != members.participant_M[place[row.other_slot]]:
                    raise UserError(
                        f"{store.folder.url}: the table of alignments pairs slots {row.slot} and {row.other_slot}, "
                        "which belong to two participants. Delete the table and run `persondays align` again."
                    )
                if _starts(row, data.seconds):
                    aligned.setdefault(row.slot, []).append(row)
        starts, chosen = np.zeros_like(members.starts), {}
        for slot, rows in aligned.items():
            best = sorted(rows, key=lambda row: (-_starts(row, data.seconds), row.other_slot))[: self.others]
            own = int(members.starts[place[slot]])  # each other day excludes at most own - shared starts
            shared = sum(_starts(row, data.seconds) for row in best) - (self.others - 1) * own
            if len(best) == self.others and shared > 0:
                starts[place[slot]], chosen[slot] = shared, tuple(best)
        if not chosen:
            devices = " and ".join(self.locations)
            raise UserError(
                f"{store.folder.url}: expected person-days aligned with {self.others} of another device of the same "
                f"participant{f' ({devices})' if devices else ''}, found none among {members.slots.size:,} with a "
                f"shared window of {data.seconds} s. Widen data.where to all devices, ingest them, or run `persondays "
                "align` again."
            )
        shared_members = Members(members.slots, starts, members.participant_M, members.names).where(starts > 0)
        return Bound(shared_members, SameTimeChooser(self.others, chosen))

    def _slots_at(self, store: Store, name: str) -> set[int]:
        """The slots of days of devices at a location; raises UserError if there is none."""
        table = store.person_days.read(["slot", "location"])
        locations = table["location"].to_pylist()
        each = zip(table["slot"].to_pylist(), locations, strict=True)
        slots = {slot for slot, location in each if is_at(location, name)}
        if not slots:
            known = ", ".join(sorted({location or "unknown" for location in locations}))
            raise UserError(
                f"{store.folder.url}: expected person-days of devices at the location {name!r}, found none; locations "
                f"are {known}. Name two of these, by their last words (wrist for left wrist and right wrist)."
            )
        return slots

    def _version(self, store: Store, facts: Mapping[str, Any]) -> int:
        """The version that the run began with; the newest, if a withdrawal has deleted it."""
        version = int(facts["alignments_version"])
        try:
            return store.alignments.at(version).version
        except UserError:
            if not store.withdrawals.participants():
                raise
            return alignments_version(store)


def _starts(row: Alignment, seconds: int) -> int:
    return {5: row.eligible_5s, 10: row.eligible_10s, 30: row.eligible_30s}[seconds]


class SameTimeChooser(Chooser):
    """Chooses the same time in the days aligned to the anchor's."""

    def __init__(self, count: int, aligned: Mapping[int, tuple[Alignment, ...]]) -> None:
        self.count, self._aligned = count, aligned

    def aligned_to(self, slot: int) -> list[int]:
        """Return the slots of the days aligned to a day, in the order of its companions."""
        return [row.other_slot for row in self._aligned[slot]]

    def days_of(self, anchor: AnchorDay) -> Sequence[int]:
        """See `Chooser`."""
        return [row.other_slot for row in self._there(anchor)]

    def _there(self, anchor: AnchorDay) -> list[Alignment]:
        return [row for row in self._aligned[anchor.slot] if row.other_slot not in anchor.gone]

    def weights(self, anchor: AnchorDay) -> Float:
        """See `Chooser`: the day's own weights, 0 where a window is not eligible in all days."""
        weight_S = anchor.weights_of(anchor.slot)
        shared_S = weight_S > 0
        for row in self._there(anchor):
            shared_S &= shared_starts(shared_S, anchor.weights_of(row.other_slot) > 0, row, anchor.seconds)
        return np.where(shared_S, weight_S, 0.0)

    def choose(self, anchor: AnchorDay, start_N: Int) -> Int:
        """See `Chooser`. The anchor stands in for the window of a day that is gone."""
        chosen = [
            anchor.itself(start_N)
            if row.other_slot in anchor.gone
            else np.stack((np.full_like(start_N, row.other_slot), row.other_tick(start_N)), 1)
            for row in self._aligned[anchor.slot]
        ]
        return np.stack(chosen, 1)
