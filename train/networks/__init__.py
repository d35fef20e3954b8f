"""Encoders: the networks that settings can name. A network is one file and a line in `NETWORKS`.

The file imports torch and nothing else, because exports contain a copy of it. Its class takes a preset's name and a
width, and has the attributes of `Encoder`.
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
    """A preset: its class, and the ticks of its windows."""

    kind: Callable[[str, float], nn.Module]
    ticks: int


NETWORKS = {
    **{name: Network(harnet.Harnet, preset.ticks) for name, preset in harnet.PRESETS.items()},
    **{name: Network(transformer.Transformer, ticks) for name, ticks in transformer.PRESETS.items()},
}


@dataclass(frozen=True)
class NetworkSettings:
    """A preset, and the factor on its channels (1.0: as published)."""

    preset: str = "harnet10"
    width: float = 1.0
    sync_batch_norm: bool = False
    """Take BatchNorm statistics over the windows of all processes instead of each process's own."""

    def __post_init__(self) -> None:
        if self.preset not in NETWORKS:
            raise ValueError(f"preset: expected one of {', '.join(NETWORKS)}, found {self.preset!r}")
        if not 0 < self.width <= 4:
            raise ValueError(f"width: expected a number above 0 and at most 4, found {self.width}")


def make_network(settings: NetworkSettings, device: torch.device = CPU) -> Encoder:
    """Return the feature extractor that the settings name, initialised from torch's generator.

    `device` is where it will train: synchronised BatchNorm is another layer on CUDA. Nothing is moved there.
    """
    network = NETWORKS[settings.preset].kind(settings.preset, settings.width)
    if settings.sync_batch_norm:
        synchronise(network, device)
    return cast(Encoder, network)
