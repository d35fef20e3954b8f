"""A network as a file of weights in the public harnet format."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import save_file

from train.networks import Encoder
from train.networks.weights import BACKBONE


def write_harnet(network: Encoder, file: Path) -> Path:
    """Write the network's entries under the names of harnet's feature extractor; returns the file."""
    save_file({f"{BACKBONE}{name}": tensor for name, tensor in network.state_dict().items()}, file)
    return file
