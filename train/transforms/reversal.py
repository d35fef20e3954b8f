"""Time reversal: the arrow of time as a label (Wei et al. 2018, doi:10.1109/CVPR.2018.00840)."""

from __future__ import annotations

from torch import Tensor

from train.random import WindowRandom


def reverse(x_BCT: Tensor, random: WindowRandom) -> Tensor:
    """The windows played backwards; draws nothing."""
    return x_BCT.flip(-1)
