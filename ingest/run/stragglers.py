"""Tasks that take far longer than others: seen, so that somebody can look, long before the limit of time ends them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from pipeline.progress import duration

FACTOR = 5.0
LEAST_S = 120.0
"""A straggler is in flight for longer than this, and for FACTOR times as long as nearly all of the others were."""
REMEMBERED, ENOUGH = 400, 20


class Stragglers:
    """Watches tasks from hand-out to result; waiting for a worker counts, for all alike."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began: dict[Any, float] = {}
        self._took: deque[float] = deque(maxlen=REMEMBERED)
        self._told: set[Any] = set()

    def began(self, task: Any) -> None:
        """A task was handed out."""
        self._began[task] = self._clock()

    def ended(self, task: Any) -> None:
        """It came back."""
        self._took.append(self._clock() - self._began.pop(task))
        self._told.discard(task)

    @property
    def usual(self) -> float:
        """Seconds within which 95 of 100 of the latest tasks came back."""
        return sorted(self._took)[int(0.95 * (len(self._took) - 1))]

    def found(self) -> Iterator[tuple[Any, float]]:
        """New stragglers and the seconds that they have been in flight."""
        if len(self._took) < ENOUGH:
            return
        now = self._clock()
        oldest = next(iter(self._began.values()), now)  # handed out in order: the first is the oldest
        if now - oldest < LEAST_S:
            return
        limit = max(LEAST_S, FACTOR * self.usual)
        for task, began in self._began.items():
            if now - began >= limit and task not in self._told:
                self._told.add(task)
                yield task, now - began

    def told(self, name: str, seconds: float) -> str:
        """A line about a straggler."""
        return (
            f"{name} has been in flight for {duration(seconds)}, nearly all others came back within "
            f"{duration(self.usual)}."
        )
