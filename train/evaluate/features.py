"""Features of windows from a frozen network, and BatchNorm statistics for one that was never trained."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from train.networks.harnet import Harnet

BATCH = 256
STATISTICS_WINDOWS = 8_192


def device() -> torch.device:
    """A GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@torch.inference_mode()
def extract(network: Harnet, x_NCT: NDArray[np.float32]) -> NDArray[np.float32]:
    """Features float32 (windows, features) of windows in g (windows, 3, ticks), on a GPU where there is one."""
    network = network.to(device()).eval()
    batches = (torch.from_numpy(x_NCT[start : start + BATCH]) for start in range(0, len(x_NCT), BATCH))
    return np.concatenate([network(x_BCT.to(device())).flatten(1).cpu().numpy() for x_BCT in batches])


@torch.inference_mode()
def estimate_statistics(network: Harnet, x_NCT: NDArray[np.float32], seed: int) -> None:
    """Set the network's BatchNorm statistics to those of windows in g (at most 8,192 of them, drawn by `seed`).

    Each statistic becomes the plain mean over shuffled batches, every layer seeing what a network in
    training shows it (as torch.optim.swa_utils.update_bn does).
    """
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm1d)]
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.reset_running_stats()
        layer.momentum = None
    network.to(device()).train()
    drawn = np.random.default_rng(seed).permutation(len(x_NCT))[:STATISTICS_WINDOWS]
    for batch in np.array_split(drawn, max(1, len(drawn) // BATCH)):
        network(torch.from_numpy(x_NCT[batch]).to(device()))
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum
    network.eval()
