"""What a network is to everything that uses one."""

from __future__ import annotations

from torch import nn


class Encoder(nn.Module):
    """Windows of `ticks` ticks at 30 Hz, float32 (batch, 3, ticks) in g, to (batch, features, 1).

    A type for those who read and check code: networks have these attributes without inheriting them, because their
    files go into exports and import nothing of ours.
    """

    preset: str
    width: float
    ticks: int
    features: int
