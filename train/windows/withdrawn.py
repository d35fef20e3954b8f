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
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import UserError
from pipeline.storage import StorageAway
from pipeline.store import MissingDay
from train.windows.lanes import Lane
from train.windows.members import Members

if TYPE_CHECKING:
    from train.windows.stream import Windows

LOOK_EVERY_S = 60.0
"""How often a run asks who has withdrawn, while nothing is missing."""


SLOTS_TOLD = 6


@dataclass(frozen=True)
class Part:
    """Some of the windows that a lane draws from a day in a round."""

    slot: int
    count: int
    after: int = 0
    """Windows that are passed over: the first to arrive, which the day gives in its own place."""


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
                f"{len(gone):,} of {members.slots.size:,} person-days belong to people who have withdrawn, and the "
                "others hold too few windows to take their places. Begin a new run, in another folder of checkpoints."
            )
        filled[int(visit.slots[index])] = parts
    return filled


def starts_of(members: Members, slot: int) -> int:
    """Eligible starts of a member."""
    return int(members.starts[np.searchsorted(members.slots, slot)])


class Substitutes:
    """What the lanes of a run draw, now that some of its people may have withdrawn. Used by many threads."""

    def __init__(self, members: Members, lanes: list[Lane], people: Callable[[], frozenset[str]]) -> None:
        self.members, self.lanes, self._ask = members, lanes, people
        self._lock = threading.Lock()
        self._people: frozenset[str] = frozenset()
        self._gone: frozenset[int] = frozenset()
        self._filled: dict[int, tuple[int, dict[int, list[Part]]]] = {}
        self._noticed: dict[int, bool] = {}
        self._look()

    def _look(self) -> None:
        self._asked = time.monotonic()
        people = self._ask()
        if people != self._people:
            slots = self.members.of(people, kept=True).slots
            self._people, self._gone, self._filled = people, frozenset(slots.tolist()), {}

    def withdrew(self, slot: int) -> bool:
        """Whether the person of a slot has withdrawn, asked anew."""
        with self._lock:
            self._look()
            return slot in self._gone

    def parts(self, lane: Lane, round_: int, slot: int, quota: int) -> list[Part]:
        """What is drawn in a day's place: the day itself, unless its person has withdrawn."""
        with self._lock:
            if time.monotonic() - self._asked >= LOOK_EVERY_S:
                with suppress(StorageAway):  # asked again in a minute; what is missing is asked for at once
                    self._look()
            if slot not in self._gone:
                return [Part(slot, quota)]
            self._noticed.setdefault(slot, False)
            held = self._filled.get(lane.number)
            if held is None or held[0] != round_:
                held = round_, fill(lane, round_, self.lanes, self.members, self._gone)
                self._filled[lane.number] = held
            return held[1][slot]

    def draw(self, draw: Callable[[Part], Windows], lane: Lane, round_: int, slot: int, quota: int) -> list[Windows]:
        """The windows drawn in a day's place; raises MissingDay for one that is not there and did not withdraw."""
        while True:
            drawn: list[Windows] = []
            for part in self.parts(lane, round_, slot, quota):
                try:
                    drawn.append(draw(part))
                except MissingDay:
                    if not self.withdrew(part.slot):
                        raise
                    break
            else:
                return drawn

    def news(self) -> list[int]:
        """Slots whose windows came from other days for the first time, since this was last asked."""
        with self._lock:
            fresh = [slot for slot, told in self._noticed.items() if not told]
            self._noticed.update(dict.fromkeys(fresh, True))
            return fresh


def told_of_days(slots: list[int]) -> str:
    """What a run says when it first does without some days."""
    some = ", ".join(map(str, slots[:SLOTS_TOLD])) + (" ..." if len(slots) > SLOTS_TOLD else "")
    return (
        f"withdrawn: the people of {len(slots):,} person-days of this run asked to be forgotten (slots {some}). The "
        "next days of their lanes give the windows instead. From here on this is not exactly a run that drew them."
    )


def told_of_version(before: dict[str, Any], now: dict[str, Any]) -> str:
    """What a run says that goes on with a newer version of the tables than its checkpoint has."""
    return (
        f"withdrawn: people asked to be forgotten, and version {before['table_version']} of the tables went with them. "
        f"This run goes on with version {now['table_version']}: {before['members']:,} person-days before, "
        f"{now['members']:,} now; {before['lanes']} lanes before, {now['lanes']} now. From here on it is not exactly "
        "the run that never stopped."
    )
