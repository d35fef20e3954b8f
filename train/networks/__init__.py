"""Encoders: which networks there are, by settings. A network is one file and a line here; the trainer knows none.

The file imports torch and nothing else, since it goes into exports as it stands. Its class is made of a preset's name
and a width, and is what `Encoder` says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import nn

from train.networks import harnet, transformer
from train.networks.batch_norm import synchronise
from train.networks.encoder import Encoder

__all__ = ["NETWORKS", "Encoder", "Network", "NetworkSettings", "make_network"]


CPU = torch.device("cpu")


class Network(NamedTuple):
    """A preset: the class of which it is made, and the ticks of its windows."""

    kind: Callable[[str, float], nn.Module]
    ticks: int


NETWORKS = {
    **{name: Network(harnet.Harnet, preset.ticks) for name, preset in harnet.PRESETS.items()},
    **{name: Network(transformer.Transformer, preset.ticks) for name, preset in transformer.PRESETS.items()},
}


@dataclass(frozen=True)
class NetworkSettings:
    """A preset and the factor of its channels (1.0 as published)."""

    preset: str = "harnet10"
    width: float = 1.0
    sync_batch_norm: bool = False
    """Take BatchNorm statistics over the windows of all processes instead of each process's own."""

    def __post_init__(self) -> None:
        if self.preset not in NETWORKS:
            raise ValueError(f"unknown network {self.preset!r}: expected one of {', '.join(NETWORKS)}")
        if not 0 < self.width <= 4:
            raise ValueError(f"the width of a network is above 0 and at most 4, not {self.width}")


def make_network(settings: NetworkSettings, device: torch.device = CPU) -> Encoder:
    """Return the feature extractor that the settings name, initialised from torch's generator.

    `device` is where it will train: synchronised BatchNorm is another layer on CUDA. Nothing is moved there.
    """
    network = NETWORKS[settings.preset].kind(settings.preset, settings.width)
    if settings.sync_batch_norm:
        synchronise(network, device)
    return cast(Encoder, network)
