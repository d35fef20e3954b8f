"""A batch of simulated days, on the host and on the device."""

from __future__ import annotations

from dataclasses import replace

import torch

from bench.train.data import made_stream
from pipeline.grid import TICKS_PER_SECOND
from train.objectives import make_objective
from train.objectives.teacher import InTable
from train.recipe import Recipe
from train.windows.feed import DeviceBatch
from train.windows.pool import Windows


def drawn(recipe: Recipe) -> Windows:
    """The first batch of a recipe's stream, on the host."""
    with made_stream(recipe.data, recipe.run.batch, 2) as stream:
        return next(stream)


def grouped(windows: Windows) -> Windows:
    """The windows with another one each, as if it were of another device at the same time."""
    signal_BDCT = torch.cat((windows.signal_BDCT, windows.signal_BDCT.roll(1, 0)), 1)
    tick_B2 = windows.place_BP[:, 2:4].roll(1, 0) * torch.tensor([1, TICKS_PER_SECOND])
    return Windows(signal_BDCT, torch.cat((windows.place_BP, tick_B2), 1), windows.vector_BF)


def batch_on(device: torch.device, recipe: Recipe) -> DeviceBatch:
    """The same as a step takes it, with companions if the objective needs them."""
    windows, companions = drawn(recipe), make_objective(recipe.objective).companions
    if isinstance(companions, InTable):
        windows = replace(windows, vector_BF=torch.randn(len(windows), companions.table.features))
    elif companions:
        windows = grouped(windows)
    return DeviceBatch(windows.to(device), windows.place_BP)
