"""SimCLR and the multi-task pretext together: one network, the sum of both losses.

Each window has three views: two for SimCLR and one for the multi-task pretext, all through the same network. The two
objectives keep their own settings, heads and figures. Contrast learns what stays the same in another view of a window;
the tasks learn the order and the pace of a movement, which such views may hide.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from train.objectives.contrast import same_day
from train.objectives.multitask import Multitask, MultitaskSettings
from train.objectives.objective import Figures, Objective
from train.objectives.simclr import Simclr, SimclrSettings
from train.random import WindowRandom

VIEWS = 3


@dataclass(frozen=True)
class JointSettings:
    """The weight of the multi-task loss; SimCLR's is 1."""

    multitask: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.multitask < float("inf"):
            raise ValueError(f"multitask: expected a weight above 0, found {self.multitask}")


class Joint(Objective):
    """Both objectives. Views 3 i and 3 i + 1 are SimCLR's of window i, view 3 i + 2 is the multi-task pretext's.

    Targets are int64 (batch, 1 + active tasks): the slot of the window's day, then the labels of the tasks.
    """

    whole_batch = True

    def __init__(self, settings: JointSettings, simclr: SimclrSettings, multitask: MultitaskSettings) -> None:
        self.settings, self.simclr, self.multitask = settings, Simclr(simclr), Multitask(multitask)
        self.companions = self.simclr.companions

    def heads(self, features: int) -> dict[str, nn.Module]:
        """Return the heads of both."""
        return self.simclr.heads(features) | self.multitask.heads(features)

    def views(self, x: Tensor, random: WindowRandom) -> tuple[Tensor, Tensor]:
        """Return the views of both, (3 batch, 3, ticks) in g, and the targets."""
        pairs, slots = self.simclr.views(x, random)
        changed_BCT, labels_BK = self.multitask.views(x[:, 0] if self.companions else x, random)
        seen = torch.cat((pairs.unflatten(0, (-1, 2)), changed_BCT[:, None]), 1).flatten(0, 1)
        return seen, torch.cat((slots[::2, None], labels_BK), 1)

    def loss(self, outputs: dict[str, Tensor], targets: Tensor) -> tuple[Tensor, Figures]:
        """Return SimCLR's loss plus the weighted multi-task loss, and the figures of both."""
        pairs, changed = split(outputs)
        contrast, contrast_figures = self.simclr.loss(pairs, targets[:, 0].repeat_interleave(2))
        pretext, pretext_figures = self.multitask.loss(changed, targets[:, 1:])
        return contrast + self.settings.multitask * pretext, self._together(contrast_figures, pretext_figures)

    def score(self, outputs: dict[str, Tensor], targets: Tensor) -> Figures:
        """Return the figures of both; a day of one window is left out, as SimCLR does."""
        pairs, changed = split(outputs)
        slot_B = targets[:, 0]
        contrast = self.simclr.score(pairs, slot_B.repeat_interleave(2))
        _, kept_B = same_day(slot_B)
        if not kept_B.any():
            return self._together(
                contrast, {name: 0 * sums for name, sums in self.multitask.score(changed, targets[:, 1:]).items()}
            )
        kept = {name: output[kept_B] for name, output in changed.items()}
        return self._together(contrast, self.multitask.score(kept, targets[kept_B, 1:]))

    def _together(self, contrast: Figures, pretext: Figures) -> Figures:
        loss_sum = contrast["loss_sum"] + self.settings.multitask * pretext["loss_sum"]
        return pretext | contrast | {"loss_sum": loss_sum}


def split(outputs: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the outputs of SimCLR's views and those of the multi-task pretext's."""
    three = {name: output.unflatten(0, (-1, VIEWS)) for name, output in outputs.items()}
    return {name: output[:, :2].flatten(0, 1) for name, output in three.items()}, {
        name: output[:, 2] for name, output in three.items()
    }
