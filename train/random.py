"""Counter-based random numbers: Philox4x32-10 (Salmon et al. 2011, doi:10.1145/2063384.2063405) in torch.

Every number of a run is a pure function of (seed, lane, round, slot, start second, purpose, index): the first three
make the generator's key, the others are its counter. So a number does not depend on rank, worker, device, batch or
place in the batch, and a resumed run replays nothing. All arithmetic is on 32-bit integers in int64, exact on every
device.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.numerics.jit import njit
from train.constant import Constant

MASK = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_WORD = Constant(lambda word: torch.tensor(word, dtype=torch.int64))
_BLOCKS = Constant(lambda blocks: torch.tensor(blocks, dtype=torch.int64).T.contiguous())


class Purpose(IntEnum):
    """What a random number is used for. Append only: a changed value would change the results of a seed."""

    LANE_DEAL = 0
    DAY_ORDER = 1
    DRAW = 2
    SHUFFLE = 3
    REVERSAL = 4
    PERMUTATION = 5
    WARP = 6
    SCALING = 7
    AXES = 8
    ROTATION = 9
    JITTER = 10
    CONTROL = 11
    SPLIT = 12
    DAY_CHOICE = 13
    RESCALING = 14
    COMPANION = 15
    COMPANION_DAY = 16
    MASK = 17
    NEGATIVES = 18


def philox(counter: tuple[Tensor, Tensor, Tensor, Tensor], key: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
    """Return four 32-bit words (int64 tensors) for a 128-bit counter and a 64-bit key, after ten rounds.

    The six inputs are int64 tensors of values below 2**32 that broadcast. On a CPU, a compiled loop gives the same
    words 7 times as fast as torch, which would pass over memory for each of some 140 operations.
    """
    if counter[0].device.type == "cpu" and not torch.compiler.is_compiling():
        inputs = torch.broadcast_tensors(*counter, *key)
        c0, c1, c2, c3, k0, k1 = (each.contiguous().view(-1).numpy() for each in inputs)
        four = torch.empty(4, *inputs[0].shape, dtype=torch.int64)
        philox_many(c0, c1, c2, c3, k0, k1, four.view(4, -1).numpy())
        return four.unbind(0)
    return philox_in_torch(counter, key)


def philox_in_torch(counter: tuple[Tensor, Tensor, Tensor, Tensor], key: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
    """Return the same words by torch operations, for other devices and for torch.compile.

    Multipliers are reduced by 2**32, so that no product overflows: overflow is undefined in the C++ that torch.compile
    writes.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        p0, p1 = c0 * (_MULTIPLIERS[0] - MASK - 1), c2 * (_MULTIPLIERS[1] - MASK - 1)
        high0, high1 = (p0 >> 32) + c0 & MASK, (p1 >> 32) + c2 & MASK
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, p1 & MASK, high0 ^ c3 ^ k1, p0 & MASK
        k0, k1 = k0 + _WEYL[0] & MASK, k1 + _WEYL[1] & MASK
    return c0, c1, c2, c3


Words = NDArray[np.int64]


@njit(cache=True, nogil=True)
def philox_many(c0: Words, c1: Words, c2: Words, c3: Words, k0: Words, k1: Words, four: Words) -> None:
    """Write the words of each counter and key (n) to `four` (4, n), in 32-bit arithmetic that compilers vectorise."""
    shift = np.uint64(32)
    for n in range(c0.size):
        d0, d1, d2, d3 = np.uint32(c0[n]), np.uint32(c1[n]), np.uint32(c2[n]), np.uint32(c3[n])
        e0, e1 = np.uint32(k0[n]), np.uint32(k1[n])
        for _ in range(10):
            p0, p1 = np.uint64(d0) * np.uint64(_MULTIPLIERS[0]), np.uint64(d2) * np.uint64(_MULTIPLIERS[1])
            d0, d1 = np.uint32(p1 >> shift) ^ d1 ^ e0, np.uint32(p1)
            d2, d3 = np.uint32(p0 >> shift) ^ d3 ^ e1, np.uint32(p0)
            e0, e1 = np.uint32(e0 + np.uint32(_WEYL[0])), np.uint32(e1 + np.uint32(_WEYL[1]))
        four[0, n], four[1, n], four[2, n], four[3, n] = d0, d1, d2, d3


@njit(cache=True, nogil=True)
def philox_run(c0: int, count: int, c2: int, k0: int, k1: int) -> NDArray[np.uint32]:
    """Return the words of the counters (c0, 0, c2, 0), (c0, 1, c2, 0) and so on, as uint32 (4, count)."""
    four = np.empty((4, count), np.uint32)
    w0, w1, w2, w3 = four[0], four[1], four[2], four[3]
    shift = np.uint64(32)
    for n in range(count):
        d0, d1, d2, d3 = np.uint32(c0), np.uint32(n), np.uint32(c2), np.uint32(0)
        e0, e1 = np.uint32(k0), np.uint32(k1)
        for _ in range(10):
            p0, p1 = np.uint64(d0) * np.uint64(_MULTIPLIERS[0]), np.uint64(d2) * np.uint64(_MULTIPLIERS[1])
            d0, d1 = np.uint32(p1 >> shift) ^ d1 ^ e0, np.uint32(p1)
            d2, d3 = np.uint32(p0 >> shift) ^ d3 ^ e1, np.uint32(p0)
            e0, e1 = np.uint32(e0 + np.uint32(_WEYL[0])), np.uint32(e1 + np.uint32(_WEYL[1]))
        w0[n], w1[n], w2[n], w3[n] = d0, d1, d2, d3
    return four


def round_key(seed: int, lane: Tensor | int, round_: Tensor | int) -> tuple[Tensor, Tensor]:
    """Return the generator's key for (seed, lane, round); lane and round may be int64 tensors of one shape."""
    lane, round_ = torch.as_tensor(lane), torch.as_tensor(round_)
    seed_words = _WORD.on(lane.device, seed & MASK), _WORD.on(lane.device, seed >> 32 & MASK)
    zero = torch.zeros_like(lane)
    words = philox((lane & MASK, round_ & MASK, round_ >> 32 & MASK, zero), seed_words)
    return words[0], words[1]


def words(key: tuple[Tensor, Tensor], slot: Tensor | int, start: Tensor | int, purpose: int, count: int) -> Tensor:
    """Return `count` 32-bit words (int64) along a new last axis, for keys, slots and starts that broadcast."""
    slot, start = torch.as_tensor(slot, device=key[0].device), torch.as_tensor(start, device=key[0].device)
    blocks = torch.arange((count + 3) // 4, device=key[0].device)
    counter = (slot[..., None] & MASK, start[..., None] & MASK, torch.full_like(blocks, int(purpose)), blocks)
    four = philox(counter, (key[0][..., None], key[1][..., None]))
    return torch.stack(torch.broadcast_tensors(*four), -1).flatten(-2)[..., :count]


def to_uniform(words_: Tensor) -> Tensor:
    """Convert 32-bit words to float32 strictly between 0 and 1 (23 bits, exact in float32)."""
    return ((words_ >> 9).to(torch.float32) + 0.5) * 2.0**-23


@dataclass(frozen=True)
class WindowRandom:
    """The random numbers of a batch of windows; the first four fields are int64 tensors of shape (batch,)."""

    key0: Tensor
    key1: Tensor
    slot: Tensor
    start: Tensor
    view: int = 0
    drawn: Mapping[tuple[int, bool], Tensor] = field(default_factory=dict)
    """Words that are drawn already (`together`), by purpose of a view, and whether they are for coins."""

    @staticmethod
    def of(seed: int, lane: Tensor, round_: Tensor, slot: Tensor, start: Tensor) -> WindowRandom:
        """For windows that `lane` drew in `round_`; tensors of shape (batch,) on one device."""
        key0, key1 = round_key(seed, lane, round_)
        return WindowRandom(key0, key1, slot, start)

    def split(self, size: int) -> list[WindowRandom]:
        """Split into batches of `size` windows."""
        fields = (field.split(size) for field in (self.key0, self.key1, self.slot, self.start))
        return [WindowRandom(k0, k1, slot, start, self.view) for k0, k1, slot, start in zip(*fields, strict=True)]

    def of_view(self, view: int) -> WindowRandom:
        """Return other numbers for the same windows: those of view `view` (0 to 65,535)."""
        return WindowRandom(self.key0, self.key1, self.slot, self.start, view, self.drawn)

    def together(
        self, counts: Mapping[Purpose, int], coins: Sequence[Purpose] = (), views: Sequence[int] = (0,)
    ) -> WindowRandom:
        """Return the same numbers with some drawn already, all in one call of the generator.

        `counts` has how many numbers of each purpose will be asked for, in each of `views`. On a GPU, a call takes some
        130 operations, however many numbers it draws.
        """
        wanted = {(purpose.value + (view << 16), False): count for view in views for purpose, count in counts.items()}
        wanted |= {(purpose.value + (view << 16), True): 1 for view in views for purpose in coins}
        blocks = tuple(
            (purpose, MASK if coin else block)
            for (purpose, coin), count in wanted.items()
            for block in range(-(-count // 4))
        )
        purpose_N, block_N = _BLOCKS.on(self.device, blocks).unbind(0)
        counter = (self.slot[:, None] & MASK, self.start[:, None] & MASK, purpose_N, block_N)
        words_BW = torch.stack(philox(counter, (self.key0[:, None], self.key1[:, None])), -1).flatten(1)
        parts = words_BW.split([4 * -(-count // 4) for count in wanted.values()], 1)
        return replace(self, drawn=dict(zip(wanted, parts, strict=True)))

    def _words(self, purpose: Purpose, count: int) -> Tensor:
        """Return int64 (batch, count) words of a purpose."""
        own = purpose.value + (self.view << 16)
        drawn = self.drawn.get((own, False))
        if drawn is not None and drawn.shape[1] >= count:
            return drawn[:, :count]
        return words((self.key0, self.key1), self.slot, self.start, own, count)

    def uniform(self, purpose: Purpose, count: int) -> Tensor:
        """Return float32 (batch, count), uniform in the open interval (0, 1)."""
        return to_uniform(self._words(purpose, count))

    def normal(self, purpose: Purpose, count: int) -> Tensor:
        """Return float32 (batch, count), standard normal (Box and Muller 1958)."""
        half = (count + 1) // 2
        uniform = self.uniform(purpose, 2 * half)
        radius = torch.sqrt(-2.0 * torch.log(uniform[:, :half]))
        angle = (2.0 * torch.pi) * uniform[:, half:]
        return torch.cat((radius * torch.cos(angle), radius * torch.sin(angle)), 1)[:, :count]

    def coins(self, purposes: Sequence[Purpose]) -> Tensor:
        """Return bool (batch, purposes), each true with probability 1/2.

        They come from the last block of a purpose's numbers, which no other draw uses.
        """
        own = tuple(purpose.value + (self.view << 16) for purpose in purposes)
        if all((each, True) in self.drawn for each in own):
            return torch.stack([self.drawn[each, True][:, 0] for each in own], 1) > MASK >> 1
        purpose = _WORD.on(self.device, own)
        counter = (self.slot[:, None] & MASK, self.start[:, None] & MASK, purpose, torch.full_like(purpose, MASK))
        return philox(counter, (self.key0[:, None], self.key1[:, None]))[0] > MASK >> 1

    @property
    def device(self) -> torch.device:
        """Device of the numbers."""
        return self.slot.device
