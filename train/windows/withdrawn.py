"""Days whose person withdrew while a run was drawing them: the lane's next days give their windows.

A run holds one version of the tables, and people may withdraw after it. The places of their days in the
stream stay, so that every position keeps its meaning; windows that the law would not have drawn this round
fill them, from the days that follow in the lane. What a rank draws depends on who has withdrawn and on
nothing else, so it is the same at every world size; but ranks learn of it each in its own time, and from
then on a run is no longer exactly one that drew those days.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from pipeline.errors import UserError
from pipeline.storage.disk_cache import DiskCache
from pipeline.storage.folder import StorageUnavailable
from train.windows.lanes import Lane
from train.windows.members import Members
from train.windows.pool import Part

LOOK_EVERY_S = 60.0
"""How often a run asks who has withdrawn, while nothing is missing."""


SLOTS_TOLD = 6


def fill(
    lane: Lane, round_: int, lanes: Sequence[Lane], members: Members, gone: frozenset[int]
) -> dict[int, list[Part]]:
    """What a lane draws in a round instead of each of its days that are gone, by slot: as many windows.

    They come from the days that follow in the round, beyond those that such a day gives in its own place; where the
    lane has no others, from the lanes that follow. Raises UserError when too little is left in all.
    """
    visit = lane.round(round_)
    absent = np.isin(visit.slots, np.array(sorted(gone), np.int64))
    present = np.flatnonzero(~absent)
    used: Counter[int] = Counter()

    def following(index: int) -> Iterator[tuple[int, int]]:
        """Days to take from, and how many of their windows are drawn in this lane already."""
        for at in np.roll(present, -int(np.searchsorted(present, index))):
            yield int(visit.slots[at]), int(visit.quotas[at]) + used[int(visit.slots[at])]
        others = (lanes[(lane.number + ahead) % len(lanes)] for ahead in range(1, len(lanes)))
        yield from ((slot, used[slot]) for other in others for slot in other.round(round_).slots.tolist())

    filled: dict[int, list[Part]] = {}
    for index in np.flatnonzero(absent):
        need, parts = int(visit.quotas[index]), []
        for slot, drawn in following(int(index)):
            count = min(need, starts_of(members, slot) - drawn)
            if count > 0 and slot not in gone:
                parts.append(Part(slot, count, drawn))
                used[slot] += count
                need -= count
            if not need:
                break
        if need:
            raise UserError(
                f"{len(gone):,} of {members.slots.size:,} person-days belong to people who have withdrawn or cannot be "
                "read, and the others hold too few windows to take their places. Begin a new run, in another folder of "
                "checkpoints."
            )
        filled[int(visit.slots[index])] = parts
    return filled


def starts_of(members: Members, slot: int) -> int:
    """Eligible starts of a member."""
    return int(members.starts[np.searchsorted(members.slots, slot)])


class Substitutes:
    """What the lanes of a run draw, now that some of its days may be gone. Used by many threads.

    Gone are the days of people who have withdrawn (`people` asks who has) and, where it is allowed, those that
    could not be read. A cache is rid of them.
    """

    def __init__(
        self,
        members: Members,
        lanes: list[Lane],
        people: Callable[[], frozenset[str]],
        skip_damaged: bool = False,
        cache: DiskCache | None = None,
    ) -> None:
        self.members, self.lanes, self.skip_damaged = members, lanes, skip_damaged
        self._ask, self._cache = people, cache
        self._lock = threading.Lock()
        self._people: frozenset[str] = frozenset()
        self._withdrawn: frozenset[int] = frozenset()
        self._damaged: frozenset[int] = frozenset()
        self._filled: dict[int, tuple[int, dict[int, list[Part]]]] = {}
        self._noticed: dict[int, bool] = {}
        self._look()

    def _look(self) -> None:
        self._asked = time.monotonic()
        people = self._ask()
        if people != self._people:
            slots = self.members.of(people, kept=True).slots
            self._people, self._withdrawn, self._filled = people, frozenset(slots.tolist()), {}
            if self._cache is not None:
                self._cache.purge(self._withdrawn)

    @property
    def _gone(self) -> frozenset[int]:
        return self._withdrawn | self._damaged

    def is_gone(self, slot: int) -> bool:
        """Whether a day that cannot be read may be done without: its person has withdrawn (asked anew), or it may."""
        with self._lock:
            self._look()
            if slot not in self._withdrawn and self.skip_damaged:
                self._damaged, self._filled = self._damaged | {slot}, {}
                self._noticed.setdefault(slot, False)
            return slot in self._gone

    def parts(self, lane: Lane, round_: int, slot: int, quota: int) -> list[Part]:
        """What is drawn in a day's place: the day itself, unless its person has withdrawn."""
        with self._lock:
            if time.monotonic() - self._asked >= LOOK_EVERY_S:
                with suppress(StorageUnavailable):  # asked again in a minute; what is missing is asked for at once
                    self._look()
            if slot not in self._gone:
                return [Part(slot, quota)]
            self._noticed.setdefault(slot, False)
            held = self._filled.get(lane.number)
            if held is None or held[0] != round_:
                held = round_, fill(lane, round_, self.lanes, self.members, self._gone)
                self._filled[lane.number] = held
            return held[1][slot]

    def news(self) -> list[tuple[int, bool]]:
        """Slots that were done without for the first time since this was last asked; which are damaged."""
        with self._lock:
            fresh = [slot for slot, told in self._noticed.items() if not told]
            self._noticed.update(dict.fromkeys(fresh, True))
            return [(slot, slot in self._damaged) for slot in fresh]


def days_message(slots: list[int], damaged: bool) -> str:
    """What a run says when it first does without some days."""
    some = ", ".join(map(str, slots[:SLOTS_TOLD])) + (" ..." if len(slots) > SLOTS_TOLD else "")
    what = (
        f"damaged: {len(slots):,} person-days of this run cannot be read (slots {some}; `persondays verify --repair` "
        "brings them in again)."
        if damaged
        else f"withdrawn: the people of {len(slots):,} person-days of this run asked to be forgotten (slots {some})."
    )
    then = (
        "The next days of their lanes give the windows instead; validation goes on without them. From here on this is "
        "not exactly a run that drew them."
    )
    return f"{what} {then}"


def version_message(before: dict[str, Any], now: dict[str, Any]) -> str:
    """What a run says that goes on with a newer version of the tables than its checkpoint has."""
    return (
        f"withdrawn: people asked to be forgotten, and version {before['table_version']} of the tables went with them. "
        f"This run goes on with version {now['table_version']}: {before['members']:,} person-days before, "
        f"{now['members']:,} now; {before['lanes']} lanes before, {now['lanes']} now. From here on it is not exactly "
        "the run that never stopped."
    )
