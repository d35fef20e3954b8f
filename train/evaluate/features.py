"""Features of windows from a frozen network, and BatchNorm statistics for one that was never trained."""

from __future__ import annotations

from concurrent.futures import Executor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from train.networks import Encoder

BATCH = 256
STATISTICS_WINDOWS = 2_048


def device() -> torch.device:
    """A GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def extract(network: Encoder, x_NCT: NDArray[np.float32], pool: Executor) -> NDArray[np.float32]:
    """Features float32 (windows, features) of windows in g (windows, 3, ticks), a batch a worker at a time."""
    network = network.to(device()).eval()
    dtype = next(network.parameters()).dtype

    @torch.inference_mode()
    def features(start: int) -> NDArray[np.float32]:
        x_BCT = torch.from_numpy(x_NCT[start : start + BATCH]).to(device(), dtype)
        features_BF: NDArray[np.float32] = network(x_BCT).flatten(1).float().cpu().numpy()
        return features_BF

    return np.concatenate(list(pool.map(features, range(0, len(x_NCT), BATCH))))


@torch.inference_mode()
def estimate_statistics(network: Encoder, x_NCT: NDArray[np.float32], seed: int) -> None:
    """Set the network's BatchNorm statistics to those of windows in g (at most 2,048 of them, drawn by `seed`).

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
