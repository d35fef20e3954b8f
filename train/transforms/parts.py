"""A large batch a part at a time, on a CPU: larger pieces of memory would be asked of the system anew for each pass."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from train.random import WindowRandom

PART = 512
"""Windows that a CPU transforms at a time."""

Views = Callable[[Tensor, WindowRandom], tuple[Tensor, Tensor]]


def in_parts(views: Views, x_BCT: Tensor, random: WindowRandom) -> tuple[Tensor, Tensor]:
    """What `views` makes of the windows; on a device that is no CPU, and when compiled, of all of them at once."""
    if x_BCT.device.type != "cpu" or len(x_BCT) <= PART or torch.compiler.is_compiling():
        return views(x_BCT, random)
    made = [views(*part) for part in zip(x_BCT.split(PART), random.split(PART), strict=True)]
    return torch.cat([seen for seen, _ in made]), torch.cat([targets for _, targets in made])
