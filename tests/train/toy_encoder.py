"""A third encoder, as a user might write one: imports torch and nothing else, because exports contain it."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Toy(nn.Module):
    """Means over half seconds, one layer, the mean over time."""

    def __init__(self, preset: str, width: float = 1.0) -> None:
        super().__init__()
        self.preset, self.width, self.ticks, self.features = preset, width, 300, round(16 * width)
        self.layer = nn.Linear(3, self.features)

    def forward(self, x_BCT: Tensor) -> Tensor:
        segments_BNC = x_BCT.unflatten(2, (-1, 15)).mean(3).transpose(1, 2)
        return torch.relu(self.layer(segments_BNC)).mean(1)[:, :, None]
