"""How long activities last and what follows them, for the transitions of a hidden Markov model (`classify`)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

LONGEST_PAUSE_S = 60.0
"""A bout follows another if it begins at most this long after it; the same activity then goes on."""


class Bout(NamedTuple):
    """One activity, in seconds of any clock."""

    start_s: float
    end_s: float
    activity: str


class BoutCounts:
    """Counts bouts and successions, a sequence of a person's bouts at a time."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.bouts: Counter[str] = Counter()
        self.next: Counter[tuple[str, str]] = Counter()

    def add(self, sequence: Iterable[Bout]) -> None:
        """Add a person's bouts of one recording, or of one trial."""
        for bout, follows in joined(sorted(sequence)):
            self.seconds[bout.activity] += bout.end_s - bout.start_s
            self.bouts[bout.activity] += 1
            if follows is not None:
                self.next[follows, bout.activity] += 1

    def facts(self) -> dict[str, Any]:
        """Return mean seconds of a bout and successions, for info.json; nothing where no activity follows another."""
        if not self.next:
            return {}
        mean = {name: round(self.seconds[name] / count, 3) for name, count in sorted(self.bouts.items())}
        followed = [[one, other, count] for (one, other), count in sorted(self.next.items())]
        return {"bouts": {"mean_seconds": mean, "next": followed}}


def joined(bouts: Sequence[Bout]) -> list[tuple[Bout, str | None]]:
    """Return bouts in order of time, with pauses inside an activity closed, and the activity that each follows."""
    found: list[tuple[Bout, str | None]] = []
    for bout in bouts:
        last = found[-1][0] if found else None
        near = last is not None and bout.start_s - last.end_s <= LONGEST_PAUSE_S
        if last is not None and near and bout.activity == last.activity:
            found[-1] = (last._replace(end_s=max(last.end_s, bout.end_s)), found[-1][1])
        else:
            found.append((bout, last.activity if last is not None and near else None))
    return found
