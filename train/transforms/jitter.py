"""Jitter: white gaussian noise, which hides what interpolation and joins leave in the sensor's own noise."""

from __future__ import annotations

from torch import Tensor

from train.random import Purpose, WindowRandom


def jitter(x_BCT: Tensor, random: WindowRandom, sigma_g: float) -> Tensor:
    """The windows plus gaussian noise of standard deviation `sigma_g`, in g."""
    return x_BCT + sigma_g * random.normal(Purpose.JITTER, x_BCT[0].numel()).view_as(x_BCT)
