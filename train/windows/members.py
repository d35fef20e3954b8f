"""Who takes part: the person-days that a run draws from, and the people held out to validate on."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.storage import StorageAway
from train.windows.lanes import Int

if TYPE_CHECKING:
    from pipeline.store import Store

VALIDATION_SHARE = 0.05
VALIDATION_LEAST, VALIDATION_MOST = 2, 1_000
WITHDRAWN_SLOTS = "validation_slots_withdrawn"
"""In checkpoints and logs: days of people who were held out until they withdrew."""


@dataclass(frozen=True)
class Members:
    """Person-days by slot, ascending, with their numbers of eligible starts and their people."""

    slots: Int
    starts: Int
    participants: NDArray[np.str_]

    def of(self, people: Collection[str], kept: bool) -> Members:
        """Those of these people (kept), or of all others."""
        return self._where(np.isin(self.participants, np.array(sorted(people), np.str_)) == kept)

    def but(self, slots: Collection[int]) -> Members:
        """Those in other slots."""
        return self._where(~np.isin(self.slots, np.array(sorted(slots), np.int64)))

    def before(self, slot: int) -> Members:
        """Those in lower slots: slots are given in the order of time."""
        return self._where(self.slots < slot)

    def _where(self, mask: NDArray[np.bool_]) -> Members:
        return Members(self.slots[mask], self.starts[mask], self.participants[mask])

    @property
    def end(self) -> int:
        """The first slot beyond theirs."""
        return int(self.slots[-1]) + 1

    @property
    def people(self) -> int:
        """The number of people."""
        return int(np.unique(self.participants).size)


@dataclass
class HeldOut:
    """People to validate on. Of those who withdraw slots stay, so that no run that goes on trains on their days."""

    people: set[str]
    slots: set[int]
    """Days of people held out who withdrew; nobody's, once they are forgotten."""
    members: Members
    withdrawn: Callable[[], frozenset[str]]

    def facts(self) -> dict[str, Any]:
        """As checkpoints and logs have them."""
        with suppress(StorageAway):  # asked again with the next checkpoint
            gone = self.people & self.withdrawn()
            self.slots |= set(self.members.of(gone, kept=True).slots.tolist())
            self.people -= gone
        return {"validation_participants": sorted(self.people), WITHDRAWN_SLOTS: sorted(self.slots)}


def select(store: Store, seconds: int, min_wear_hours: float, where: str | None) -> Members:
    """The person-days of the table's version at hand that may be drawn from.

    Raises UserError for a condition that cannot be run, or when nothing is left.
    """
    starts = f"eligible_{seconds}s"
    condition = f"wear_hours >= {min_wear_hours!r} and {starts} > 0" + (f" and ({where})" if where else "")
    rows = store.person_days.query(condition, ["slot", "participant", starts])
    if not rows.num_rows:
        raise UserError(
            f"{store.folder.url}: none of {store.person_days.read(['slot']).num_rows} person-days has "
            f"{min_wear_hours:g} h of wear and a window of {seconds} s"
            + (f" and passes {where!r}" if where else "")
            + ". Lower min_wear_hours, widen --where, or ingest more."
        )
    slots, first = np.unique(rows["slot"].to_numpy(), return_index=True)
    if slots.size != rows.num_rows:
        raise UserError(f"{store.folder.url}: slots stand twice in the table of person-days. Run ingest again.")
    participants = np.array(rows["participant"].to_pylist(), dtype=np.str_)
    return Members(slots, rows[starts].to_numpy().astype(np.int64)[first], participants[first])


def held_out(members: Members) -> set[str]:
    """People to validate on: 5%, at least 2 and at most 1,000, the lowest by a hash of their keyed ids.

    Raises UserError when nobody would be left to train on.
    """
    people = np.unique(members.participants).tolist()
    count = min(max(round(VALIDATION_SHARE * len(people)), VALIDATION_LEAST), VALIDATION_MOST)
    if count >= len(people):
        raise UserError(
            f"{len(people)} participants are too few: {VALIDATION_LEAST} are held out to validate on, and at least one "
            "has to be left to train on. Ingest more people; repeats of one person count once."
        )
    return set(sorted(people, key=lambda person: sha256(f"validation:{person}".encode()).digest())[:count])
