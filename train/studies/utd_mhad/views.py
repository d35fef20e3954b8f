"""The views of SimCLR in the study, for a batch at once; every transform is applied to a trial with probability 0.75.

Inertial: jitter, scaling by a factor for each axis, segments in another order (Um et al. 2017, arXiv:1706.00527), and
another order of the channels. The authors' released code takes the channels for time: then a factor is drawn for each
value, the channels are cut and reordered, and all steps are shuffled at random (`as_released`).
Skeleton: jitter (always), a part resized to the whole, and scaling, rotation and shear about the first frame's spine.
Random numbers are torch's own.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

PROBABILITY = 0.75
JITTER_SD, SCALE_SD = 1.0, 1.0
SEGMENTS = (2, 5)
"""Fewest and most; the paper gives no number."""
SKELETON_JITTER_SD, SHEAR_SD = 0.1, 0.2
CROP, SCALE = (0.8, 0.9), (0.7, 1.2)
LARGEST_TURNS = 5
TURN = math.radians(2)
"""Rotation about each axis: a multiple of 2 degrees, up to 10 degrees either way."""


def sometimes(changed: Tensor, plain: Tensor) -> Tensor:
    """Return the changed trials with probability 0.75, else the plain ones."""
    return torch.where(per_trial(torch.rand(len(plain)) < PROBABILITY, plain), changed, plain)


def per_trial(value_B: Tensor, like: Tensor) -> Tensor:
    """Return (batch, 1, ...) of as many dimensions as `like`."""
    return value_B.view(-1, *[1] * (like.ndim - 1))


def inertial_view(x_BTC: Tensor, as_released: bool = False) -> Tensor:
    """Return a random view of each inertial trial (batch, steps, channels)."""
    x_BTC = sometimes(x_BTC + JITTER_SD * torch.randn_like(x_BTC), x_BTC)
    if as_released:
        x_BTC = sometimes(x_BTC * (1 + SCALE_SD * torch.randn_like(x_BTC)), x_BTC)
        x_BTC = sometimes(in_order(x_BTC, segment_order(*x_BTC.shape[::2]), 2), x_BTC)
        return sometimes(in_order(x_BTC, torch.rand(x_BTC.shape[:2]).argsort(1), 1), x_BTC)
    x_BTC = sometimes(x_BTC * (1 + SCALE_SD * torch.randn(len(x_BTC), 1, x_BTC.shape[2])), x_BTC)
    x_BTC = sometimes(in_order(x_BTC, segment_order(*x_BTC.shape[:2]), 1), x_BTC)
    return sometimes(in_order(x_BTC, torch.rand(x_BTC.shape[::2]).argsort(1), 2), x_BTC)


def in_order(x_BTC: Tensor, order_BN: Tensor, dim: int) -> Tensor:
    """Return the values along `dim` in the order given for each trial."""
    index = order_BN[:, :, None] if dim == 1 else order_BN[:, None, :]
    return x_BTC.gather(dim, index.expand_as(x_BTC))


def segment_order(batch: int, steps: int) -> Tensor:
    """Return int64 (batch, steps): the steps cut into 2 to 5 segments of nearly equal length, in a random order."""
    segments_B = torch.randint(SEGMENTS[0], SEGMENTS[1] + 1, (batch, 1))
    segment_BT = torch.arange(steps) * segments_B // steps
    rank_BS = torch.rand(batch, SEGMENTS[1]).argsort(1)
    return (rank_BS.gather(1, segment_BT) * steps + torch.arange(steps)).argsort(1)


def skeleton_view(x_BTJA: Tensor) -> Tensor:
    """Return a random view of each skeleton trial (batch, steps, joints, 3), centred by `trials.centred`."""
    x_BTJA = x_BTJA + SKELETON_JITTER_SD * torch.randn_like(x_BTJA)
    x_BTJA = sometimes(cropped(x_BTJA), x_BTJA)
    same_BAA = torch.eye(3).expand(len(x_BTJA), 3, 3)
    map_BAA = sometimes(torch.diag_embed(torch.empty(len(x_BTJA), 3).uniform_(*SCALE)), same_BAA)
    for change_BAA in (rotations(len(x_BTJA)), shears(len(x_BTJA))):
        map_BAA = map_BAA @ sometimes(change_BAA, same_BAA)
    return (x_BTJA.flatten(1, 2) @ map_BAA).view_as(x_BTJA)


def cropped(x_BTJA: Tensor) -> Tensor:
    """Return 0.8 to 0.9 of each trial, at a random place, stretched to its steps by linear interpolation."""
    batch, last = len(x_BTJA), x_BTJA.shape[1] - 1
    share_B = torch.empty(batch, 1).uniform_(*CROP)
    at_BT = last * (torch.rand(batch, 1) * (1 - share_B) + share_B * torch.linspace(0, 1, last + 1))
    before_BT = at_BT.long().clamp(max=last - 1)
    part_BT = (at_BT - before_BT)[:, :, None, None]
    trial_B = torch.arange(batch)[:, None]
    return x_BTJA[trial_B, before_BT].lerp(x_BTJA[trial_B, before_BT + 1], part_BT)


def rotations(batch: int) -> Tensor:
    """Return rotations about x, y and z in turn (batch, 3, 3), each by a multiple of 2 degrees up to 10."""
    angle_BA = TURN * torch.randint(-LARGEST_TURNS, LARGEST_TURNS + 1, (batch, 3))
    turned_BAA = torch.eye(3).expand(batch, 3, 3)
    for axis in range(3):
        one, other = (axis + 1) % 3, (axis + 2) % 3
        turn_BAA = torch.eye(3).repeat(batch, 1, 1)
        cos_B, sin_B = angle_BA[:, axis].cos(), angle_BA[:, axis].sin()
        turn_BAA[:, one, one], turn_BAA[:, other, other] = cos_B, cos_B
        turn_BAA[:, one, other], turn_BAA[:, other, one] = sin_B, -sin_B
        turned_BAA = turned_BAA @ turn_BAA
    return turned_BAA


def shears(batch: int) -> Tensor:
    """Return shears (batch, 3, 3): ones on the diagonal, N(0, 0.2) elsewhere."""
    return torch.eye(3) + SHEAR_SD * torch.randn(batch, 3, 3) * (1 - torch.eye(3))
