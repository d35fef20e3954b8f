"""Engines: what carries a step out over all processes. `engine.py` is the seam; a file an engine."""

from __future__ import annotations

import torch
from torch import nn

from train.distributed.engine import Engine, LossOf
from train.distributed.processes import Processes
from train.recipe import Recipe

__all__ = ["Engine", "LossOf", "make_engine"]


def make_engine(
    recipe: Recipe, model: nn.Module, optimizer: torch.optim.Optimizer, processes: Processes, share: int
) -> Engine:
    """The engine that the recipe names, over a model with the weights to begin with; `share`: a process's windows.

    Raises UserError for settings that the engine cannot follow.
    """
    if recipe.engine.name == "deepspeed":
        from train.distributed.deepspeed import DeepSpeed

        return DeepSpeed(recipe, model, optimizer, processes, share)
    from train.distributed.ddp import Ddp

    return Ddp(recipe, model, optimizer, processes)
