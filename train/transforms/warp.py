"""Time warp: play each axis at a speed that follows a smooth random curve.

After Um et al. 2017, doi:10.1145/3136755.3136817.
The curve is the not-a-knot cubic spline (scipy's default) over both ends and 4 inner knots drawn around 1. On six
knots that spline is a sum of six fixed curves, and its running sum is a sum of their running sums. So the positions at
which a window is read are one matmul; nothing is solved or summed along time at run time. It is in float64, because
float32 resolves a position near tick 900 to 0.00003 ticks only.
"""

from __future__ import annotations

import torch
from torch import Tensor

from train.constant import Constant
from train.random import Purpose, WindowRandom

KNOTS = 6
SIGMA = 0.2
MIN_SPEED = 0.05
CHECKS = 10
"""Places between two knots at which the speed of a curve is checked."""
END = 1 - 2.0**-36
"""Keeps every position before the last tick; so close to 1 that float32 reads ticks to the bit, up to 2,048 of them."""


def _powers(place: Tensor) -> Tensor:
    """Return the truncated powers that span the spline; not-a-knot: no break at the second and second-last knot."""
    breaks = [(place - knot).clamp(min=0) ** 3 for knot in range(2, KNOTS - 2)]
    return torch.stack([place**power for power in range(4)] + breaks, -1)


_FROM_KNOTS = torch.linalg.inv(_powers(torch.arange(KNOTS, dtype=torch.float64)))


def spline_curves(places: int) -> Tensor:
    """Return float64 (6, places): curves whose sum, each times its knot's value, is the spline from end to end."""
    place = torch.arange(places, dtype=torch.float64) * ((KNOTS - 1) / (places - 1))
    return (_powers(place) @ _FROM_KNOTS).T.contiguous()


def travelled_curves(ticks: int) -> Tensor:
    """Return float64 (6, ticks): the running sums of the spline's curves from tick 1 on, 0 at tick 0."""
    curves = spline_curves(ticks)
    curves[:, 0] = 0
    return curves.cumsum(1)


_SPLINE, _TRAVELLED = Constant(spline_curves), Constant(travelled_curves)


def draw_knots(random: WindowRandom) -> Tensor:
    """Draw float64 (batch, 3, 6): the speed at the ends and the inner knots of each axis, around 1."""
    return 1 + SIGMA * random.normal(Purpose.WARP, 3 * KNOTS).double().unflatten(1, (3, KNOTS))


def never_backwards(knots_BCK: Tensor) -> Tensor:
    """Return the knots; if their curve falls below 0.05, pull them towards 1 until it does not."""
    slowest = (knots_BCK @ _SPLINE.on(knots_BCK.device, CHECKS * (KNOTS - 1) + 1)).amin(-1, keepdim=True)
    return 1 + (knots_BCK - 1) / ((1 - slowest) / (1 - MIN_SPEED)).clamp(min=1)


def positions(knots_BCK: Tensor, ticks: int) -> Tensor:
    """Return float64 (batch, 3, ticks): the running sum of the speed, scaled to end just before the last tick."""
    curves = _TRAVELLED.on(knots_BCK.device, ticks)
    travelled = knots_BCK @ curves[:, -1:]
    return (knots_BCK * (END * (ticks - 1) / travelled)) @ curves


def read_at(x_BCT: Tensor, position_BCT: Tensor) -> Tensor:
    """Read the windows at positions before their last tick, by linear interpolation."""
    tick = position_BCT.long()
    between = position_BCT.frac().float()
    return x_BCT.gather(2, tick).lerp_(x_BCT[..., 1:].gather(2, tick), between)


def warp(x_BCT: Tensor, random: WindowRandom, applied_B: Tensor) -> Tensor:
    """Return the windows, read at warped positions where `applied_B`; elsewhere the speed is 1."""
    knots = never_backwards(draw_knots(random)).masked_fill(~applied_B[:, None, None], 1)
    return read_at(x_BCT, positions(knots, x_BCT.shape[-1]))
