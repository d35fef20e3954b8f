"""The network and its heads as one module.

Each head is a child module under its own name, next to `feature_extractor`: these are the state-dict names that code
for OxWearables' models expects (`feature_extractor.*`, `aot_h.linear1.weight`).
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from train.networks import Encoder


def is_data(name: str) -> bool:
    """Whether an entry of a model's state dict holds data of windows, such as a queue of their vectors, not weights.

    Checkpoints have it; means of weights and exports do not.
    """
    return name.rpartition(".")[2] in ("queue", "queued")


class Model(nn.Module):
    """Maps windows (batch, 3, ticks) in g to the output of every head, by its name, in the precision of the weights."""

    def __init__(self, feature_extractor: Encoder, heads: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.feature_extractor: Encoder = feature_extractor
        for name, head in heads.items():
            self.add_module(name, head)
        self.head_names = tuple(heads)

    def forward(self, x_BCT: Tensor) -> dict[str, Tensor]:
        features = self.feature_extractor(x_BCT.to(next(self.parameters()).dtype)).flatten(1)
        return {name: self.get_submodule(name)(features) for name in self.head_names}
