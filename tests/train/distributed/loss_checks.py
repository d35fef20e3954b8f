"""The losses of objectives over several processes, compared with one process that has the whole batch.

A new objective is one more line in OBJECTIVES. `collective_checks.py` computes `whole` before its processes know each
other, and `check` afterwards.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from tests.train.plain import movement, randoms
from train.objectives import Objective
from train.objectives.cmc import Cmc, CmcSettings
from train.objectives.collossl import Collo, ColloSettings
from train.objectives.masked import Masked, MaskedSettings
from train.objectives.simclr import Simclr, SimclrSettings

WINDOWS, FEATURES = 8, 16
"""Windows of each process, and features of each view."""

OBJECTIVES: dict[str, Objective] = {
    "simclr": Simclr(SimclrSettings()),
    "simclr, hard negatives": Simclr(SimclrSettings(hardness=1.0, prior=0.1)),
    "simclr, sigmoid": Simclr(SimclrSettings(loss="sigmoid")),
    "person contrast": Simclr(SimclrSettings(positive="other_day")),
    "masked": Masked(MaskedSettings()),
    "masked, another sensor": Masked(MaskedSettings(source="same_time")),
    "cmc": Cmc(CmcSettings()),
    "cmc, hard negatives": Cmc(CmcSettings(hardness=0.5, prior=0.1)),
    "cmc, sigmoid": Cmc(CmcSettings(loss="sigmoid")),
    "collossl": Collo(ColloSettings()),
    "collossl, infonce": Collo(ColloSettings(loss="infonce", projection=12)),
}


@dataclass(frozen=True)
class Step:
    """A step on the whole batch: what went in, and loss, figures and gradients."""

    objective: Objective
    heads: nn.ModuleDict
    features_VF: Tensor
    targets: Tensor
    loss: Tensor
    figures: dict[str, Tensor]
    gradients: dict[str, Tensor]
    """Of the heads' parameters, and of the features."""


def taken(objective: Objective, heads: nn.ModuleDict, features_VF: Tensor, targets: Tensor) -> Step:
    """Compute the loss and its gradients, in the processes that know each other."""
    leaf = features_VF.clone().requires_grad_()
    loss, figures = objective.loss({name: head(leaf) for name, head in heads.items()}, targets)
    loss.backward()
    assert leaf.grad is not None
    gradients = {name: each.grad for name, each in heads.named_parameters() if each.grad is not None}
    return Step(objective, heads, features_VF, targets, loss.detach(), figures, {**gradients, "features": leaf.grad})


def whole(name: str, world: int, dtype: torch.dtype) -> Step:
    """Take a step of an objective on the batch of all processes; views of one window have similar features."""
    torch.manual_seed(1)
    objective, count = copy.deepcopy(OBJECTIVES[name]), WINDOWS * world
    x, random = movement(2 * count, 300), randoms(count)
    views, targets = objective.views(x.unflatten(0, (count, 2)) if objective.companions else x[:count], random)
    of_window = torch.randn(count, FEATURES, dtype=dtype).repeat_interleave(len(views) // count, 0)
    heads = nn.ModuleDict(objective.heads(FEATURES)).to(dtype)
    return taken(objective, heads, of_window + torch.randn(len(views), FEATURES, dtype=dtype), targets)


def check(name: str, alone: Step, close: float) -> None:
    """Check that the processes together have the loss, the figures and the gradients of one."""
    world, rank = dist.get_world_size(), dist.get_rank()
    heads = copy.deepcopy(alone.heads)
    heads.zero_grad()
    own = taken(alone.objective, heads, alone.features_VF.chunk(world)[rank], alone.targets.chunk(world)[rank])
    tolerance: dict[str, Any] = {"rtol": 10 * close, "atol": 5 * close, "msg": lambda text: f"{name}: {text}"}
    for parameter, gradient in own.gradients.items():
        if parameter != "features":
            dist.all_reduce(gradient)
            torch.testing.assert_close(gradient / world, alone.gradients[parameter], **tolerance)
    torch.testing.assert_close(
        own.gradients["features"] / world, alone.gradients["features"].chunk(world)[rank], **tolerance
    )
    totals = torch.stack([own.loss.double() / world, *own.figures.values()])
    dist.all_reduce(totals)
    torch.testing.assert_close(totals, torch.stack([alone.loss.double(), *alone.figures.values()]), **tolerance)
