"""The stream of a rank: pools read ahead by threads, windows handed out step by step.

Threads, because all that takes time (reading, decompressing, drawing, cutting) leaves Python's lock
free. Pools are read in the order in which steps will need them, with a bounded number ahead; memory is
(lanes of the rank + ahead) pools of days_per_pool x windows a day.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from pipeline.day_reader import BadDay
from train.windows.lanes import Lane, Pool
from train.windows.pool import Days, Part, Windows, distinct_seconds, draw_pool
from train.windows.withdrawn import Substitutes


class Stream:
    """The batches of one rank from a step on, without end. Close it, or use it as a context manager."""

    def __init__(
        self,
        days: Days,
        lanes: list[Lane],
        windows_per_step: int,
        seconds: int,
        step: int = 0,
        threads: int = 2,
        spacing: int = 1,
        ahead: int = 8,
        substitutes: Substitutes | None = None,
    ) -> None:
        self.days, self.seconds, self.per_step = days, seconds, windows_per_step
        self.spacing, self.ahead, self.substitutes = spacing, ahead, substitutes
        self.drawn, self.covered_s, self.waited_s, self.pinned = 0, 0, 0.0, False
        self.lanes = {lane.number: lane for lane in lanes}
        self.position = step * windows_per_step
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="windows")
        self._reading: dict[int, tuple[Pool, Future[Windows]]] = {}
        self._current: dict[int, tuple[Pool, Windows]] = {}
        self._wanted: list[tuple[int, int, int]] = []
        for lane in lanes:
            pool = lane.pool_at(self.position)
            heapq.heappush(self._wanted, (pool.first, lane.number, pool.first))

    def __iter__(self) -> Iterator[Windows]:
        return self

    def __next__(self) -> Windows:
        parts = [part for number in self.lanes for part in self._from_lane(number)]
        self.position += self.per_step
        return Windows.join(parts, self.pinned)

    def _from_lane(self, number: int) -> Iterator[Windows]:
        position, end = self.position, self.position + self.per_step
        while position < end:
            pool, windows = self._pool(number, position)
            until = min(end, pool.first + pool.size)
            yield windows.take(slice(position - pool.first, until - pool.first))
            position = until

    def _pool(self, number: int, position: int) -> tuple[Pool, Windows]:
        held = self._current.get(number)
        if held is None or position >= held[0].first + held[0].size:
            self._current.pop(number, None)
            self._read_ahead(number)
            pool, drawn = self._reading.pop(number)
            began = time.perf_counter()
            held = pool, drawn.result()
            self.waited_s += time.perf_counter() - began
            self._current[number] = held
            self.drawn += len(held[1])
            self.covered_s += distinct_seconds(held[1], self.seconds)
            following = self.lanes[number].after(pool)
            heapq.heappush(self._wanted, (following.first, number, following.first))
            self._read_ahead(None)
        return held

    def _read_ahead(self, needed: int | None) -> None:
        """Start reading the pools wanted first, up to the bound; `needed` (a lane) is read whatever the bound."""
        while self._wanted and (
            len(self._reading) < self.ahead or (needed is not None and needed not in self._reading)
        ):
            _, number, position = heapq.heappop(self._wanted)
            lane = self.lanes[number]
            pool = lane.pool_at(position)
            self._reading[number] = pool, self._threads.submit(self._draw, lane, pool)

    def _draw(self, lane: Lane, pool: Pool) -> Windows:
        """A pool's windows; where the person of a day has withdrawn, other days give what it would have."""
        days = list(zip(pool.slots.tolist(), pool.quotas.tolist(), strict=True))
        while True:
            parts = [Part(*day) for day in days]
            if self.substitutes is not None:
                parts = [part for day in days for part in self.substitutes.parts(lane, pool.round, *day)]
            try:
                return draw_pool(self.days, parts, self.seconds, lane.seed, lane.number, pool.round, self.spacing)
            except BadDay as error:
                if self.substitutes is None or not self.substitutes.is_gone(error.slot):
                    raise

    @property
    def coverage(self) -> float:
        """Distinct seconds among those of all windows drawn so far: 1 where no two windows of a round overlap."""
        return self.covered_s / max(self.drawn * self.seconds, 1)

    def close(self) -> None:
        """Stop reading ahead; returns when the threads have ended."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
