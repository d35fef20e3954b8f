"""Time reversal: the arrow of time as a label (Wei et al. 2018, doi:10.1109/CVPR.2018.00840)."""

from __future__ import annotations

import torch
from torch import Tensor

from train.random import WindowRandom


def reverse(x_BCT: Tensor, random: WindowRandom, applied_B: Tensor) -> Tensor:
    """Return the windows, reversed in time where `applied_B`; draws nothing."""
    return torch.where(applied_B[:, None, None], x_BCT.flip(-1), x_BCT)
