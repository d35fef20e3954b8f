"""Which networks there are, by settings."""

from __future__ import annotations

from dataclasses import dataclass

from train.networks.harnet import PRESETS, DownstreamNetwork, Harnet

__all__ = ["PRESETS", "DownstreamNetwork", "Harnet", "NetworkSettings", "make_network"]


@dataclass(frozen=True)
class NetworkSettings:
    """A preset (harnet5, harnet10, harnet30) and the factor of its channels (1.0 as published)."""

    preset: str = "harnet10"
    width: float = 1.0

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise ValueError(f"unknown network {self.preset!r}: expected one of {', '.join(PRESETS)}")
        if not 0 < self.width <= 4:
            raise ValueError(f"the width of a network is above 0 and at most 4, not {self.width}")


def make_network(settings: NetworkSettings) -> Harnet:
    """The feature extractor that the settings name, freshly initialised from torch's generator."""
    return Harnet(settings.preset, settings.width)
