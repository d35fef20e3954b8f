"""Objectives: what a network is asked to learn from windows without labels.

The trainer knows only this seam: it builds the objective's heads on its network, shows the network the objective's
views of a batch, and minimises the objective's loss. How many views a window has, what a target is and which heads
stand on the features is the objective's own affair.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from torch import Tensor, nn

from train.objectives.multitask import Multitask, MultitaskSettings
from train.random import WindowRandom


class Objective(Protocol):
    """A pretext task, or several."""

    def heads(self, features: int) -> dict[str, nn.Module]:
        """New heads by name, each from (batch, features); those without a part in the loss need no gradient."""
        ...

    def views(self, x_BCT: Tensor, random: WindowRandom) -> tuple[Tensor, Tensor]:
        """What the network sees of windows in g (batch, 3, ticks), and the targets that `loss` compares with.

        The first may have several views a window (a multiple of the batch); both lie on the windows' device and
        depend only on the windows and `random`.
        """
        ...

    def loss(self, outputs: dict[str, Tensor], targets: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of the heads' outputs, and figures.

        Figures are float64 scalars without gradient, sums that may be added over batches and ranks: `loss_sum` and
        `count` of all, and for each task with an accuracy `TASK/loss_sum`, `TASK/correct` and `TASK/count`.
        """
        ...


@dataclass(frozen=True)
class ObjectiveSettings:
    """Which objective, and the settings of each."""

    name: Literal["multitask"] = "multitask"
    multitask: MultitaskSettings = field(default_factory=MultitaskSettings)


_OBJECTIVES: dict[str, Callable[[ObjectiveSettings], Objective]] = {
    "multitask": lambda settings: Multitask(settings.multitask),
}


def make_objective(settings: ObjectiveSettings) -> Objective:
    """The objective that the settings name."""
    return _OBJECTIVES[settings.name](settings)
