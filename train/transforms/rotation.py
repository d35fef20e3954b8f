"""Rotation, uniform on SO(3): a device's orientation on the wrist carries no information about the activity.

Uniform unit quaternions after K. Shoemake, "Uniform random rotations", Graphics Gems III (1992), pages 124 to 132.
"""

from __future__ import annotations

import torch
from torch import Tensor

from train.random import Purpose, WindowRandom


def partial_rotation(quaternion_B4: Tensor, share: float) -> Tensor:
    """Return rotations about the same axes by `share` of the angle (the angle that is at most 180 degrees)."""
    quaternion_B4 = torch.where(quaternion_B4[:, 3:] < 0, -quaternion_B4, quaternion_B4)
    sine = quaternion_B4[:, :3].norm(dim=1, keepdim=True)
    half = share * torch.atan2(sine, quaternion_B4[:, 3:])
    return torch.cat((quaternion_B4[:, :3] / sine.clamp(min=1e-20) * half.sin(), half.cos()), 1)


def quaternions(random: WindowRandom) -> Tensor:
    """Draw float32 (batch, 4): x, y, z, w of unit length, uniform on the sphere in four dimensions."""
    uniform = random.uniform(Purpose.ROTATION, 3)
    first, second = torch.sqrt(1 - uniform[:, 0]), torch.sqrt(uniform[:, 0])
    angle = 2 * torch.pi * uniform[:, 1:]
    sine, cosine = angle.sin(), angle.cos()
    return torch.stack((first * sine[:, 0], first * cosine[:, 0], second * sine[:, 1], second * cosine[:, 1]), 1)


def matrices(quaternion_B4: Tensor) -> Tensor:
    """Return float32 (batch, 3, 3): the rotation matrix of each unit quaternion x, y, z, w."""
    x, y, z, w = quaternion_B4.unbind(1)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        (2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        (2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    )
    return torch.stack([torch.stack(row, -1) for row in rows], 1)


def rotate(x_BCT: Tensor, random: WindowRandom, share: float = 1.0) -> Tensor:
    """Return the windows, each rotated by its own rotation, or by `share` of its angle."""
    turn = matrices(quaternions(random) if share == 1 else partial_rotation(quaternions(random), share))
    turned = turn[:, :, 0, None] * x_BCT[:, 0, None]
    for axis in (1, 2):
        turned.addcmul_(turn[:, :, axis, None], x_BCT[:, axis, None])
    return turned
