"""Time warp: each axis is played at a speed that drifts along a smooth random curve.

After Um et al. 2017, doi:10.1145/3136755.3136817.
The curve is the not-a-knot cubic spline (scipy's default) over both ends and 4 inner knots drawn around 1. On six
knots that spline is a sum of six fixed curves, so nothing is solved at run time. Its running sum is taken in
fixed-point integers: they sum alike on every device, and CUDA has no deterministic sum of floats along an axis.
"""

from __future__ import annotations

import torch
from torch import Tensor

from train.random import Purpose, WindowRandom

KNOTS = 6
SIGMA = 0.2
SLOWEST = 0.05
ONE = 2.0**19  # speed 1 in fixed point: 900 ticks at four times that stay below 2**31
END = 1 - 2.0**-22  # so that rounding leaves a tick after every position


def _powers(place: Tensor) -> Tensor:
    """The truncated powers that span the spline; not-a-knot means no break at the second and the last but one knot."""
    breaks = [(place - knot).clamp(min=0) ** 3 for knot in range(2, KNOTS - 2)]
    return torch.stack([place**power for power in range(4)] + breaks, -1)


_FROM_KNOTS = torch.linalg.inv(_powers(torch.arange(KNOTS, dtype=torch.float64)))


def spline_curves(ticks: int, device: torch.device) -> Tensor:
    """float32 (6, ticks): the spline is the sum of these curves, each times the value at its knot."""
    place = torch.arange(ticks, dtype=torch.float64) * ((KNOTS - 1) / (ticks - 1))
    return (_powers(place) @ _FROM_KNOTS).T.to(device, torch.float32)


def draw_knots(random: WindowRandom) -> Tensor:
    """float32 (batch, 3, 6): the speed at the ends and the inner knots of each axis, about 1."""
    return 1 + SIGMA * random.normal(Purpose.WARP, 3 * KNOTS).unflatten(1, (3, KNOTS))


def speed(knots_BCK: Tensor, ticks: int) -> Tensor:
    """float32 (batch, 3, ticks): the speed of play in units of 1 / ONE, at least 0.05 of it."""
    values = ONE * knots_BCK
    curves = spline_curves(ticks, knots_BCK.device)
    curve = values[..., 0, None] * curves[0]
    for knot in range(1, KNOTS):
        curve.addcmul_(values[..., knot, None], curves[knot])
    return curve.clamp_(min=SLOWEST * ONE)


def positions(speed_BCT: Tensor) -> Tensor:
    """float32, same shape: the running sum of the speed, stretched to go from tick 0 to just before the last one."""
    steps = speed_BCT.int()
    steps[..., 0] = 0
    travelled = steps.cumsum(-1, dtype=torch.int32).float()
    end = END * (speed_BCT.shape[-1] - 1)
    return travelled.mul_(end / travelled[..., -1:])


def warp(x_BCT: Tensor, random: WindowRandom) -> Tensor:
    """The windows read at the warped positions, by linear interpolation."""
    position = positions(speed(draw_knots(random), x_BCT.shape[-1]))
    tick = position.long()
    return x_BCT.gather(2, tick).lerp_(x_BCT[..., 1:].gather(2, tick), position.frac_())
