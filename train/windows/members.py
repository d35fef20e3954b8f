"""Who takes part: the person-days that a run draws from, and the people held out to validate on."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.storage.folder import StorageUnavailable
from train.windows.draw import Int

if TYPE_CHECKING:
    from pipeline.store.store import Store

VALIDATION_SHARE = 0.05
VALIDATION_LEAST, VALIDATION_MOST = 2, 1_000
WITHDRAWN_SLOTS = "validation_slots_withdrawn"
"""In checkpoints and logs: days of people who were held out until they withdrew."""


@dataclass(frozen=True)
class Members:
    """Person-days by slot, ascending, with their numbers of eligible starts and their people.

    person_M says whose a day is: a place in `names`, which may hold others too.
    """

    slots: Int
    starts: Int
    person_M: Int
    names: list[str]

    def of(self, people: Collection[str], kept: bool) -> Members:
        """Those of these people (kept), or of all others."""
        wanted = np.array([name in people for name in self.names], np.bool_)
        return self._where(wanted[self.person_M] == kept)

    def but(self, slots: Collection[int]) -> Members:
        """Those in other slots."""
        return self._where(~np.isin(self.slots, np.array(sorted(slots), np.int64)))

    def before(self, slot: int) -> Members:
        """Those in lower slots: slots are given in the order of time."""
        return self._where(self.slots < slot)

    def some(self, people: int | None) -> Members:
        """Those of so many people: the same of any store they are in, and all of fewer among more. None: all."""
        if people is None or people >= len(self.people):
            return self
        return self.of(_lowest("participants", self.people, people), kept=True)

    def spaced(self, seconds: int) -> Members:
        """The same, with the starts that surely fit when they are so many seconds apart (`lanes.quotas`)."""
        return Members(self.slots, -(-self.starts // (2 * seconds - 1)), self.person_M, self.names)

    def _where(self, mask: NDArray[np.bool_]) -> Members:
        return Members(self.slots[mask], self.starts[mask], self.person_M[mask], self.names)

    @property
    def digest(self) -> str:
        """By which these days are told from others: of their slots and eligible starts."""
        return sha256(self.slots.tobytes() + self.starts.tobytes()).hexdigest()[:16]

    @property
    def end(self) -> int:
        """The first slot beyond theirs."""
        return int(self.slots[-1]) + 1

    @cached_property
    def people(self) -> list[str]:
        """Whose days they are, each once."""
        return [self.names[person] for person in np.flatnonzero(np.bincount(self.person_M)).tolist()]


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
        with suppress(StorageUnavailable):  # asked again with the next checkpoint
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
    slots, first = np.unique(_numpy(rows["slot"]), return_index=True)
    if slots.size != rows.num_rows:
        raise UserError(f"{store.folder.url}: slots stand twice in the table of person-days. Run ingest again.")
    people = rows["participant"].combine_chunks().dictionary_encode()
    person_M = _numpy(people.indices)[first]
    return Members(slots, _numpy(rows[starts])[first], person_M, people.dictionary.to_pylist())


def _numpy(column: Any) -> Int:
    """Whole numbers of an Arrow column, by a way on which pyarrow does not import pandas (0.4 s)."""
    return np.from_dlpack(column.combine_chunks() if hasattr(column, "chunks") else column).astype(np.int64)


def held_out(members: Members) -> set[str]:
    """People to validate on: 5%, at least 2 and at most 1,000, the lowest by a hash of their keyed ids.

    Raises UserError when nobody would be left to train on.
    """
    people = members.people
    count = min(max(round(VALIDATION_SHARE * len(people)), VALIDATION_LEAST), VALIDATION_MOST)
    if count >= len(people):
        raise UserError(
            f"{len(people)} participants are too few: {VALIDATION_LEAST} are held out to validate on, and at least one "
            "has to be left to train on. Ingest more people; repeats of one person count once."
        )
    return _lowest("validation", people, count)


def _lowest(purpose: str, people: list[str], count: int) -> set[str]:
    return set(sorted(people, key=lambda person: sha256(f"{purpose}:{person}".encode()).digest())[:count])
