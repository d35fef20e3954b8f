"""The two networks of a classifier: a frozen backbone with a linear head, or all of it fine-tuned."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from train.evaluate.rows.head import LinearHead
from train.evaluate.rows.row import Head
from train.evaluate.rows.training import TrainedNetwork
from train.networks import Encoder
from train.networks.downstream import DownstreamNetwork

HEADS = ("linear", "two-layer")


class StandardLinear(nn.Module):
    """The linear head: features are standardised, then mapped to a logit for each class."""

    mean: Tensor
    scale: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        shapes: dict[str, tuple[int, ...]] = {"mean": (features,), "scale": (features,)}
        shapes |= {"weight": (features, classes), "bias": (classes,)}
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape))

    def forward(self, features_BF: Tensor) -> Tensor:
        """Return logits (batch, classes)."""
        logits: Tensor = (features_BF - self.mean) / self.scale @ self.weight + self.bias
        return logits


class FrozenNetwork(nn.Module):
    """A linear head on a frozen feature extractor: windows (batch, 3, ticks) to logits (batch, classes)."""

    def __init__(self, feature_extractor: Any, classes: int) -> None:
        super().__init__()
        self.feature_extractor = feature_extractor
        self.head = StandardLinear(feature_extractor.features, classes)

    def forward(self, x_BCT: Tensor) -> Tensor:
        """Return logits (batch, classes)."""
        logits: Tensor = self.head(self.feature_extractor(x_BCT).flatten(1))
        return logits


def empty_network(head: str, backbone: Encoder, classes: int) -> nn.Module:
    """Return the network of a head in `HEADS`, on this backbone; the head still has to be loaded."""
    if head == "linear":
        return FrozenNetwork(backbone, classes)
    with torch.random.fork_rng(devices=[]):
        return DownstreamNetwork(backbone, classes)


def network_of(head: Head, backbone: Encoder) -> tuple[str, nn.Module]:
    """Return the name of what `persondays evaluate` has learnt, and the network on the CPU; raises TypeError."""
    if isinstance(head, TrainedNetwork) and isinstance(head.network, DownstreamNetwork):
        return "two-layer", head.network.cpu().eval()
    if not isinstance(head, LinearHead):
        raise TypeError(f"expected a linear head or a fine-tuned network, found {type(head).__name__}")
    network = empty_network("linear", backbone.cpu(), len(head.bias_K))
    arrays: dict[str, NDArray[np.float32]] = {"mean": head.mean_F, "scale": head.scale_F}
    arrays |= {"weight": head.weight_FK, "bias": head.bias_K}
    for name, array in arrays.items():
        getattr(network.head, name).copy_(torch.from_numpy(array))
    return "linear", network.eval()
