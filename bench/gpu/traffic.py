"""Operations and memory traffic of a training step, counted on the device `meta`, where nothing is computed.

An operation reads each input once and writes each output once. Training's BatchNorm is the exception: it reads its
input twice, for the statistics and to normalise, and backwards both its input and the gradient twice. Views of a tensor
cost nothing. Caches, which could save traffic, and what kernels read twice for other reasons are left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bench.train.data import COUNTS_PER_G
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
"""Kinds of operations by what their name contains, for the network."""


class Traffic(TorchDispatchMode):
    """Counts operations and bytes by kind while it is active."""

    def __init__(self, kind_of: Callable[[str], str]) -> None:
        super().__init__()
        self.kind_of = kind_of
        self.bytes: Counter[str] = Counter()
        self.operations: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        is_view = any(result.alias_info and not result.alias_info.is_write for result in func._schema.returns)
        if not is_view:
            tensors = [each for each in tree_leaves((args, kwargs, out)) if isinstance(each, Tensor)]
            if "batch_norm" in name:
                tensors += args[:2] if "backward" in name else args[:1]
            self.bytes[self.kind_of(name)] += sum(each.numel() * each.element_size() for each in tensors)
            self.operations[self.kind_of(name)] += 1
        return out


def kind_in_network(name: str) -> str:
    """The kind of an operation of the network."""
    return next((kind for part, kind in KINDS.items() if part in name), "other")


def step_traffic(recipe: Recipe) -> Traffic:
    """Count a step: views in float32, the network forward and backward in bfloat16, the optimizer in float32."""
    batch = recipe.run.batch
    total = Traffic(kind_in_network)
    objective, model = bare_model(recipe, META)
    signal_BDCT = torch.empty(batch, 1, 3, recipe.data.ticks, dtype=torch.int16, device=META)
    place_BP = torch.empty(batch, ANCHOR, dtype=torch.int64, device=META)
    with Traffic(lambda name: "views") as part:
        windows = Windows(signal_BDCT, place_BP, torch.empty(batch, 0, device=META))
        views, targets = objective.views(*windows_in_g(windows, recipe.seed, COUNTS_PER_G, META))
    _add(total, part)
    with Traffic(kind_in_network) as part:
        objective.loss(model.to(torch.bfloat16)(views), targets)[0].backward()
    _add(total, part)
    trained = bare_model(recipe, META)[1]
    optimizer = make_optimizer(recipe.optimizer, trained)
    for weight in trained.parameters():
        weight.grad = torch.empty_like(weight) if weight.requires_grad else None
    optimizer.step()  # makes the state
    weights = sum(weight.numel() for weight in trained.parameters() if weight.requires_grad)
    states = sum(value.numel() for state in optimizer.state.values() for value in state.values() if value.dim())
    total.bytes["optimizer"] = 4 * (3 * weights + 2 * states)  # reads gradient, weight and state; writes the latter two
    return total


def _add(total: Traffic, part: Traffic) -> None:
    total.bytes += part.bytes
    total.operations += part.operations
