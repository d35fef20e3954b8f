"""The seam between an objective and the trainer.

The trainer builds the objective's heads on its network, shows the network the objective's views of a batch, and
minimises the objective's loss. How many views a window has, what a target is and which heads stand on the features
is the objective's own affair.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

from train.random import WindowRandom

Figures = dict[str, Tensor]
"""Float64 scalars without gradient, sums that may be added over batches and processes.

`loss_sum` and `count` (windows) always; for each task with an accuracy `TASK/correct` and `TASK/count`, and where they
say something `TASK/loss_sum` and `TASK/guessing_sum` (the chance that a guess is right).
`train.tracking.log.told` reads them.
"""


class Objective(Protocol):
    """A pretext task, or several."""

    whole_batch: bool = False
    """Whether the loss compares windows of a batch with each other: then it cannot be taken in pieces."""

    def heads(self, features: int) -> dict[str, nn.Module]:
        """New heads by name, each from (batch, features); those without a part in the loss need no gradient."""
        ...

    def views(self, x_BCT: Tensor, random: WindowRandom) -> tuple[Tensor, Tensor]:
        """What the network sees of windows in g (batch, 3, ticks), and the targets that `loss` compares with.

        The first may have several views a window (a multiple of the batch, a window's views one after the other);
        both lie on the windows' device and depend only on the windows and `random`.
        """
        ...

    def loss(self, outputs: dict[str, Tensor], targets: Tensor) -> tuple[Tensor, Figures]:
        """The loss of the heads' outputs in a training step, and its figures.

        All processes come here together, each with as many windows, so it may use `train.distributed.collectives`.
        """
        ...

    def score(self, outputs: dict[str, Tensor], targets: Tensor) -> Figures:
        """The figures of windows to validate on: whole days, a few of them at a time.

        Each process comes here by itself. A figure must not depend on which days are shown together.
        """
        return self.loss(outputs, targets)[1]
