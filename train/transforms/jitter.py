"""Jitter: white Gaussian noise, which hides the traces of interpolation and joins in the sensor's own noise."""

from __future__ import annotations

from torch import Tensor

from train.random import Purpose, WindowRandom


def jitter(x_BCT: Tensor, random: WindowRandom, sigma_g: float) -> Tensor:
    """Return the windows plus Gaussian noise with standard deviation `sigma_g`, in g."""
    return x_BCT + sigma_g * random.normal(Purpose.JITTER, x_BCT[0].numel()).view_as(x_BCT)
