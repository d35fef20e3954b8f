"""The stream of a rank: pools read ahead by threads, windows handed out step by step.

Threads, because all that takes time (reading, decompressing, drawing, cutting) leaves Python's lock
free. Pools are read in the order in which steps will need them, with a bounded number ahead; memory is
(lanes of the rank + ahead) pools of days_per_pool x windows a day.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from pipeline.errors import UserError
from pipeline.grid import AXES, TICKS_PER_SECOND
from pipeline.person_day import PersonDay
from train.random import round_key
from train.windows.draw import cut, draw, shuffle, weights
from train.windows.lanes import Lane, Pool
from train.windows.withdrawn import Part, Substitutes


class Days(Protocol):
    """Where person-days are read from: a `pipeline.store.Store`, or a test's own."""

    def read_day(self, slot: int) -> PersonDay:
        """The person-day of a slot."""
        ...


@dataclass(frozen=True)
class Windows:
    """Windows and where they come from.

    signal_BCT is int16 in the store's counts; the rest int64 of shape (B,). Lane and round are what
    keys the window's random numbers (`train.random.WindowRandom.of`).
    """

    signal_BCT: Tensor
    lane_B: Tensor
    round_B: Tensor
    slot_B: Tensor
    start_B: Tensor

    def __len__(self) -> int:
        return self.slot_B.shape[0]

    def take(self, index: Tensor | slice) -> Windows:
        """Some of the windows."""
        return Windows(*(getattr(self, name)[index] for name in self.__dataclass_fields__))

    @staticmethod
    def none(seconds: int) -> Windows:
        """No windows."""
        nothing = torch.zeros(0, dtype=torch.int64)
        signal = torch.zeros((0, AXES, seconds * TICKS_PER_SECOND), dtype=torch.int16)
        return Windows(signal, nothing, nothing, nothing, nothing)

    @staticmethod
    def join(parts: list[Windows]) -> Windows:
        """Several one after the other."""
        return Windows(*(torch.cat([getattr(part, name) for part in parts]) for name in Windows.__dataclass_fields__))


def draw_day(
    days: Days, slot: int, quota: int, seconds: int, seed: int, lane: int, round_: int, after: int = 0
) -> Windows:
    """Read one day and draw its windows, in order of time; the first `after` to arrive are passed over."""
    day = days.read_day(slot)
    try:
        key = round_key(seed, lane, round_)
        start_N = draw(weights(day.motion_S, day.state_S, seconds), quota, key, slot, after)
    except ValueError as error:
        raise UserError(f"the table of person-days does not agree with the states of slot {slot}: {error}.") from None
    same = torch.ones(quota, dtype=torch.int64)
    return Windows(cut(day.signal_CT, start_N, seconds), same * lane, same * round_, same * slot, start_N)


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
        ahead: int = 8,
        substitutes: Substitutes | None = None,
    ) -> None:
        self.days, self.seconds, self.per_step, self.ahead = days, seconds, windows_per_step, ahead
        self.substitutes = substitutes
        self.lanes = {lane.number: lane for lane in lanes}
        self.position = step * windows_per_step
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="windows")
        self._reading: dict[int, tuple[Pool, list[Future[Windows]]]] = {}
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
        return Windows.join(parts)

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
            pool, futures = self._reading.pop(number)
            windows = Windows.join([future.result() for future in futures])
            lane = self.lanes[number]
            key = round_key(lane.seed, number, pool.round)
            held = pool, windows.take(shuffle(key, windows.slot_B, windows.start_B))
            self._current[number] = held
            following = lane.after(pool)
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
            self._reading[number] = (
                pool,
                [
                    self._threads.submit(self._draw, lane, pool.round, int(slot), int(quota))
                    for slot, quota in zip(pool.slots, pool.quotas, strict=True)
                ],
            )

    def _draw(self, lane: Lane, round_: int, slot: int, quota: int) -> Windows:
        """What a day gives to a round, or, where its person has withdrawn, what other days give in its place."""

        def part(part: Part) -> Windows:
            return draw_day(self.days, part.slot, part.count, self.seconds, lane.seed, lane.number, round_, part.after)

        if self.substitutes is None:
            return part(Part(slot, quota))
        return Windows.join(self.substitutes.draw(part, lane, round_, slot, quota))

    def close(self) -> None:
        """Stop reading ahead; returns when the threads have ended."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
