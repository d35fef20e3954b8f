"""A batch of simulated days, on the host and on the device."""

from __future__ import annotations

import torch

from bench.train.data import made_stream
from train.recipe import Recipe
from train.windows.feed import Batch
from train.windows.pool import Windows


def drawn(recipe: Recipe) -> Windows:
    """The first batch of a recipe's stream, on the host."""
    with made_stream(recipe.data, recipe.run.batch, 2) as stream:
        return next(stream)


def batch_on(device: torch.device, recipe: Recipe) -> Batch:
    """The same as a step takes it."""
    windows = drawn(recipe)
    return Batch(windows.to(device), windows.place_BP)
