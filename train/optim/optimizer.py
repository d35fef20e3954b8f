"""The optimizer of a run."""

from __future__ import annotations

import torch

from train.optim.settings import OptimizerSettings


def make_optimizer(settings: OptimizerSettings, model: torch.nn.Module) -> torch.optim.Optimizer:
    """Make the optimizer of all parameters that need a gradient; `fused` updates them in one kernel.

    The device `meta`, where shapes are tried out without numbers, has no such kernel.
    """
    active = [parameter for parameter in model.parameters() if parameter.requires_grad]
    fused = not any(parameter.is_meta for parameter in active)
    kind = torch.optim.Adam if settings.name == "adam" else torch.optim.AdamW
    return kind(
        active, lr=settings.rate_per_512, amsgrad=settings.amsgrad, weight_decay=settings.weight_decay, fused=fused
    )
