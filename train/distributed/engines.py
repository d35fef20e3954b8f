"""All engines by name. `engine.py` is their interface; each engine has a file."""

from __future__ import annotations

import torch
from torch import nn

from train.distributed.engine import Engine, Forward, LossOf
from train.distributed.processes import Processes
from train.distributed.settings import EngineSettings, StepSettings

__all__ = ["Engine", "Forward", "LossOf", "make_engine"]


def make_engine(
    settings: EngineSettings,
    step: StepSettings,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    processes: Processes,
    forward: Forward | None = None,
) -> Engine:
    """Return the engine that the settings name, around a model that has its initial weights.

    In a step it runs `forward`, which contains the model; by default the model itself.
    Raises UserError for settings that the engine does not support.
    """
    forward = forward or Forward(model)
    if settings.name == "deepspeed":
        from train.distributed.deepspeed import DeepSpeed

        return DeepSpeed(settings, step, model, optimizer, processes, forward)
    from train.distributed.ddp import Ddp

    return Ddp(step, model, optimizer, processes, forward)
