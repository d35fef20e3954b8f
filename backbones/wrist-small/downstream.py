"""The downstream network: a classifier on a feature extractor, with the names that code for public harnet models uses.

Imports torch and nothing else: this file is copied into every export. torch.jit.script can compile it:
annotations are objects, not strings.
"""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

HIDDEN = 512


class Classifier(nn.Module):
    """The downstream head: a hidden layer of 512, ReLU, a logit for each class; Kaiming normal by fan-out, biases 0."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(features, HIDDEN)
        self.linear2 = nn.Linear(HIDDEN, classes)
        for linear in (self.linear1, self.linear2):
            nn.init.kaiming_normal_(linear.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(linear.bias)

    def forward(self, features_BF: Tensor) -> Tensor:
        return self.linear2(F.relu(self.linear1(features_BF)))


class DownstreamNetwork(nn.Module):
    """A classifier on a feature extractor: windows (batch, 3, ticks) to logits (batch, classes)."""

    def __init__(self, feature_extractor: Any, classes: int) -> None:
        super().__init__()
        self.feature_extractor = feature_extractor
        self.classifier = Classifier(feature_extractor.features, classes)

    def forward(self, x_BCT: Tensor) -> Tensor:
        return self.classifier(self.feature_extractor(x_BCT).flatten(1))
