"""Tasks that take far longer than others: reported long before the time limit ends them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from pipeline.progress import duration

FACTOR = 5.0
MIN_S = 120.0
"""A straggler is in flight for longer than this, and for FACTOR times as long as 95 of 100 tasks took."""
MAX_TASKS, MIN_TASKS = 400, 20
"""How many of the latest finished tasks are compared with, and how many there have to be."""


class Stragglers:
    """Times tasks from submission to result; waiting for a worker counts, for all tasks alike."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began: dict[Any, float] = {}
        self._took: deque[float] = deque(maxlen=MAX_TASKS)
        self._reported: set[Any] = set()

    def began(self, task: Any) -> None:
        """A task was submitted."""
        self._began[task] = self._clock()

    def ended(self, task: Any) -> None:
        """A task finished."""
        self._took.append(self._clock() - self._began.pop(task))
        self._reported.discard(task)

    @property
    def usual(self) -> float:
        """Seconds that 95 of 100 of the latest tasks did not exceed."""
        return sorted(self._took)[int(0.95 * (len(self._took) - 1))]

    def found(self) -> Iterator[tuple[Any, float]]:
        """New stragglers, and the seconds for which each has been in flight."""
        if len(self._took) < MIN_TASKS:
            return
        now = self._clock()
        oldest = next(iter(self._began.values()), now)  # in the order of submission: the first is the oldest
        if now - oldest < MIN_S:
            return
        limit = max(MIN_S, FACTOR * self.usual)
        for task, began in self._began.items():
            if now - began >= limit and task not in self._reported:
                self._reported.add(task)
                yield task, now - began

    def message(self, name: str, seconds: float) -> str:
        """The line of the log about a straggler."""
        return (
            f"{name} has been in flight for {duration(seconds)}; nearly all others took at most {duration(self.usual)}."
        )
