"""Permutation: cut a window into segments (four by default) and put them in another order.

After Um et al. 2017, doi:10.1145/3136755.3136817.
Every segment is longer than 10 ticks, without rejection: sorted uniform numbers, one fewer than there are segments,
share out the ticks left when each segment has its 11. The order is never the identity (23 orders of four segments), so
a window labelled as permuted always is.
"""

from __future__ import annotations

from itertools import permutations

import torch
from torch import Tensor

from train.constant import Constant
from train.random import Purpose, WindowRandom

SEGMENTS = 4
MAX_SEGMENTS = 6
MIN_TICKS = 11
ORDERS = {segments: tuple(permutations(range(segments)))[1:] for segments in range(2, MAX_SEGMENTS + 1)}
"""Every order of this number of segments except the identity."""
_ORDERS = Constant(lambda segments: torch.tensor(ORDERS[segments]))


def cuts(uniform_BS: Tensor, ticks: int) -> Tensor:
    """Return int64 (batch, segments + 1): bounds from 0 to `ticks`, each at least 11 after the previous one.

    Takes uniform numbers (batch, segments - 1).
    """
    segments = uniform_BS.shape[1] + 1
    spare = ticks - segments * MIN_TICKS
    shared_out = (uniform_BS.sort(-1).values * (spare + 1)).long()
    inner = shared_out + MIN_TICKS * torch.arange(1, segments, device=uniform_BS.device)
    ends = inner.new_full((len(inner), 1), ticks)
    return torch.cat((torch.zeros_like(ends), inner, ends), 1)


def order(uniform_B: Tensor, segments: int = SEGMENTS) -> Tensor:
    """Return int64 (batch, segments): the segment that comes first, second, ...; never 0 1 2 ..."""
    known = _ORDERS.on(uniform_B.device, segments)
    return known[(uniform_B * len(known)).long()]


def source_ticks(cuts_BS: Tensor, order_BS: Tensor, ticks: int) -> Tensor:
    """Return int64 (batch, ticks): the window's tick from which each tick of the permuted window is taken.

    Computed as a running sum of steps: 1 inside a segment, and at a join the jump from the end of one segment to the
    start of the next.
    """
    start = cuts_BS[:, :-1].gather(1, order_BS)
    length = cuts_BS.diff().gather(1, order_BS)
    join = length.cumsum(1) - length
    last = start + length - 1
    steps = torch.ones(len(cuts_BS), ticks, dtype=torch.int64, device=cuts_BS.device)
    steps.scatter_(1, join, torch.cat((start[:, :1], start[:, 1:] - last[:, :-1]), 1))
    return steps.cumsum(1)


def permute(x_BCT: Tensor, random: WindowRandom, applied_B: Tensor | None, segments: int = SEGMENTS) -> Tensor:
    """Return the windows; where `applied_B` (None: everywhere) with their segments reordered, the same on all axes.

    Needs at least 11 ticks for each segment.
    """
    ticks = x_BCT.shape[-1]
    uniform = random.uniform(Purpose.PERMUTATION, segments)
    order_BS = order(uniform[:, -1], segments)
    if applied_B is not None:
        order_BS = torch.where(applied_B[:, None], order_BS, torch.arange(segments, device=x_BCT.device))
    source = source_ticks(cuts(uniform[:, :-1], ticks), order_BS, ticks)
    return x_BCT.gather(2, source[:, None].expand_as(x_BCT))
