"""Multi-task pretext: predict for each window which of several transforms were applied to it.

After Yuan et al. 2024 (doi:10.1038/s41746-024-01062-3) and Saeed et al. 2019 (doi:10.1145/3328932): each task is a
transform applied with probability 1/2, and a two-way head. Axis permutation, rotation and jitter follow without a
label, so that neither a device's orientation nor its noise reveals a transform.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pipeline.grid import AXES
from train.objectives.objective import Figures, Objective
from train.random import Purpose, WindowRandom
from train.transforms import Transform
from train.transforms.axes import permute_axes
from train.transforms.jitter import jitter
from train.transforms.parts import in_parts
from train.transforms.permutation import SEGMENTS, permute
from train.transforms.reversal import reverse
from train.transforms.rotation import rotate
from train.transforms.scaling import scale
from train.transforms.warp import KNOTS, warp


class PretextTask(NamedTuple):
    """A transform to recognise: its name in settings and figures, its head, the purpose and number of its draws."""

    name: str
    head: str
    purpose: Purpose
    transform: Transform
    draws: int


TASKS = (
    PretextTask("reversal", "aot_h", Purpose.REVERSAL, reverse, 0),
    PretextTask("scaling", "scale_h", Purpose.SCALING, scale, AXES),
    PretextTask("permutation", "permute_h", Purpose.PERMUTATION, permute, SEGMENTS),
    PretextTask("warp", "time_w_h", Purpose.WARP, warp, AXES * KNOTS),
)


@dataclass(frozen=True)
class MultitaskSettings:
    """The weight of each task in the loss (0 switches the task off), and the transforms without a label."""

    reversal: float = 1.0
    scaling: float = 0.0
    permutation: float = 1.0
    warp: float = 1.0
    axis_permutation: bool = True
    rotation: bool = True
    jitter_g: float = 0.0

    def __post_init__(self) -> None:
        weights = {task.name: self.weight(task) for task in TASKS}
        if not (all(0 <= weight < float("inf") for weight in weights.values()) and any(weights.values())):
            found = ", ".join(f"{name} = {weight}" for name, weight in weights.items())
            raise ValueError(f"expected task weights of 0 or more, at least one above 0; found {found}.")
        if not 0 <= self.jitter_g < float("inf"):
            raise ValueError(f"jitter_g: expected a standard deviation in g, 0 or more; found {self.jitter_g}.")

    def weight(self, task: PretextTask) -> float:
        """Return the weight of a task in the loss."""
        weight: float = getattr(self, task.name)
        return weight


class Head(nn.Module):
    """Two logits (not transformed, transformed) from the features.

    Weights start small, with torch's default (uniform over fan-in), so that training starts at chance. The published
    initialisation starts at a loss of 4 and takes a thousand steps to recover
    (docs/decisions/0007-heads-start-small.md).
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(features, 2)

    def forward(self, features_BF: Tensor) -> Tensor:
        logits: Tensor = self.linear1(features_BF)
        return logits


class Multitask(Objective):
    """The multi-task objective. Targets are int64 (batch, active tasks), 1 if the task's transform was applied."""

    def __init__(self, settings: MultitaskSettings) -> None:
        self.settings = settings
        self.tasks = tuple(task for task in TASKS if settings.weight(task) > 0)

    def heads(self, features: int) -> dict[str, nn.Module]:
        """Return all four heads, as in the published models; those of tasks that are off have requires_grad off."""
        return {task.head: Head(features).requires_grad_(task in self.tasks) for task in TASKS}

    def views(self, x: Tensor, random: WindowRandom) -> tuple[Tensor, Tensor]:
        """Return one view of each window, (batch, 3, ticks) in g, and the targets."""
        return in_parts(self._views, x, random)

    def _views(self, x_BCT: Tensor, random: WindowRandom) -> tuple[Tensor, Tensor]:
        purposes = [task.purpose for task in self.tasks]
        counts = {task.purpose: task.draws for task in self.tasks if task.draws}
        counts |= {Purpose.AXES: 1} if self.settings.axis_permutation else {}
        counts |= {Purpose.ROTATION: 3} if self.settings.rotation else {}
        counts |= {Purpose.JITTER: x_BCT[0].numel()} if self.settings.jitter_g > 0 else {}
        random = random.together(counts, purposes)
        labels = random.coins(purposes)
        for task, applied in zip(self.tasks, labels.unbind(1), strict=True):
            x_BCT = task.transform(x_BCT, random, applied)
        if self.settings.axis_permutation:
            x_BCT = permute_axes(x_BCT, random)
        if self.settings.rotation:
            x_BCT = rotate(x_BCT, random)
        if self.settings.jitter_g > 0:
            x_BCT = jitter(x_BCT, random, self.settings.jitter_g)
        return x_BCT, labels.long()

    def loss(self, outputs: dict[str, Tensor], targets: Tensor) -> tuple[Tensor, Figures]:
        """Return the weighted mean of the active tasks' cross entropies, in float32 or wider, and its figures."""
        count = torch.full((), len(targets), dtype=torch.float64, device=targets.device)
        losses, figures = [], {}
        for task, target in zip(self.tasks, targets.unbind(1), strict=True):
            logits = outputs[task.head]
            logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
            losses.append(nn.functional.cross_entropy(logits, target))
            figures[f"{task.name}/loss_sum"] = losses[-1].detach().double() * count
            figures[f"{task.name}/correct"] = (logits.argmax(1) == target).sum().double()
            figures[f"{task.name}/count"] = count
        weights = [self.settings.weight(task) for task in self.tasks]
        loss = torch.stack([weight * each for weight, each in zip(weights, losses, strict=True)]).sum() / sum(weights)
        figures |= {"loss_sum": loss.detach().double() * count, "count": count}
        return loss, figures
