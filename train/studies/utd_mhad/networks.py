"""What is trained in the study: encoders of one modality or two, and the heads on their features."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from train.studies.utd_mhad.inertial import InertialEncoder
from train.studies.utd_mhad.skeleton import SkeletonEncoder

MODALITIES = ("inertial", "skeleton")
HIDDEN, PROJECTION = 256, 128


def make_encoder(modality: str) -> InertialEncoder | SkeletonEncoder:
    """Return a new encoder; its width is `features`."""
    return InertialEncoder() if modality == "inertial" else SkeletonEncoder()


class Encoders(nn.Module):
    """An encoder for each modality: a tuple of inputs to a tuple of features (batch, features)."""

    def __init__(self, modalities: tuple[str, ...]) -> None:
        super().__init__()
        self.modalities = modalities
        made = {modality: make_encoder(modality) for modality in modalities}
        self.each = nn.ModuleDict(made)
        self.features = tuple(encoder.features for encoder in made.values())

    def forward(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(encoder(x) for encoder, x in zip(self.each.values(), inputs, strict=True))


class Classifier(nn.Module):
    """Features of one encoder to classes by a linear layer; of several, after a hidden layer of 256 for each.

    As the authors' code has it; their paper has two hidden layers, 256 and 128.
    """

    def __init__(self, features: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.hidden = nn.ModuleList(hidden(each) for each in features) if len(features) > 1 else None
        self.out = nn.Linear(HIDDEN * len(features) if self.hidden else features[0], classes)

    def forward(self, features: tuple[Tensor, ...]) -> Tensor:
        if self.hidden:
            features = tuple(layer(each_BF) for layer, each_BF in zip(self.hidden, features, strict=True))
        logits_BK: Tensor = self.out(torch.cat(features, 1))
        return logits_BK


def hidden(features: int) -> nn.Sequential:
    """Return a linear layer to 256 with BatchNorm and ReLU."""
    return nn.Sequential(nn.Linear(features, HIDDEN), nn.BatchNorm1d(HIDDEN), nn.ReLU())


def projection(features: int) -> nn.Sequential:
    """Return a projection to 128 outputs, in which rows are compared."""
    return nn.Sequential(hidden(features), nn.Linear(HIDDEN, PROJECTION))
