"""Transform a large batch in parts on a CPU, where larger tensors would be allocated from the system in every pass."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from train.random import WindowRandom

PART = 512
"""Number of windows that a CPU transforms at a time."""

Views = Callable[[Tensor, WindowRandom], tuple[Tensor, Tensor]]


def in_parts(views: Views, x: Tensor, random: WindowRandom) -> tuple[Tensor, Tensor]:
    """Return `views` of the windows, computed in parts on a CPU; on other devices, and when compiled, in one piece."""
    if x.device.type != "cpu" or len(x) <= PART or torch.compiler.is_compiling():
        return views(x, random)
    made = [views(*part) for part in zip(x.split(PART), random.split(PART), strict=True)]
    return torch.cat([seen for seen, _ in made]), torch.cat([targets for _, targets in made])
