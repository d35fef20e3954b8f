"""Drawing a pool: the windows that a lane holds at one time, from a few days, in shuffled order.

States are read first, because they decide the draws. Then only the hours with drawn windows are read, one after the
other, and each window is copied straight to its shuffled place: a whole day is never in memory.
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


class ReadableDay(Protocol):
    """A person-day to read from, such as a `pipeline.store.day_reader.Day`."""

    def states(self) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Motion (g, NaN where not measured) and state of each second."""
        ...

    def windows(self, start_N: Int, place_N: Int, out_BCT: NDArray[np.int16]) -> None:
        """Copy the windows that start at these seconds (ascending) to these places of `out_BCT`."""
        ...


class DaySource(Protocol):
    """A source of person-days, such as a `pipeline.store.day_reader.DayReader`."""

    def open_day(self, slot: int) -> ReadableDay:
        """Open the day in a slot."""
        ...


@dataclass(frozen=True)
class DayDraw:
    """How many windows to draw from a day, skipping the first `skip` of its exponential race.

    A day that replaces another one skips the windows that it gives in its own place.
    """

    slot: int
    count: int
    skip: int = 0


@dataclass(frozen=True)
class Windows:
    """Drawn windows and where each comes from.

    signal_BCT is int16 in the store's counts. place_B4 is int64: lane, round, slot and start second, the key of a
    window's random numbers (`train.random.WindowRandom.of`). These are two tensors and not five, because a batch is
    concatenated from as many pieces as there are lanes.
    """

    signal_BCT: Tensor
    place_B4: Tensor

    def __len__(self) -> int:
        return self.place_B4.shape[0]

    @property
    def lane_B(self) -> Tensor:
        """Lane of each window."""
        return self.place_B4[:, 0]

    @property
    def round_B(self) -> Tensor:
        """Round of the lane."""
        return self.place_B4[:, 1]

    @property
    def slot_B(self) -> Tensor:
        """Slot of the day."""
        return self.place_B4[:, 2]

    @property
    def start_B(self) -> Tensor:
        """Start second in the day."""
        return self.place_B4[:, 3]

    def take(self, index: Tensor | slice) -> Windows:
        """Select some of the windows."""
        return Windows(self.signal_BCT[index], self.place_B4[index])

    @staticmethod
    def empty(seconds: int) -> Windows:
        """Return no windows."""
        signal = torch.zeros((0, AXES, seconds * TICKS_PER_SECOND), dtype=torch.int16)
        return Windows(signal, torch.zeros((0, 4), dtype=torch.int64))

    @staticmethod
    def join(parts: Sequence[Windows]) -> Windows:
        """Concatenate windows."""
        return Windows(torch.cat([part.signal_BCT for part in parts]), torch.cat([part.place_B4 for part in parts]))

    def to(self, device: torch.device) -> Windows:
        """Copy to a device; from pinned memory this returns while the copy is still running."""
        return Windows(self.signal_BCT.to(device, non_blocking=True), self.place_B4.to(device, non_blocking=True))


def draw_pool(
    days: DaySource,
    draws: Sequence[DayDraw],
    seconds: int,
    seed: int,
    lane: int,
    round_: int,
    spacing: int = 1,
    memory_NCT: NDArray[np.int16] | None = None,
) -> Windows:
    """Draw windows from days and shuffle them; a window's own random number decides its place.

    The result uses the beginning of `memory_NCT` (int16, room for at least as many windows), if given. Raises
    UnreadableDay for a day that cannot be read, and UserError if a day has fewer windows than the table says.
    """
    key = tuple(int(word) for word in round_key(seed, lane, round_))
    opened = [days.open_day(each.slot) for each in draws]
    starts = []
    for each, day in zip(draws, opened, strict=True):
        try:
            starts.append(draw(*day.states(), seconds, each.count, (key[0], key[1]), each.slot, each.skip, spacing))
        except ValueError as error:
            raise UserError(
                f"the table of person-days does not agree with the stored states ({error}). Run `persondays verify`."
            ) from None
    slot_N = np.repeat([each.slot for each in draws], [each.count for each in draws]).astype(np.int64)
    start_N = np.concatenate([np.zeros(0, np.int64), *starts])
    order = np.argsort(own_numbers(key[0], key[1], slot_N, start_N, int(Purpose.SHUFFLE)), kind="stable")
    place_N = np.empty_like(order)
    place_N[order] = np.arange(order.size)
    if memory_NCT is None:
        memory_NCT = np.empty((order.size, AXES, seconds * TICKS_PER_SECOND), np.int16)
    signal_BCT = memory_NCT[: order.size]
    first = 0
    for each, day, own_starts in zip(draws, opened, starts, strict=True):
        day.windows(own_starts, place_N[first : first + each.count], signal_BCT)
        first += each.count
    place_B4 = np.empty((order.size, 4), np.int64)
    place_B4[:, 0], place_B4[:, 1], place_B4[:, 2], place_B4[:, 3] = lane, round_, slot_N[order], start_N[order]
    return Windows(torch.from_numpy(signal_BCT), torch.from_numpy(place_B4))


def distinct_seconds(windows: Windows, seconds: int) -> int:
    """Count the seconds that are in at least one of the windows."""
    place = np.sort((windows.slot_B * (2 * SECONDS_PER_DAY) + windows.start_B).numpy())
    return int(np.minimum(np.diff(place), seconds).sum()) + seconds if len(windows) else 0
