"""Fine-tuning that keeps the orientation of windows, and the same training from random weights.

The published recipe (training.py) shows windows turned in any direction, which hides how the arm points, and stops on
people whose labels it then does not train on. Here windows are turned by little, all training people are trained on,
and the length is fixed: EPOCHS epochs, or LEAST_STEPS steps, over which the rate falls along a cosine (Loshchilov and
Hutter, ICLR 2017). The settings were chosen on people who are in no table of docs/studies.md that makes a claim.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.evaluate.rows.context import Context
from train.evaluate.rows.features import device
from train.evaluate.rows.networks import start_of
from train.evaluate.rows.row import Learned, Learner, Lesson
from train.evaluate.rows.training import TrainedNetwork, shuffled_batches, window_random
from train.random import WindowRandom
from train.transforms.rotation import rotate

EPOCHS, LEAST_STEPS = 16, 300
RATE = 3e-4
TURN = 0.15
"""Share of the angle of a uniform rotation by which training windows are turned: 19 degrees in the mean."""


def tuning(context: Context, draw: int) -> Learner:
    """Return a learner that trains the backbone with a two-layer head, all layers."""
    start = start_of(context, draw, fresh=False)
    return lambda lesson: train_for(start, lesson, epochs_of(lesson, context.epochs))


def tuning_from_scratch(context: Context, draw: int) -> Learner:
    """Return a learner that trains the same network in the same way, from random weights."""
    start = start_of(context, draw, fresh=True)
    return lambda lesson: train_for(start, lesson, epochs_of(lesson, context.epochs))


def epochs_of(lesson: Lesson, most: int) -> int:
    """Return EPOCHS, or more for so few windows that these are less than LEAST_STEPS steps; at most `most`."""
    steps = len(shuffled_batches(np.arange(len(lesson.y_N)), lesson.seed, 1))
    return min(max(EPOCHS, -(-LEAST_STEPS // steps)), most)


def slightly_turned(x_BCT: Tensor, random: WindowRandom) -> Tensor:
    """Return windows, each turned a little about an axis of its own."""
    return rotate(x_BCT, random, TURN)


def train_for(start: nn.Module, lesson: Lesson, epochs: int) -> Learned:
    """Train a copy of `start` on all windows of a lesson, with Adam at RATE, falling to 0 along a cosine."""
    network = copy.deepcopy(start).to(device()).train()
    x_N, y_N = torch.from_numpy(lesson.inputs_VN[0]), torch.from_numpy(lesson.y_N)
    windows = np.arange(len(lesson.y_N))
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    steps = epochs * len(shuffled_batches(windows, lesson.seed, 1))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for epoch in range(1, epochs + 1):
        for batch in shuffled_batches(windows, lesson.seed, epoch):
            lesson.report(epoch / epochs, f"epoch {epoch}")
            x_B = slightly_turned(x_N[batch].to(device()), window_random(batch, lesson.seed, epoch))
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(network(x_B), y_N[batch].to(device())).backward()
            optimizer.step()
            schedule.step()
    return Learned(TrainedNetwork(network.eval()), facts={"epochs": epochs})
