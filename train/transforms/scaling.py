"""Scaling: a factor for each axis, never near 1 as a task to recognise, and any factor as an augmentation.

After Um et al. 2017, doi:10.1145/3136755.3136817.
"""

from __future__ import annotations

from torch import Tensor

from train.random import Purpose, WindowRandom

LOWEST, HIGHEST = 0.5, 1.5
MIN_CHANGE = 0.15


def factors(random: WindowRandom) -> Tensor:
    """Draw float32 (batch, 3), uniform on [0.5, 0.85) and [1.15, 1.5]."""
    uniform = random.uniform(Purpose.SCALING, 3)
    factor = LOWEST + (HIGHEST - LOWEST - 2 * MIN_CHANGE) * uniform
    return factor + 2 * MIN_CHANGE * (uniform > 0.5)


def scale(x_BCT: Tensor, random: WindowRandom, applied_B: Tensor) -> Tensor:
    """Return the windows, each axis times its own factor where `applied_B`."""
    return x_BCT * factors(random).masked_fill(~applied_B[:, None], 1)[:, :, None]


def rescale(x_BCT: Tensor, random: WindowRandom, spread: float) -> Tensor:
    """Return the windows, each axis times its own factor, uniform on (1 - spread, 1 + spread)."""
    return x_BCT * (1 + spread * (2 * random.uniform(Purpose.RESCALING, 3) - 1))[:, :, None]
