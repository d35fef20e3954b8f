"""The interface between an objective and the trainer.

The trainer adds the objective's heads to the network, feeds the network the objective's views of a batch, and minimises
the objective's loss. The objective decides on heads, targets, and the number of views of a window.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

from train.random import WindowRandom
from train.windows.companions.kind import Companions

Figures = dict[str, Tensor]
"""Float64 scalars without gradient: sums that can be added over batches and processes.

`loss_sum` and `count` (windows) are required. A task with an accuracy has `TASK/correct` and `TASK/count`, and
optionally `TASK/loss_sum`, `TASK/guessing_sum` (the summed probability that a random guess is right) and
`TASK/baseline_sum` (the summed loss of a prediction that learns nothing).
`train.tracking.log.summarise` reads them.
"""


class Objective(Protocol):
    """One or more pretext tasks."""

    whole_batch: bool = False
    """Whether the loss compares windows of a batch with each other, so that the batch cannot be split into pieces."""
    encoders: tuple[str, ...] = ()
    """Names of encoders with weights of their own, if there are several: view i is encoded by number i % n of n. The
    heads have to take rows in the same way (`train.networks.several`)."""
    companions: Companions | None = None
    """The windows that every drawn window has to bring, if any (`train.windows.companions`)."""

    def heads(self, features: int) -> dict[str, nn.Module]:
        """Return new heads by name, each for (batch, features); heads outside the loss have requires_grad off."""
        ...

    def views(self, x: Tensor, random: WindowRandom) -> tuple[Tensor, Tensor]:
        """Return the network's input for windows in g (batch, 3, ticks), and the targets for `loss`.

        With `companions`, windows are (batch, device, 3, ticks): each drawn window and then its companions. `random`
        is that of the drawn windows. The input may have several views of each window (a multiple of the batch; a
        window's views follow each other).
        Both are on the windows' device and depend on the windows and `random` only.
        """
        ...

    def with_vectors(self, targets: Tensor, vector_BF: Tensor) -> Tensor:
        """Return the targets with the vectors that drawn windows bring, if any (`Windows.vector_BF`)."""
        return targets

    def loss(self, outputs: dict[str, Tensor], targets: Tensor) -> tuple[Tensor, Figures]:
        """Return the loss of the heads' outputs in a training step, and its figures.

        All processes call it at the same time with the same number of windows, so it may use
        `train.distributed.collectives`.
        """
        ...

    def score(self, outputs: dict[str, Tensor], targets: Tensor) -> Figures:
        """Return the figures of validation windows: complete days, a few at a time.

        Each process calls it by itself. A figure must not depend on which days are in the same call.
        """
        return self.loss(outputs, targets)[1]
