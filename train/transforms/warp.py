"""Time warp: each axis is played at a speed that drifts along a smooth random curve.

After Um et al. 2017, doi:10.1145/3136755.3136817.
The curve is the not-a-knot cubic spline (scipy's default) over both ends and 4 inner knots drawn around 1. On six
knots that spline is a sum of six fixed curves, so nothing is solved at run time. Positions are float64: at tick 900
float32 is good to 0.00003 ticks, and a sum of 900 speeds to less. The running sum is taken in fixed-point integers,
which sum alike on every device: CUDA has no deterministic sum of floats along an axis.
"""

from __future__ import annotations

import torch
from torch import Tensor

from train.random import Purpose, WindowRandom

KNOTS = 6
SIGMA = 0.2
SLOWEST = 0.05
ONE = 2.0**40
"""Speed 1 in fixed point."""


def _powers(place: Tensor) -> Tensor:
    """The truncated powers that span the spline; not-a-knot means no break at the second and the last but one knot."""
    breaks = [(place - knot).clamp(min=0) ** 3 for knot in range(2, KNOTS - 2)]
    return torch.stack([place**power for power in range(4)] + breaks, -1)


_FROM_KNOTS = torch.linalg.inv(_powers(torch.arange(KNOTS, dtype=torch.float64)))


def spline_curves(ticks: int, device: torch.device) -> Tensor:
    """float64 (6, ticks): the spline is the sum of these curves, each times the value at its knot."""
    place = torch.arange(ticks, dtype=torch.float64) * ((KNOTS - 1) / (ticks - 1))
    return (_powers(place) @ _FROM_KNOTS).T.to(device)


def draw_knots(random: WindowRandom) -> Tensor:
    """float32 (batch, 3, 6): the speed at the ends and the inner knots of each axis, about 1."""
    return 1 + SIGMA * random.normal(Purpose.WARP, 3 * KNOTS).unflatten(1, (3, KNOTS))


def speed(knots_BCK: Tensor, ticks: int) -> Tensor:
    """int64 (batch, 3, ticks): the speed of play in units of 1 / ONE, rounded, at least 0.05 of it."""
    curve = (ONE * knots_BCK.double() + 0.5) @ spline_curves(ticks, knots_BCK.device)  # the six curves sum to 1
    return curve.clamp_(min=SLOWEST * ONE).long()


def positions(speed_BCT: Tensor) -> Tensor:
    """float64, same shape: the running sum of the speed, stretched to go from tick 0 to the last one."""
    steps = speed_BCT.clone()
    steps[..., 0] = 0
    travelled = steps.cumsum(-1)
    return travelled * ((speed_BCT.shape[-1] - 1) / travelled[..., -1:].double())


def read_at(x_BCT: Tensor, position_BCT: Tensor) -> Tensor:
    """The windows between their ticks, by linear interpolation; to the bit where a position is a whole tick."""
    tick = position_BCT.long().clamp_(max=x_BCT.shape[-1] - 2)
    between = (position_BCT - tick).float()
    return x_BCT.gather(2, tick).lerp_(x_BCT[..., 1:].gather(2, tick), between)


def warp(x_BCT: Tensor, random: WindowRandom, applied_B: Tensor) -> Tensor:
    """The windows, where `applied_B` read at warped positions; elsewhere the speed is 1."""
    knots = draw_knots(random).masked_fill(~applied_B[:, None, None], 1)
    return read_at(x_BCT, positions(speed(knots, x_BCT.shape[-1])))
