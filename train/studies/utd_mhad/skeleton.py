"""The skeleton encoder of the study: a co-occurrence network over positions and their differences in time.

After Li et al. 2018 (arXiv:1804.06055), as the study's authors have it: the two streams are joined along the axis that
holds coordinates, and convolutions 2 to 4 have no ReLU. There is neither padding nor dropout.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

JOINTS = 20
FEATURES = 256


class SkeletonEncoder(nn.Module):
    """Maps (batch, 50 steps, 20 joints, 3) to features (batch, 256)."""

    def __init__(self) -> None:
        super().__init__()
        self.positions, self.differences = stream(), stream()
        self.joined = nn.Sequential(
            *(nn.Conv2d(64, 128, 3), nn.BatchNorm2d(128), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(128, FEATURES, 3), nn.BatchNorm2d(FEATURES), nn.ReLU(), nn.MaxPool2d(2)),
        )
        self.features = FEATURES
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # less time on a CPU

    def forward(self, x_BTJA: Tensor) -> Tensor:
        x_BATJ = x_BTJA.permute(0, 3, 1, 2)
        change_BATJ = F.pad(x_BATJ.diff(dim=2), (0, 0, 1, 0))
        both = torch.cat((self.positions(x_BATJ), self.differences(change_BATJ)), 3)
        features_BF: Tensor = self.joined(both).flatten(1)
        return features_BF


class JointsAsChannels(nn.Module):
    """(batch, channels, steps, joints) to (batch, joints, steps, channels)."""

    def forward(self, x_BCTJ: Tensor) -> Tensor:
        return x_BCTJ.transpose(1, 3).contiguous(memory_format=torch.channels_last)


def stream() -> nn.Sequential:
    """Return a stream: (batch, 3, 50, 20) to (batch, 64, 10, 6)."""
    return nn.Sequential(
        *(nn.Conv2d(3, 64, 1), nn.BatchNorm2d(64), nn.ReLU()),
        *(nn.Conv2d(64, 32, (3, 1)), nn.BatchNorm2d(32), JointsAsChannels()),
        *(nn.Conv2d(JOINTS, 32, 3), nn.BatchNorm2d(32), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3), nn.BatchNorm2d(64), nn.MaxPool2d(2)),
    )
