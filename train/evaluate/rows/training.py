"""Train a network by the recipe of ssl-wearables, which its published tables of fine-tuning use.

Cross entropy weighted by inverse class frequency, Adam with amsgrad at 1e-4, batches of 100, early stopping on people
held out with a patience of 5 epochs, and the weights of the best epoch (Yuan et al. 2024,
doi:10.1038/s41746-024-01062-3, and its public configuration). Each training window is shown with its axes permuted and
rotated at random. All randomness depends only on the seed, the epoch and the window, so a result does not depend on
the number of workers.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from train.evaluate.rows.calibrate import class_weights, fit_temperature
from train.evaluate.rows.features import BATCH, device
from train.evaluate.rows.row import Learned, Lesson
from train.random import WindowRandom
from train.transforms.axes import permute_axes
from train.transforms.rotation import rotate

RATE = 1e-4
TRAINING_BATCH = 100
PATIENCE = 5
EPOCHS = 200
USUAL_EPOCHS = 40
"""A guess, for the estimate of the time that is left."""
HEAD_RATE = 1e-3
"""Of a two-layer head on standardised features."""
EPOCHS_ALONE = 20
"""Epochs without anybody to stop on."""

Augment = Callable[[Tensor, WindowRandom], Tensor]


def turned(x_BCT: Tensor, random: WindowRandom) -> Tensor:
    """Return windows with axes permuted, then rotated uniformly on SO(3), each in its own way."""
    return rotate(permute_axes(x_BCT, random), random)


@dataclass(frozen=True)
class TrainedNetwork:
    """A network that maps its inputs to logits."""

    network: nn.Module

    @torch.inference_mode()
    def logits(self, inputs_N: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32 logits (windows, classes)."""
        parts = torch.from_numpy(inputs_N).split(BATCH)
        return np.concatenate([self.network(part.to(device())).float().cpu().numpy() for part in parts])

    def predict(self, inputs_N: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the most likely class of each window, int64 (windows,)."""
        return self.logits(inputs_N).argmax(1)


def train_network(
    start: nn.Module, lesson: Lesson, augment: Augment | None = None, rate: float = RATE, epochs: int = EPOCHS
) -> Learned:
    """Train a copy of `start` on the first input of a lesson; `augment` changes the windows of every batch.

    With people held out, training ends when their weighted cross entropy has not fallen for PATIENCE epochs, and the
    best weights are kept; without, it ends after EPOCHS_ALONE epochs.
    """
    network = copy.deepcopy(start).to(device())
    x_N, y_N = torch.from_numpy(lesson.inputs_VN[0]), torch.from_numpy(lesson.y_N)
    train, held_out = np.flatnonzero(~lesson.held_out_N), np.flatnonzero(lesson.held_out_N)
    weight_K = class_weights(lesson.y_N[train], lesson.classes).to(device())
    optimizer = torch.optim.Adam(network.parameters(), lr=rate, amsgrad=True)
    alone = not len(held_out)
    expected = EPOCHS_ALONE if alone else USUAL_EPOCHS
    best, best_epoch, best_state = float("inf"), 0, network.state_dict()
    epoch = 0
    for epoch in range(1, min(epochs, EPOCHS_ALONE if alone else epochs) + 1):
        network.train()
        for batch in shuffled_batches(train, lesson.seed, epoch):
            lesson.report(min(epoch / min(expected, epochs), 1), f"epoch {epoch}")
            x_B = x_N[batch].to(device())
            if augment is not None:
                x_B = augment(x_B, window_random(batch, lesson.seed, epoch))
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(network(x_B), y_N[batch].to(device()), weight_K).backward()
            optimizer.step()
        network.eval()
        loss = 0.0 if alone else weighted_loss(network, x_N, y_N, held_out, weight_K)
        if loss < best or alone:
            best, best_epoch = loss, epoch
            best_state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        elif epoch - best_epoch >= PATIENCE:
            break
    network.load_state_dict(best_state)
    head, facts = TrainedNetwork(network.eval()), {"epochs": epoch, "best_epoch": best_epoch}
    if alone:
        return Learned(head, facts=facts)
    logits_NK = head.logits(lesson.inputs_VN[0][held_out])
    return Learned(head, facts=facts, temperature=fit_temperature(logits_NK, lesson.y_N[held_out], weight_K))


def shuffled_batches(windows: NDArray[np.int64], seed: int, epoch: int) -> list[NDArray[np.int64]]:
    """Return the windows in random order, in batches of nearly equal size, at most TRAINING_BATCH."""
    order = np.random.default_rng((seed, epoch)).permutation(windows)
    return np.array_split(order, -(-len(order) // TRAINING_BATCH))


def window_random(windows: NDArray[np.int64], seed: int, epoch: int) -> WindowRandom:
    """Return the random numbers of windows in an epoch."""
    number = torch.from_numpy(windows).to(device())
    same = torch.zeros_like(number)
    return WindowRandom.of(seed, same, same + epoch, number, same)


@torch.inference_mode()
def weighted_loss(network: nn.Module, x_N: Tensor, y_N: Tensor, windows: NDArray[np.int64], weight_K: Tensor) -> float:
    """Return the cross entropy of windows, weighted by class."""
    total = weight = 0.0
    for start in range(0, len(windows), BATCH):
        batch = windows[start : start + BATCH]
        y_B = y_N[batch].to(device())
        total += float(F.cross_entropy(network(x_N[batch].to(device())), y_B, weight_K, reduction="sum"))
        weight += float(weight_K[y_B].sum())
    return total / weight
