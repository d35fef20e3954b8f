"""Permutation: a window cut into four segments that are put together in another order.

After Um et al. 2017, doi:10.1145/3136755.3136817.
The cuts keep every segment longer than 10 ticks without rejection: three uniform numbers, sorted, share out the
ticks that are left when each segment has its 11. The order is one of the 23 that are not the identity, so a window
labelled as permuted always is.
"""

from __future__ import annotations

from itertools import permutations

import torch
from torch import Tensor

from train.random import Purpose, WindowRandom

SEGMENTS = 4
SHORTEST = 11
ORDERS = tuple(permutations(range(SEGMENTS)))[1:]


def cuts(uniform_B3: Tensor, ticks: int) -> Tensor:
    """int64 (batch, 5): the segments' bounds from 0 to `ticks`, each at least 11 after the one before."""
    spare = ticks - SEGMENTS * SHORTEST
    shared_out = (uniform_B3.sort(-1).values * (spare + 1)).long()
    inner = shared_out + SHORTEST * torch.arange(1, SEGMENTS, device=uniform_B3.device)
    ends = inner.new_full((len(inner), 1), ticks)
    return torch.cat((torch.zeros_like(ends), inner, ends), 1)


def order(uniform_B: Tensor) -> Tensor:
    """int64 (batch, 4): which segment stands first, second, third and fourth; never 0 1 2 3."""
    return torch.tensor(ORDERS, device=uniform_B.device)[(uniform_B * len(ORDERS)).long()]


def source_ticks(cuts_BS: Tensor, order_BS: Tensor, ticks: int) -> Tensor:
    """int64 (batch, ticks): the tick of the window that each tick of the permuted one is taken from.

    It is a running sum of steps: 1 inside a segment, and at a join the jump from one segment's end to the next's start.
    """
    start = cuts_BS[:, :-1].gather(1, order_BS)
    length = cuts_BS.diff().gather(1, order_BS)
    join = length.cumsum(1) - length
    last = start + length - 1
    steps = torch.ones(len(cuts_BS), ticks, dtype=torch.int64, device=cuts_BS.device)
    steps.scatter_(1, join, torch.cat((start[:, :1], start[:, 1:] - last[:, :-1]), 1))
    return steps.cumsum(1)


def permute(x_BCT: Tensor, random: WindowRandom, applied_B: Tensor) -> Tensor:
    """The windows, where `applied_B` with their segments in another order, the same for the three axes.

    Needs at least 44 ticks.
    """
    ticks = x_BCT.shape[-1]
    uniform = random.uniform(Purpose.PERMUTATION, SEGMENTS)
    as_it_was = torch.arange(SEGMENTS, device=x_BCT.device)
    order_BS = torch.where(applied_B[:, None], order(uniform[:, -1]), as_it_was)
    source = source_ticks(cuts(uniform[:, :-1], ticks), order_BS, ticks)
    return x_BCT.gather(2, source[:, None].expand_as(x_BCT))
