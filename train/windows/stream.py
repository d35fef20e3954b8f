"""The stream of a rank: threads read pools ahead, and each step takes its batch from them.

Threads are enough, because everything that takes time (reading, decompressing, drawing, cutting) releases Python's
lock. They read pools in the order in which steps will need them, with a bounded number ahead. Memory is (lanes of the
rank + ahead) pools of days_per_pool x windows per day.
"""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.errors import UnreadableDay
from pipeline.grid import AXES, TICKS_PER_SECOND
from train.windows.companions.kind import NO_COMPANIONS, Chooser
from train.windows.draw import Weighting
from train.windows.lanes import Lane, Pool
from train.windows.pool import ANCHOR, DayDraw, DaySource, Windows, distinct_seconds, draw_pool

if TYPE_CHECKING:
    from train.windows.withdrawn import Substitutes

MIN_PIECE = 64
"""Fewest windows to take from a lane at a time: visiting every lane costs more than copying a few windows."""


class Held(NamedTuple):
    """A pool's windows, their distinct seconds, those without a companion, and the memory that their signal is in."""

    pool: Pool
    signal_BDCT: NDArray[np.int16]
    place_BP: NDArray[np.int64]
    vector_BF: NDArray[np.float32]
    covered_s: int
    alone: int
    memory_NDCT: NDArray[np.int16]


class Stream:
    """The endless batches of one rank, starting at a step. Close it, or use it as a context manager."""

    def __init__(
        self,
        days: DaySource,
        lanes: list[Lane],
        windows_per_step: int,
        seconds: int,
        step: int = 0,
        threads: int = 2,
        spacing: int = 1,
        ahead: int = 8,
        substitutes: Substitutes | None = None,
        chooser: Chooser = NO_COMPANIONS,
        weighting: Weighting = "motion",
    ) -> None:
        self.days, self.seconds, self.per_step = days, seconds, windows_per_step
        self.spacing, self.ahead, self.substitutes, self.chooser = spacing, ahead, substitutes, chooser
        self.weighting = weighting
        self.drawn, self.covered_s, self.alone, self.waited_s, self.pinned = 0, 0, 0, 0.0, False
        self.lanes = {lane.number: lane for lane in lanes}
        self.position = step * windows_per_step
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="windows")
        self._reading: dict[int, Future[Held]] = {}
        self._current: dict[int, Held] = {}
        self._free: deque[NDArray[np.int16]] = deque()
        self._used: list[NDArray[np.int16]] = []
        self._ready: deque[Windows] = deque()
        largest_pool = max((lane.largest_pool for lane in lanes), default=0)
        self._shape_DCT = 1 + chooser.count, AXES, seconds * TICKS_PER_SECOND
        self._shape_NDCT = largest_pool, *self._shape_DCT
        self._wanted: list[tuple[int, int, int]] = []
        for lane in lanes:
            pool = lane.pool_at(self.position)
            heapq.heappush(self._wanted, (pool.first, lane.number, pool.first))

    def __iter__(self) -> Iterator[Windows]:
        return self

    def __next__(self) -> Windows:
        if not self._ready:
            self._ready.extend(self._assembled())
        return self._ready.popleft()

    def _assembled(self) -> Iterator[Windows]:
        """Assemble the batches of the next step, or of several steps if a lane gives few windows to each."""
        steps = -(-MIN_PIECE // self.per_step)
        shape, numbers = (steps, len(self.lanes), self.per_step), ANCHOR + 2 * self.chooser.count
        signal_SLNDCT = torch.empty((*shape, *self._shape_DCT), dtype=torch.int16, pin_memory=self.pinned)
        place_SLNP = torch.empty((*shape, numbers), dtype=torch.int64, pin_memory=self.pinned)
        vector_SLNF = torch.empty((*shape, self.chooser.features), pin_memory=self.pinned)
        for index, number in enumerate(self.lanes):
            signal_NDCT, place_NP, vector_NF = self._from_lane(number, steps * self.per_step)
            signal_SLNDCT.numpy()[:, index] = signal_NDCT.reshape(steps, self.per_step, *self._shape_DCT)
            place_SLNP.numpy()[:, index] = place_NP.reshape(steps, self.per_step, numbers)
            vector_SLNF.numpy()[:, index] = vector_NF.reshape(steps, self.per_step, self.chooser.features)
            self._free.extend(self._used)  # these pools are used up
            self._used.clear()
        self.position += steps * self.per_step
        return map(Windows, signal_SLNDCT.flatten(1, 2), place_SLNP.flatten(1, 2), vector_SLNF.flatten(1, 2))

    def _from_lane(self, number: int, count: int) -> tuple[NDArray[np.int16], NDArray[np.int64], NDArray[np.float32]]:
        """Return the next `count` windows of a lane, from one pool or several."""
        position, end, pieces = self.position, self.position + count, []
        while position < end:
            held = self._held(number, position)
            until = min(end, held.pool.first + held.pool.size)
            span = slice(position - held.pool.first, until - held.pool.first)
            pieces.append((held.signal_BDCT[span], held.place_BP[span], held.vector_BF[span]))
            position = until
        if len(pieces) > 1:
            signals, places, vectors = zip(*pieces, strict=True)
            return np.concatenate(signals), np.concatenate(places), np.concatenate(vectors)
        return pieces[0]

    def _held(self, number: int, position: int) -> Held:
        """Return the pool that contains a position of a lane's stream; waits until it is read."""
        held = self._current.get(number)
        if held is None or position >= held.pool.first + held.pool.size:
            if held is not None:
                self._used.append(self._current.pop(number).memory_NDCT)
            self._read_ahead(number)
            began = time.perf_counter()
            held = self._reading.pop(number).result()
            self.waited_s += time.perf_counter() - began
            self._current[number] = held
            self.drawn += held.pool.size
            self.covered_s += held.covered_s
            self.alone += held.alone
            following = self.lanes[number].after(held.pool)
            heapq.heappush(self._wanted, (following.first, number, following.first))
            self._read_ahead(None)
        return held

    def _read_ahead(self, needed: int | None) -> None:
        """Start reading the pools needed first, up to the bound; the pool of lane `needed` is read in any case."""
        while self._wanted and (
            len(self._reading) < self.ahead or (needed is not None and needed not in self._reading)
        ):
            _, number, position = heapq.heappop(self._wanted)
            lane = self.lanes[number]
            pool = lane.pool_at(position)
            self._reading[number] = self._threads.submit(self._read, lane, pool)

    def _read(self, lane: Lane, pool: Pool) -> Held:
        memory_NDCT = self._memory()
        windows = self._draw(lane, pool, memory_NDCT)
        signal_BDCT, place_BP = windows.signal_BDCT.numpy(), windows.place_BP.numpy()
        counts = distinct_seconds(windows, self.seconds), windows.without_companion
        return Held(pool, signal_BDCT, place_BP, windows.vector_BF.numpy(), *counts, memory_NDCT)

    def _memory(self) -> NDArray[np.int16]:
        """Return memory for the largest pool, reused if possible: new pages cost as much time as filling them."""
        try:
            return self._free.pop()
        except IndexError:
            return np.empty(self._shape_NDCT, np.int16)

    def _draw(self, lane: Lane, pool: Pool, memory_NDCT: NDArray[np.int16]) -> Windows:
        """Draw a pool; days that are gone are replaced."""
        days = list(zip(pool.slots.tolist(), pool.quotas.tolist(), strict=True))
        while True:
            draws, gone = [DayDraw(*day) for day in days], frozenset[int]()
            if self.substitutes is not None:
                draws = [draw for day in days for draw in self.substitutes.draws(lane, pool.round, *day)]
                gone = self.substitutes.gone()
            try:
                return draw_pool(
                    days=self.days,
                    draws=draws,
                    seconds=self.seconds,
                    seed=lane.seed,
                    lane=lane.number,
                    round_=pool.round,
                    spacing=self.spacing,
                    memory_NDCT=memory_NDCT,
                    chooser=self.chooser,
                    gone=gone,
                    weighting=self.weighting,
                )
            except UnreadableDay as error:
                if self.substitutes is None or not self.substitutes.is_gone(error.slot):
                    raise

    @property
    def alone_share(self) -> float:
        """Share of the windows drawn so far that stand in for a companion of their own."""
        return self.alone / max(self.drawn, 1)

    @property
    def coverage(self) -> float:
        """Share of distinct seconds in all windows drawn so far: 1 if no two windows of a round overlap."""
        return self.covered_s / max(self.drawn * self.seconds, 1)

    def close(self) -> None:
        """Stop reading ahead and wait for the threads to end."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
