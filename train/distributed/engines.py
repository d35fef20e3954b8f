"""All engines by name. `engine.py` is their interface; each engine has a file."""

from __future__ import annotations

import torch
from torch import nn

from train.distributed.engine import Engine, LossOf
from train.distributed.processes import Processes
from train.distributed.settings import EngineSettings, StepSettings

__all__ = ["Engine", "LossOf", "make_engine"]


def make_engine(
    settings: EngineSettings,
    step: StepSettings,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    processes: Processes,
) -> Engine:
    """Return the engine that the settings name, around a model that has its initial weights.

    Raises UserError for settings that the engine does not support.
    """
    if settings.name == "deepspeed":
        from train.distributed.deepspeed import DeepSpeed

        return DeepSpeed(settings, step, model, optimizer, processes)
    from train.distributed.ddp import Ddp

    return Ddp(step, model, optimizer, processes)
