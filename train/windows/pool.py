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
from pipeline.grid import AXES, SECONDS_PER_DAY, TICKS_PER_DAY, TICKS_PER_SECOND
from train.random import Purpose, round_key
from train.windows.companions.kind import NO_COMPANIONS, AnchorDay, Chooser
from train.windows.draw import Float, Int, Weighting, draw_by_weight, own_numbers, reweighted, weights

WEIGHTS_KEPT = 8
ANCHOR = 4
"""Numbers that say where an anchor comes from: lane, round, slot and start second."""


class ReadableDay(Protocol):
    """A person-day to read from, such as a `pipeline.store.day_reader.Day`."""

    def states(self) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Motion (g, NaN where not measured) and state of each second."""
        ...

    def windows(self, tick_N: Int, place_N: Int, out_BCT: NDArray[np.int16]) -> None:
        """Copy the windows that start at these ticks (ascending) to these places of `out_BCT`."""
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
    """Drawn windows with their companions, and where each comes from.

    signal_BDCT is int16 in the store's counts: the drawn window (the anchor) and then its companions, if there are any.
    place_BP is int64: lane, round, slot and start second of the anchor, the key of its random numbers
    (`train.random.WindowRandom.of`); then the slot and the first tick of each companion. It is one tensor and not four,
    because a batch is concatenated from as many pieces as there are lanes. vector_BF is float32: what the kind of
    companions knows of each anchor (`companions.kind.Chooser.vectors`), usually nothing (F = 0).
    """

    signal_BDCT: Tensor
    place_BP: Tensor
    vector_BF: Tensor

    def __len__(self) -> int:
        return self.place_BP.shape[0]

    @property
    def signal_BCT(self) -> Tensor:
        """The anchors, without their companions."""
        return self.signal_BDCT[:, 0]

    @property
    def lane_B(self) -> Tensor:
        """Lane of each anchor."""
        return self.place_BP[:, 0]

    @property
    def round_B(self) -> Tensor:
        """Round of the lane."""
        return self.place_BP[:, 1]

    @property
    def slot_B(self) -> Tensor:
        """Slot of the anchor's day."""
        return self.place_BP[:, 2]

    @property
    def start_B(self) -> Tensor:
        """Start second of the anchor in its day."""
        return self.place_BP[:, 3]

    @property
    def companion_BK2(self) -> Tensor:
        """Slot and first tick of each companion."""
        return self.place_BP[:, ANCHOR:].unflatten(1, (self.signal_BDCT.shape[1] - 1, 2))

    @property
    def without_companion(self) -> int:
        """Number of anchors that stand in for a companion of their own, because they have none."""
        anchor_B2 = torch.stack((self.slot_B, self.start_B * TICKS_PER_SECOND), 1)
        return int((self.companion_BK2 == anchor_B2[:, None]).all(2).any(1).sum())

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """The three tensors, in order."""
        return self.signal_BDCT, self.place_BP, self.vector_BF

    def take(self, index: Tensor | slice) -> Windows:
        """Select some of the windows."""
        return Windows(self.signal_BDCT[index], self.place_BP[index], self.vector_BF[index])

    def zeros_like(self, count: int) -> Windows:
        """Return `count` windows of zeros with as many companions and numbers."""
        return Windows(*(tensor.new_zeros(count, *tensor.shape[1:]) for tensor in self.tensors))

    @staticmethod
    def empty(seconds: int, companions: int = 0, features: int = 0) -> Windows:
        """Return no windows."""
        signal = torch.zeros((0, 1 + companions, AXES, seconds * TICKS_PER_SECOND), dtype=torch.int16)
        place = torch.zeros((0, ANCHOR + 2 * companions), dtype=torch.int64)
        return Windows(signal, place, torch.zeros(0, features))

    @staticmethod
    def join(parts: Sequence[Windows]) -> Windows:
        """Concatenate windows."""
        return Windows(*(torch.cat([getattr(part, name) for part in parts]) for name in Windows.__dataclass_fields__))

    def to(self, device: torch.device) -> Windows:
        """Copy to a device; from pinned memory this returns while the copy is still running."""
        return Windows(*(tensor.to(device, non_blocking=True) for tensor in self.tensors))


class OpenDays:
    """The days that a pool reads, each opened once."""

    def __init__(self, days: DaySource, seconds: int, weighting: Weighting = "motion") -> None:
        self._source, self._seconds, self._weighting = days, seconds, weighting
        self._days: dict[int, ReadableDay] = {}
        self._weights: dict[int, Float] = {}
        """Of the last few days: a pool may have a thousand."""

    def day(self, slot: int) -> ReadableDay:
        """Return the day of a slot; object storage begins to fetch it when it is first asked for."""
        if slot not in self._days:
            self._days[slot] = self._source.open_day(slot)
        return self._days[slot]

    def weights(self, slot: int) -> Float:
        """Return the weight of every start second of a day (`draw.weights`, `draw.reweighted`)."""
        if slot not in self._weights:
            if len(self._weights) == WEIGHTS_KEPT:
                del self._weights[next(iter(self._weights))]
            self._weights[slot] = reweighted(weights(*self.day(slot).states(), self._seconds), self._weighting)
        return self._weights[slot]


def draw_pool(
    days: DaySource,
    draws: Sequence[DayDraw],
    seconds: int,
    seed: int,
    lane: int,
    round_: int,
    spacing: int = 1,
    memory_NDCT: NDArray[np.int16] | None = None,
    chooser: Chooser = NO_COMPANIONS,
    gone: frozenset[int] = frozenset(),
    weighting: Weighting = "motion",
) -> Windows:
    """Draw windows from days, choose their companions, and shuffle; an anchor's own random number decides its place.

    `chooser` chooses the companions, never from the slots in `gone`. The result uses the beginning of `memory_NDCT`
    (int16, room for at least as many windows), if given. Raises UnreadableDay for a day that cannot be read, and
    UserError if a day has fewer windows than the table says.
    """
    key0, key1 = (int(word) for word in round_key(seed, lane, round_))
    opened, pooled = OpenDays(days, seconds, weighting), tuple(each.slot for each in draws)
    anchors = [AnchorDay(slot, (key0, key1), seconds, pooled, gone, opened.weights) for slot in pooled]
    for anchor in anchors:
        for slot in (anchor.slot, *chooser.days_of(anchor)):
            opened.day(slot)
    starts, companions, vectors = [], [], []
    for each, anchor in zip(draws, anchors, strict=True):
        weight_S = chooser.weights(anchor)
        try:
            starts.append(draw_by_weight(weight_S, each.count, (key0, key1), each.slot, each.skip, spacing))
        except ValueError as error:
            raise UserError(
                f"the table of person-days does not agree with the stored states ({error}). Run `persondays verify`."
            ) from None
        companions.append(chooser.choose(anchor, starts[-1]))
        vectors.append(chooser.vectors(anchor, starts[-1]))
    slot_N = np.repeat(pooled, [each.count for each in draws]).astype(np.int64)
    start_N = np.concatenate([np.zeros(0, np.int64), *starts])
    companion_NK2 = np.concatenate([np.zeros((0, chooser.count, 2), np.int64), *companions])
    order = np.argsort(own_numbers(key0, key1, slot_N, start_N, int(Purpose.SHUFFLE)), kind="stable")
    place_N = np.empty_like(order)
    place_N[order] = np.arange(order.size)
    if memory_NDCT is None:
        memory_NDCT = np.empty((order.size, 1 + chooser.count, AXES, seconds * TICKS_PER_SECOND), np.int16)
    signal_BDCT = memory_NDCT[: order.size]
    anchor_N2 = np.stack((slot_N, start_N * TICKS_PER_SECOND), 1)
    read(opened, np.concatenate((anchor_N2[:, None], companion_NK2), 1), place_N, signal_BDCT)
    place_BP = np.empty((order.size, ANCHOR + 2 * chooser.count), np.int64)
    place_BP[:, 0], place_BP[:, 1], place_BP[:, 2], place_BP[:, 3] = lane, round_, slot_N[order], start_N[order]
    place_BP[:, ANCHOR:] = companion_NK2[order].reshape(order.size, -1)
    vector_BF = np.concatenate([np.zeros((0, chooser.features), np.float32), *vectors])[order]
    return Windows(torch.from_numpy(signal_BDCT), torch.from_numpy(place_BP), torch.from_numpy(vector_BF))


def read(opened: OpenDays, source_ND2: Int, place_N: Int, out_BDCT: NDArray[np.int16]) -> None:
    """Read windows from their sources, slot and first tick, to their places; each day is read once."""
    flat_ND = place_N[:, None] * out_BDCT.shape[1] + np.arange(out_BDCT.shape[1])
    slots, ticks, places = source_ND2[..., 0].ravel(), source_ND2[..., 1].ravel(), flat_ND.ravel()
    order = np.argsort(slots * TICKS_PER_DAY + ticks, kind="stable")
    out_BCT = out_BDCT.reshape(-1, *out_BDCT.shape[2:])
    found, first = np.unique(slots[order], return_index=True)
    for slot, own in zip(found.tolist(), np.split(order, first[1:]), strict=True):
        opened.day(slot).windows(ticks[own], places[own], out_BCT)


def distinct_seconds(windows: Windows, seconds: int) -> int:
    """Count the seconds that are in at least one of the windows."""
    place = np.sort((windows.slot_B * (2 * SECONDS_PER_DAY) + windows.start_B).numpy())
    return int(np.minimum(np.diff(place), seconds).sum()) + seconds if len(windows) else 0
