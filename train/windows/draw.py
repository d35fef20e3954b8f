"""Draw a day's windows: without replacement, with probability by the window's mean motion.

An exponential race (Efraimidis and Spirakis 2006, doi:10.1016/j.ipl.2005.11.003): every eligible start
runs a time that is exponential with rate its weight; the first `quota` to arrive are drawn. Each start
has its own counter-based number, so a draw does not depend on anything but its own key.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.grid import SECONDS_PER_DAY, TICKS_PER_SECOND
from pipeline.states import eligible, eligible_starts
from train.random import Purpose, words

MOTION_FLOOR_G = 1e-6


def weights(motion_S: NDArray[np.float32], state_S: NDArray[np.uint8], seconds: int) -> Tensor:
    """Weight of every start second: the mean motion of its window in g (at least 1e-6), 0 where it is not eligible.

    float64 of shape (86400,).
    """
    eligible_S = eligible(state_S)
    starts = eligible_starts(eligible_S, seconds)
    total = np.concatenate(([0.0], np.cumsum(np.where(eligible_S, motion_S, 0.0), dtype=np.float64)))
    mean = np.zeros(motion_S.size)
    mean[: motion_S.size - seconds + 1] = (total[seconds:] - total[:-seconds]) / seconds
    return torch.from_numpy(np.where(starts, np.maximum(mean, MOTION_FLOOR_G), 0.0))


def draw(weights_S: Tensor, quota: int, key: tuple[Tensor, Tensor], slot: int, after: int = 0) -> Tensor:
    """Start seconds of `quota` windows, ascending, int64; the first `after` to arrive are passed over.

    Raises ValueError when fewer starts are eligible.
    """
    available = int((weights_S > 0).sum())
    if available < after + quota:
        raise ValueError(f"{after + quota} windows were asked of slot {slot}, which has {available} eligible starts")
    blocks = torch.arange(SECONDS_PER_DAY // 4)
    numbers = words(key, slot, blocks, Purpose.DRAW, 4).flatten()
    exponential = -torch.log((numbers.to(torch.float64) + 0.5) * 2.0**-32)
    arrival_S = torch.where(weights_S > 0, exponential / weights_S, torch.inf)
    return torch.topk(arrival_S, after + quota, largest=False, sorted=after > 0).indices[after:].sort().values


def shuffle(key: tuple[Tensor, Tensor], slot_N: Tensor, start_N: Tensor) -> Tensor:
    """The order in which a pool gives its windows: a permutation that each window's own number decides."""
    number = words(key, slot_N, start_N, Purpose.SHUFFLE, 2)
    return torch.argsort(number[:, 0] << 31 | number[:, 1] >> 1, stable=True)


def cut(signal_CT: NDArray[np.int16], start_N: Tensor, seconds: int) -> Tensor:
    """The windows that begin at these seconds: int16 (N, 3, 30 x seconds)."""
    windows_CSt = torch.from_numpy(signal_CT).unfold(1, seconds * TICKS_PER_SECOND, TICKS_PER_SECOND)
    return windows_CSt[:, start_N].transpose(0, 1).contiguous()
