"""A pool: the windows that a lane holds at one time, drawn from a few days and cut straight to their shuffled places.

States come first (they decide the draws), then only the hours that hold drawn windows, one after the other
through one buffer, so that a day is never put together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.errors import UserError
from pipeline.grid import AXES, SECONDS_PER_DAY, TICKS_PER_SECOND
from train.random import Purpose, round_key
from train.windows.draw import Int, draw, own_numbers


class Day(Protocol):
    """A person-day: a `pipeline.store.day_reader.Day`, or a test's own."""

    def states(self) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Motion (g, NaN where not measured) and state of each second."""
        ...

    def windows(self, start_N: Int, place_N: Int, out_BCT: NDArray[np.int16]) -> None:
        """Put the windows that begin at these seconds (ascending) into their places of `out_BCT`."""
        ...


class Days(Protocol):
    """Where person-days are read from: a `pipeline.store.day_reader.DayReader`, or a test's own."""

    def open_day(self, slot: int) -> Day:
        """A day to read from."""
        ...


@dataclass(frozen=True)
class Part:
    """Some of the windows that a lane draws from a day in a round."""

    slot: int
    count: int
    after: int = 0
    """Windows that are passed over: the first to arrive, which the day gives in its own place."""


@dataclass(frozen=True)
class Windows:
    """Windows and where they come from.

    signal_BCT is int16 in the store's counts. place_B4 is int64: lane, round, slot, start second. Lane and round are
    what keys the window's random numbers (`train.random.WindowRandom.of`). Two tensors, because a batch is put
    together from as many pieces as there are lanes.
    """

    signal_BCT: Tensor
    place_B4: Tensor

    def __len__(self) -> int:
        return self.place_B4.shape[0]

    @property
    def lane_B(self) -> Tensor:
        """The lane of each."""
        return self.place_B4[:, 0]

    @property
    def round_B(self) -> Tensor:
        """The lane's round."""
        return self.place_B4[:, 1]

    @property
    def slot_B(self) -> Tensor:
        """The slot of its day."""
        return self.place_B4[:, 2]

    @property
    def start_B(self) -> Tensor:
        """Its first second."""
        return self.place_B4[:, 3]

    def take(self, index: Tensor | slice) -> Windows:
        """Some of the windows."""
        return Windows(self.signal_BCT[index], self.place_B4[index])

    @staticmethod
    def none(seconds: int) -> Windows:
        """No windows."""
        signal = torch.zeros((0, AXES, seconds * TICKS_PER_SECOND), dtype=torch.int16)
        return Windows(signal, torch.zeros((0, 4), dtype=torch.int64))

    @staticmethod
    def join(parts: Sequence[Windows]) -> Windows:
        """Several one after the other."""
        return Windows(torch.cat([part.signal_BCT for part in parts]), torch.cat([part.place_B4 for part in parts]))

    def to(self, device: torch.device) -> Windows:
        """The same on a device; from pinned memory the copy is under way when this returns."""
        return Windows(self.signal_BCT.to(device, non_blocking=True), self.place_B4.to(device, non_blocking=True))


def draw_pool(
    days: Days,
    parts: Sequence[Part],
    seconds: int,
    seed: int,
    lane: int,
    round_: int,
    spacing: int = 1,
    memory_NCT: NDArray[np.int16] | None = None,
) -> Windows:
    """Draw windows from days and shuffle them together, an order that each window's own number decides.

    They lie at the beginning of `memory_NCT` (int16, room for at least as many windows), where some is given. Raises
    UnreadableDay for a day that cannot be read, UserError where the table promised more windows than a day has.
    """
    key = tuple(int(word) for word in round_key(seed, lane, round_))
    opened = [days.open_day(part.slot) for part in parts]
    starts = []
    for part, day in zip(parts, opened, strict=True):
        try:
            starts.append(draw(*day.states(), seconds, part.count, (key[0], key[1]), part.slot, part.after, spacing))
        except ValueError as error:
            raise UserError(f"the table of person-days does not agree with the states: {error}.") from None
    slot_N = np.repeat([part.slot for part in parts], [part.count for part in parts]).astype(np.int64)
    start_N = np.concatenate([np.zeros(0, np.int64), *starts])
    order = np.argsort(own_numbers(key[0], key[1], slot_N, start_N, int(Purpose.SHUFFLE)), kind="stable")
    place_N = np.empty_like(order)
    place_N[order] = np.arange(order.size)
    if memory_NCT is None:
        memory_NCT = np.empty((order.size, AXES, seconds * TICKS_PER_SECOND), np.int16)
    signal_BCT = memory_NCT[: order.size]
    first = 0
    for part, day, mine in zip(parts, opened, starts, strict=True):
        day.windows(mine, place_N[first : first + part.count], signal_BCT)
        first += part.count
    place_B4 = np.empty((order.size, 4), np.int64)
    place_B4[:, 0], place_B4[:, 1], place_B4[:, 2], place_B4[:, 3] = lane, round_, slot_N[order], start_N[order]
    return Windows(torch.from_numpy(signal_BCT), torch.from_numpy(place_B4))


def distinct_seconds(windows: Windows, seconds: int) -> int:
    """Seconds that lie in at least one of the windows."""
    place = np.sort((windows.slot_B * (2 * SECONDS_PER_DAY) + windows.start_B).numpy())
    return int(np.minimum(np.diff(place), seconds).sum()) + seconds if len(windows) else 0
