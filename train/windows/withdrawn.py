"""Replacing days that a run can no longer draw, because the participant withdrew or the day is damaged.

A run uses one version of the tables, and participants may withdraw later. The place of such a day in the stream stays,
so that every position keeps its meaning. It is filled with windows of the days that follow in the lane, windows that
this round would not have drawn otherwise. The result depends only on which days are gone, so it is the same at any
world size. But ranks learn of a withdrawal at different moments, and from then on the run is not exactly one that drew
those days.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

import numpy as np

from pipeline.errors import UserError
from pipeline.storage.disk_cache import DiskCache
from pipeline.storage.folder import StorageUnavailable
from train.windows.lanes import Lane
from train.windows.members import Members
from train.windows.pool import DayDraw

CHECK_INTERVAL_S = 60.0
"""Time between two checks for withdrawals; a missing object is a reason to check at once."""

MAX_SLOTS_SHOWN = 6


def substitute_draws(
    lane: Lane, round_: int, lanes: Sequence[Lane], members: Members, gone: frozenset[int]
) -> dict[int, list[DayDraw]]:
    """For each day of a round that is gone, by slot, the draws that give as many windows instead.

    They come from the days that follow in the round, after the windows that such a day gives in its own place. If the
    lane has none left, they come from the lanes that follow. Raises UserError if too few windows are left in all.
    """
    visit = lane.round(round_)
    absent = np.isin(visit.slots, np.array(sorted(gone), np.int64))
    present = np.flatnonzero(~absent)
    used: Counter[int] = Counter()

    def following(index: int) -> Iterator[tuple[int, int]]:
        """Candidate days, each with the number of its windows that this lane already draws."""
        for at in np.roll(present, -int(np.searchsorted(present, index))):
            yield int(visit.slots[at]), int(visit.quotas[at]) + used[int(visit.slots[at])]
        others = (lanes[(lane.number + ahead) % len(lanes)] for ahead in range(1, len(lanes)))
        yield from ((slot, used[slot]) for other in others for slot in other.round(round_).slots.tolist())

    substitutes: dict[int, list[DayDraw]] = {}
    for index in np.flatnonzero(absent):
        needed, draws = int(visit.quotas[index]), []
        for slot, drawn in following(int(index)):
            count = min(needed, starts_of(members, slot) - drawn)
            if count > 0 and slot not in gone:
                draws.append(DayDraw(slot, count, drawn))
                used[slot] += count
                needed -= count
            if not needed:
                break
        if needed:
            raise UserError(
                f"{len(gone):,} of {members.slots.size:,} person-days belong to participants who have withdrawn, or "
                "cannot be read, and the others have too few windows to replace them. Start a new run, in another "
                "folder of checkpoints."
            )
        substitutes[int(visit.slots[index])] = draws
    return substitutes


def starts_of(members: Members, slot: int) -> int:
    """Number of eligible starts of a member."""
    return int(members.starts[np.searchsorted(members.slots, slot)])


class Substitutes:
    """Knows which days of a run are gone, and what to draw in their place. Thread-safe.

    Days are gone if their participant has withdrawn (`withdrawn` returns the ids), or, with `skip_damaged`, if they
    could not be read. Days of participants who have withdrawn are deleted from the cache.
    """

    def __init__(
        self,
        members: Members,
        lanes: list[Lane],
        withdrawn: Callable[[], frozenset[str]],
        skip_damaged: bool = False,
        cache: DiskCache | None = None,
    ) -> None:
        self.members, self.lanes, self.skip_damaged = members, lanes, skip_damaged
        self._get_withdrawn, self._cache = withdrawn, cache
        self._lock = threading.Lock()
        self._participants: frozenset[str] = frozenset()
        self._withdrawn: frozenset[int] = frozenset()
        self._damaged: frozenset[int] = frozenset()
        self._by_lane: dict[int, tuple[int, dict[int, list[DayDraw]]]] = {}
        self._reported: dict[int, bool] = {}
        self._check()

    def _check(self) -> None:
        self._checked = time.monotonic()
        participants = self._get_withdrawn()
        if participants != self._participants:
            slots = self.members.of_participants(participants).slots
            self._participants, self._withdrawn, self._by_lane = participants, frozenset(slots.tolist()), {}
            if self._cache is not None:
                self._cache.purge(self._withdrawn)

    @property
    def _gone(self) -> frozenset[int]:
        return self._withdrawn | self._damaged

    def gone(self) -> frozenset[int]:
        """Return the slots of all days that are gone, as far as known."""
        with self._lock:
            return self._gone

    def is_gone(self, slot: int) -> bool:
        """Check for withdrawals, and return whether the run may continue without a day that it could not read."""
        with self._lock:
            self._check()
            if slot not in self._withdrawn and self.skip_damaged:
                self._damaged, self._by_lane = self._damaged | {slot}, {}
                self._reported.setdefault(slot, False)
            return slot in self._gone

    def draws(self, lane: Lane, round_: int, slot: int, quota: int) -> list[DayDraw]:
        """Return what to draw in the place of a day: the day itself, unless it is gone."""
        with self._lock:
            if time.monotonic() - self._checked >= CHECK_INTERVAL_S:
                with suppress(StorageUnavailable):  # checked again in a minute, or when an object is missing
                    self._check()
            if slot not in self._gone:
                return [DayDraw(slot, quota)]
            self._reported.setdefault(slot, False)
            known = self._by_lane.get(lane.number)
            if known is None or known[0] != round_:
                known = round_, substitute_draws(lane, round_, self.lanes, self.members, self._gone)
                self._by_lane[lane.number] = known
            return known[1][slot]

    def take_new(self) -> list[tuple[int, bool]]:
        """Return the slots that were replaced for the first time since the last call, and whether each is damaged."""
        with self._lock:
            fresh = [slot for slot, reported in self._reported.items() if not reported]
            self._reported.update(dict.fromkeys(fresh, True))
            return [(slot, slot in self._damaged) for slot in fresh]


def days_message(slots: list[int], damaged: bool) -> str:
    """The message of a run when it replaces days for the first time."""
    shown = ", ".join(map(str, slots[:MAX_SLOTS_SHOWN])) + (" ..." if len(slots) > MAX_SLOTS_SHOWN else "")
    reason = (
        f"damaged: {len(slots):,} person-days of this run cannot be read (slots {shown}; `persondays verify --repair` "
        "has them ingested again)."
        if damaged
        else f"withdrawn: the participants of {len(slots):,} person-days of this run have withdrawn (slots {shown})."
    )
    return (
        f"{reason} The next days of their lanes replace them in training; validation continues without them. From here "
        "on, this run is not exactly the same as one that drew those days."
    )
