"""The seam between the trainer and what carries a step out over all processes.

The trainer knows windows, objective and learning rate; an engine knows how gradients of several pieces and processes
become one update, and where the optimizer's state lies. Weights and buffers are the model's own under every engine,
whole on every process; the optimizer's state is given and taken by parameter name, so that a checkpoint of one engine
and world size is one of all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from torch import Tensor, nn

from train.checkpoint.format import OptimizerState
from train.windows.pool import Windows

Network = Callable[[Tensor], dict[str, Tensor]]
LossOf = Callable[[Network, Windows], Tensor]
"""The loss (a mean) of some windows by a network: what an engine asks the trainer for."""


class Engine(Protocol):
    """One way to train a model on all processes together."""

    def step(self, pieces: Sequence[Windows], loss_of: LossOf, rate: float) -> Tensor:
        """One update by the mean gradient over pieces (as large as each other) and processes, clipped, at a rate.

        Gives the norm of that gradient before it was clipped, a scalar that nobody has waited for.
        """
        ...

    def optimizer_state(self) -> OptimizerState:
        """The optimizer's state by parameter name, on the host, at least on the first process; all call it together."""
        ...

    def load_optimizer(self, state: OptimizerState) -> None:
        """Go on with a state that an engine gave, of whatever kind and world size it was."""
        ...


def norm_and_clip(parameters: Sequence[Tensor], most: float | None) -> Tensor:
    """The norm of all gradients together, which are shortened to `most` where they are longer."""
    norm = nn.utils.get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
    if most is not None:
        nn.utils.clip_grads_with_norm_(parameters, most, norm)
    return norm


def set_rate(groups: Sequence[dict[str, object]], rate: float) -> None:
    """The learning rate of an optimizer's groups."""
    for group in groups:
        group["lr"] = rate
