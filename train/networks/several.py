"""Several encoders in one model, one for each kind of view, such as each location of a device.

Rows take turns: of n encoders, row i goes through encoder i % n. So a window's views follow each other as always, and
what trains a model need not know how many encoders it has. In a state dict, they are below
`feature_extractor.encoders.of_NAME`, and their heads below `HEAD.encoders.of_NAME`. An export has one, under the usual
names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from train.networks import CPU, Encoder, NetworkSettings, make_network

OF = "of_"
"""Precedes names in a ModuleDict, which refuses those of its own attributes, such as `half`."""
PLACE = re.compile(rf"^(\w+)\.encoders\.{OF}([^.]+)\.")


class InTurn(nn.Module):
    """Modules by name, for rows that take turns; each gets its own rows as a batch."""

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict({OF + name: module for name, module in modules.items()})

    def forward(self, x_V: Tensor) -> Tensor:
        """Return the outputs in the order of the rows, whose number is a multiple of that of the modules."""
        own = x_V.unflatten(0, (-1, len(self.encoders))).unbind(1)
        outputs = [module(rows) for module, rows in zip(self.encoders.values(), own, strict=True)]
        return torch.stack(outputs, 1).flatten(0, 1)


class Encoders(InTurn):
    """Encoders of one architecture, each with its own weights; has the attributes of `Encoder`."""

    def __init__(self, encoders: Mapping[str, Encoder]) -> None:
        super().__init__(encoders)
        first = next(iter(encoders.values()))
        self.preset, self.width, self.ticks, self.features = first.preset, first.width, first.ticks, first.features


def make_encoders(settings: NetworkSettings, names: Sequence[str], device: torch.device = CPU) -> Encoder:
    """Return an encoder for each name, as one feature extractor; without names, the one that the settings name."""
    if not names:
        return make_network(settings, device)
    return cast(Encoder, Encoders({name: make_network(settings, device) for name in names}))


def first_of(encoder: Encoder) -> Encoder:
    """Return the first of several encoders, or the encoder itself."""
    return cast(Encoder, next(iter(encoder.encoders.values()))) if isinstance(encoder, Encoders) else encoder


def alone(name: str) -> str:
    """Return the name of a state dict's entry in a model that has this encoder alone."""
    return PLACE.sub(r"\1.", name)


def separated(entries: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Return the entries of each encoder and its heads under their usual names, by the encoder's name.

    Heads that encoders share are with each. A model of one encoder is returned as it is, under an empty name.
    """
    found = {name: PLACE.match(name) for name in entries}
    names = dict.fromkeys(match[2] for match in found.values() if match)
    return {
        own: {alone(name): entries[name] for name, match in found.items() if match is None or match[2] == own}
        for own in names or [""]
    }
