"""The person-days that a run draws from, and the participants held out for validation."""

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
MIN_VALIDATION_PARTICIPANTS, MAX_VALIDATION_PARTICIPANTS = 2, 1_000


@dataclass(frozen=True)
class Members:
    """Person-days by slot, ascending, with their numbers of eligible starts and their participants.

    participant_M holds, for each day, an index into `names`, the keyed ids of participants. `names` may hold ids that
    no day has.
    """

    slots: Int
    starts: Int
    participant_M: Int
    names: list[str]

    def of_participants(self, ids: Collection[str]) -> Members:
        """Keep the days of these participants."""
        return self.where(self._belongs_to(ids))

    def without_participants(self, ids: Collection[str]) -> Members:
        """Drop the days of these participants."""
        return self.where(~self._belongs_to(ids))

    def without_slots(self, slots: Collection[int]) -> Members:
        """Drop the days in these slots."""
        return self.where(~np.isin(self.slots, np.array(sorted(slots), np.int64)))

    def before_slot(self, slot: int) -> Members:
        """Keep the days in lower slots, which are those ingested earlier."""
        return self.where(self.slots < slot)

    def limited_to(self, participants: int | None) -> Members:
        """Keep the days of this many participants, chosen by a hash of their ids; None keeps all.

        The participants of a smaller number are among those of a larger one, and the same in every store.
        """
        if participants is None or participants >= len(self.participants):
            return self
        return self.of_participants(_lowest("participants", self.participants, participants))

    def spaced(self, seconds: int) -> Members:
        """Count only the starts that certainly fit when they are this many seconds apart (`lanes.quotas`)."""
        return Members(self.slots, -(-self.starts // (2 * seconds - 1)), self.participant_M, self.names)

    def _belongs_to(self, ids: Collection[str]) -> NDArray[np.bool_]:
        wanted = np.array([name in ids for name in self.names], np.bool_)
        return wanted[self.participant_M]

    def where(self, mask: NDArray[np.bool_]) -> Members:
        """Keep the days for which the mask (M) is true."""
        return Members(self.slots[mask], self.starts[mask], self.participant_M[mask], self.names)

    @property
    def digest(self) -> str:
        """16 hex digits that identify these slots and their numbers of eligible starts."""
        return sha256(self.slots.tobytes() + self.starts.tobytes()).hexdigest()[:16]

    @property
    def end_slot(self) -> int:
        """The first slot beyond the last day."""
        return int(self.slots[-1]) + 1

    @cached_property
    def participants(self) -> list[str]:
        """Keyed ids of the participants who have a day here, each once."""
        return [self.names[number] for number in np.flatnonzero(np.bincount(self.participant_M)).tolist()]


@dataclass
class HeldOut:
    """Participants held out for validation, and the slots of those who have withdrawn.

    The slots stay so that a run never trains on those days, even when it resumes.
    """

    participants: set[str]
    withdrawn_slots: set[int]
    members: Members
    withdrawn: Callable[[], frozenset[str]]
    """Returns the keyed ids of all participants who have withdrawn."""

    def update(self) -> None:
        """Replace participants who have withdrawn by their slots."""
        with suppress(StorageUnavailable):  # the next checkpoint tries again
            gone = self.participants & self.withdrawn()
            self.withdrawn_slots |= set(self.members.of_participants(gone).slots.tolist())
            self.participants -= gone


def select(store: Store, seconds: int, min_wear_hours: float, where: str | None) -> Members:
    """Select the person-days to draw from, in the version of the table that the store has open.

    Raises UserError for a condition that cannot be run, or if no day passes.
    """
    starts = f"eligible_{seconds}s"
    condition = f"wear_hours >= {min_wear_hours!r} and {starts} > 0" + (f" and ({where})" if where else "")
    rows = store.person_days.query(condition, ["slot", "participant", starts])
    if not rows.num_rows:
        raise UserError(
            f"{store.folder.url}: none of {store.person_days.read(['slot']).num_rows} person-days has "
            f"{min_wear_hours:g} h of wear and a window of {seconds} s"
            + (f" and passes {where!r}" if where else "")
            + ". Lower data.min_wear_hours, widen data.where, or ingest more."
        )
    slots, first = np.unique(_numpy(rows["slot"]), return_index=True)
    if slots.size != rows.num_rows:
        raise UserError(f"{store.folder.url}: the table of person-days has a slot twice. Run ingest again.")
    participants = rows["participant"].combine_chunks().dictionary_encode()
    participant_M = _numpy(participants.indices)[first]
    return Members(slots, _numpy(rows[starts])[first], participant_M, participants.dictionary.to_pylist())


def _numpy(column: Any) -> Int:
    """Convert an Arrow column of integers; unlike pyarrow's own conversion, this does not import pandas (0.4 s)."""
    return np.from_dlpack(column.combine_chunks() if hasattr(column, "chunks") else column).astype(np.int64)


def choose_held_out(members: Members, count: int | None = None) -> set[str]:
    """Choose `count` participants to validate on, the lowest by a hash of their ids.

    None: 5%, at least 2 and at most 1,000. Raises UserError if nobody would be left to train on.
    """
    participants = members.participants
    if count is None:
        count = round(VALIDATION_SHARE * len(participants))
        count = min(max(count, MIN_VALIDATION_PARTICIPANTS), MAX_VALIDATION_PARTICIPANTS)
    if count >= len(participants):
        raise UserError(
            f"{len(participants)} participants are too few: {count} are held out for validation, and at least one more "
            "is needed to train on. Ingest more participants; repeat recordings of a participant count once."
        )
    return _lowest("validation", participants, count)


def _lowest(purpose: str, ids: list[str], count: int) -> set[str]:
    return set(sorted(ids, key=lambda name: sha256(f"{purpose}:{name}".encode()).digest())[:count])
