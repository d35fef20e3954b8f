"""Axis permutation: any axis of a device may point along the arm; all six orders are equally likely."""

from __future__ import annotations

from itertools import permutations

import torch
from torch import Tensor

from train.constant import Constant
from train.random import Purpose, WindowRandom

ORDERS = tuple(permutations(range(3)))
_ORDERS = Constant(lambda: torch.tensor(ORDERS))


def axis_order(random: WindowRandom) -> Tensor:
    """Draw int64 (batch, 3): the axis that becomes the first, second and third."""
    uniform = random.uniform(Purpose.AXES, 1)[:, 0]
    return _ORDERS.on(random.device)[(uniform * len(ORDERS)).long()]


def permute_axes(x_BCT: Tensor, random: WindowRandom) -> Tensor:
    """Return the windows with their axes in a random order."""
    first = 3 * torch.arange(len(x_BCT), device=x_BCT.device)[:, None]
    return x_BCT.flatten(0, 1).index_select(0, (first + axis_order(random)).flatten()).view_as(x_BCT)
