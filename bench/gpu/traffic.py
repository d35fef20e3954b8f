"""Operations and memory traffic of a training step, counted on the device `meta`, where nothing is computed.

An operation reads each input once and writes each output once (`bench.train.operations`). Training's BatchNorm is the
exception: it reads its input twice, for the statistics and to normalise, and backwards both its input and the gradient
twice. Caches, which could save traffic, and what kernels read twice for other reasons are left out.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import torch

from bench.train.data import COUNTS_PER_G
from bench.train.operations import Counted
from bench.train.ours import bare_model
from train.loop.validate import windows_in_g
from train.optim.optimizer import make_optimizer
from train.recipe import Recipe
from train.windows.pool import ANCHOR, Windows

META = torch.device("meta")
KINDS = {
    "convolution": "convolutions and blur",
    "batch_norm": "BatchNorm",
    "relu": "ReLU",
    "threshold": "ReLU",
    "cat": "circular pad",
    "clone": "circular pad",
    "add": "additions",
}
"""Kinds of the network's operations by what their name contains."""
PASSES = {"native_batch_norm": 3 / 2, "native_batch_norm_backward": 5 / 3}
"""Passes over memory, to those of one read of each input and one write of each output."""


@dataclass
class Traffic:
    """Operations and bytes by kind."""

    operations: Counter[str]
    bytes: Counter[str]


def kinds_of(counted: Counted) -> Traffic:
    """What was counted in the network, by kind."""
    total = Traffic(Counter(), Counter())
    for name, count in counted.operations.items():
        kind = next((kind for part, kind in KINDS.items() if part in name), "other")
        total.operations[kind] += count
        total.bytes[kind] += round(PASSES.get(name, 1) * counted.moved[name])
    return total


def step_traffic(recipe: Recipe) -> Traffic:
    """Count a step: views in float32, the network forward and backward in bfloat16, the optimizer in float32."""
    batch = recipe.run.batch
    objective, model = bare_model(recipe, META)
    signal_BDCT = torch.empty(batch, 1, 3, recipe.data.ticks, dtype=torch.int16, device=META)
    windows = Windows(signal_BDCT, torch.empty(batch, ANCHOR, dtype=torch.int64, device=META), torch.empty(batch, 0))
    with Counted() as of_views:
        views, targets = objective.views(*windows_in_g(windows, recipe.seed, COUNTS_PER_G, META))
    with Counted() as of_network:
        objective.loss(model.to(torch.bfloat16)(views), targets)[0].backward()
    total = kinds_of(of_network)
    total.operations["views"], total.bytes["views"] = of_views.total, of_views.moved.total()
    total.bytes["optimizer"] = optimizer_bytes(recipe)
    return total


def optimizer_bytes(recipe: Recipe) -> int:
    """Bytes of an update in one kernel: it reads gradient, weight and state, and writes the latter two."""
    model = bare_model(recipe, META)[1]
    optimizer = make_optimizer(recipe.optimizer, model)
    for weight in model.parameters():
        weight.grad = torch.empty_like(weight) if weight.requires_grad else None
    optimizer.step()  # makes the state
    weights = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    states = sum(value.numel() for state in optimizer.state.values() for value in state.values() if value.dim())
    return 4 * (3 * weights + 2 * states)
