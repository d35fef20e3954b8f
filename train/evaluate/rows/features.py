"""Features of windows from a frozen network, and BatchNorm statistics for an untrained one."""

from __future__ import annotations

from concurrent.futures import Executor

import numpy as np
import torch
from numpy.typing import NDArray
from torch.optim.swa_utils import update_bn

from train.networks import Encoder

BATCH = 256
STATISTICS_WINDOWS = 2_048


def device() -> torch.device:
    """Return the GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@torch.inference_mode()
def features_of(network: Encoder, x_NCT: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return float32 features (windows, features) of windows in g (windows, 3, ticks), in this thread."""
    network = network.to(device()).eval()
    dtype = next(network.parameters()).dtype
    return np.concatenate(
        [
            network(torch.from_numpy(x_NCT[start : start + BATCH]).to(device(), dtype)).flatten(1).float().cpu().numpy()
            for start in range(0, len(x_NCT), BATCH)
        ]
    )


def extract(network: Encoder, x_NCT: NDArray[np.float32], pool: Executor) -> NDArray[np.float32]:
    """Return the same features, computed by the workers of a pool; each takes a batch."""
    batches = [x_NCT[start : start + BATCH] for start in range(0, len(x_NCT), BATCH)]
    return np.concatenate(list(pool.map(lambda batch: features_of(network, batch), batches)))


@torch.inference_mode()
def estimate_statistics(network: Encoder, x_NCT: NDArray[np.float32], seed: int) -> None:
    """Set the network's BatchNorm statistics to those of windows in g (at most 2,048 of them, drawn by `seed`).

    Each statistic becomes the mean over shuffled batches, with every layer in training mode.
    """
    drawn = np.random.default_rng(seed).permutation(len(x_NCT))[:STATISTICS_WINDOWS]
    batches = np.array_split(drawn, max(1, len(drawn) // BATCH))
    update_bn((torch.from_numpy(x_NCT[batch]) for batch in batches), network.to(device()), device())
    network.eval()
