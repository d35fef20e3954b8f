"""The windows of a person-day at a stride, cut from the whole day in memory, in batches that go on over days."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch import Tensor

from pipeline.grid import AXES, FILL, SECONDS_PER_DAY, TICKS_PER_DAY, TICKS_PER_HOUR, TICKS_PER_SECOND
from pipeline.store.day_reader import DamagedDay, StoredDay
from pipeline.store.states import MEASURED, eligible


@dataclass(frozen=True)
class Day:
    """A person-day in memory, and its windows: first second and eligible share of each.

    signal_CT is int16 in the store's counts; state_S are the bits of every second.
    """

    slot: int
    signal_CT: NDArray[np.int16]
    state_S: NDArray[np.uint8]
    start_W: NDArray[np.int64]
    share_W: NDArray[np.float32]

    def without_signal(self) -> Day:
        """Return the same day without its largest part."""
        return replace(self, signal_CT=self.signal_CT[:, :0].copy())

    def windows(self, which: slice, seconds: int) -> Tensor:
        """Return some windows as int16 (windows, 3, ticks)."""
        every_CST = sliding_window_view(self.signal_CT, seconds * TICKS_PER_SECOND, axis=1)
        return torch.from_numpy(every_CST[:, self.start_W[which] * TICKS_PER_SECOND]).permute(1, 0, 2)


def read_day(stored: StoredDay, seconds: int, stride_s: int, min_eligible: float) -> Day:
    """Read a day and choose its windows; raises UnreadableDay."""
    state_S = stored.state()
    start_W, share_W = choose_windows(state_S, seconds, stride_s, min_eligible)
    signal_CT = np.full((AXES, TICKS_PER_DAY), FILL, np.int16)
    last_W = start_W + seconds - 1
    needed = set((np.concatenate((start_W, last_W)) * TICKS_PER_SECOND // TICKS_PER_HOUR).tolist())
    for hour, values_CT in stored.hours(sorted(needed)):
        signal_CT[:, hour * TICKS_PER_HOUR : (hour + 1) * TICKS_PER_HOUR] = values_CT
        needed.remove(hour)
    if needed:
        what = f"hour {min(needed)} of slot {stored.slot} is measured and has no signal"
        raise DamagedDay(stored.slot, f"{what}. `persondays verify --repair` ingests its recording again.")
    return Day(stored.slot, signal_CT, state_S, start_W, share_W)


def choose_windows(
    state_S: NDArray[np.uint8], seconds: int, stride_s: int, min_eligible: float
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return first second and eligible share of the windows that are measured throughout and eligible enough.

    Windows begin every `stride_s` seconds from midnight, and end before the next.
    """
    start_W = np.arange(0, SECONDS_PER_DAY - seconds + 1, stride_s, dtype=np.int64)
    share_W = (_sums(eligible(state_S), start_W, seconds) / seconds).astype(np.float32)
    measured_W = _sums((state_S & MEASURED) != 0, start_W, seconds) == seconds
    kept_W = measured_W & (share_W >= min_eligible)
    return start_W[kept_W], share_W[kept_W]


def _sums(is_S: NDArray[np.bool_], start_W: NDArray[np.int64], seconds: int) -> NDArray[np.int64]:
    total = np.concatenate(([0], np.cumsum(is_S, dtype=np.int64)))
    return total[start_W + seconds] - total[start_W]


Piece = tuple[Day, slice]
"""Consecutive windows of a day."""


def batches(days: Iterable[Day], size: int) -> Iterator[Sequence[Piece]]:
    """Cut the windows of consecutive days into batches of `size`, of one day or several; the last may be smaller."""
    pieces: list[Piece] = []
    held = 0
    for day in days:
        first, count = 0, len(day.start_W)
        while first < count:
            last = min(first + size - held, count)
            pieces.append((day, slice(first, last)))
            held, first = held + last - first, last
            if held == size:
                yield pieces
                pieces, held = [], 0
    if pieces:
        yield pieces
