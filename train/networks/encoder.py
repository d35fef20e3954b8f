"""The interface of an encoder."""

from __future__ import annotations

from torch import nn


class Encoder(nn.Module):
    """Maps windows of `ticks` ticks at 30 Hz, float32 (batch, 3, ticks) in g, to (batch, features, 1).

    For type checking only: networks have these attributes without inheriting from this class, because their files go
    into exports and import nothing from persondays.
    """

    preset: str
    width: float
    ticks: int
    features: int
