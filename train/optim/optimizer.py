"""The optimizer of a run."""

from __future__ import annotations

import torch

from train.optim.settings import OptimizerSettings


def make_optimizer(settings: OptimizerSettings, model: torch.nn.Module, graphs: bool = False) -> torch.optim.Optimizer:
    """Make the optimizer of all parameters that need a gradient; `fused` updates them in one kernel.

    With `graphs`, its rate is a tensor on their device, so that an update depends on no number of the host. The device
    `meta`, where shapes are tried out without numbers, has no fused kernel.
    """
    active = [parameter for parameter in model.parameters() if parameter.requires_grad]
    fused = not any(parameter.is_meta for parameter in active)
    kind = torch.optim.Adam if settings.name == "adam" else torch.optim.AdamW
    rate = torch.tensor(settings.rate_per_512, device=active[0].device) if graphs else settings.rate_per_512
    return kind(
        active,
        lr=rate,
        amsgrad=settings.amsgrad,
        weight_decay=settings.weight_decay,
        fused=fused,
        capturable=graphs and active[0].is_cuda,
    )
