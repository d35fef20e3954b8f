"""Controls: windows without activity; every pretext accuracy is reported next to the accuracy on them.

A network can recognise a transformed window by traces of the transform (interpolation smooths, joins jump) and learn
nothing about movement. Its accuracy on noise, or on windows that kept only their spectrum, is the part of its score
that such traces explain.
"""

from __future__ import annotations

import torch
from torch import Tensor

from train.random import Purpose, WindowRandom


def noise_only(x_BCT: Tensor, random: WindowRandom) -> Tensor:
    """Return white Gaussian noise with the mean and standard deviation of each axis of each window."""
    mean = x_BCT.mean(-1, keepdim=True)
    deviation = (x_BCT - mean).square_().mean(-1, keepdim=True).sqrt_()  # torch.std_mean takes 10 times as long
    return torch.addcmul(mean, deviation, random.normal(Purpose.CONTROL, x_BCT[0].numel()).view_as(x_BCT))


def phase_randomised(x_BCT: Tensor, random: WindowRandom) -> Tensor:
    """Return windows with the power spectrum of each axis and random phases.

    The same phases are added to all three axes, which keeps what the axes have in common (Prichard and Theiler 1994,
    doi:10.1103/PhysRevLett.73.951). The mean is kept and, for an even number of ticks, the component at half the
    sampling rate, since the result is real.
    """
    ticks = x_BCT.shape[-1]
    free = (ticks - 1) // 2
    angle = torch.zeros(len(x_BCT), ticks // 2 + 1, device=x_BCT.device)
    angle[:, 1 : free + 1] = 2 * torch.pi * random.uniform(Purpose.CONTROL, free)
    turn = torch.polar(torch.ones_like(angle), angle)
    return torch.fft.irfft(torch.fft.rfft(x_BCT) * turn[:, None], n=ticks)
