"""The interface of an engine, which turns the gradients of several pieces and processes into one update.

The trainer knows windows, objective and learning rate; an engine knows how to reduce gradients, and where the
optimizer's state is. Under every engine, each process has all weights and buffers. The optimizer's state is exchanged
by parameter name, so that every engine and world size can load every checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from torch import Tensor, nn

from train.checkpoint.format import OptimizerState
from train.windows.pool import Windows

Network = Callable[[Tensor], dict[str, Tensor]]
LossOf = Callable[[Network, Windows], Tensor]
"""Computes the mean loss of some windows; the trainer passes it to the engine."""


class Engine(Protocol):
    """One way to train a model on all processes."""

    def step(self, pieces: Sequence[Windows], loss_of: LossOf, rate: float) -> Tensor:
        """Update the weights once, by the clipped mean gradient over pieces (of equal size) and processes.

        Returns the norm of that gradient before clipping, as a scalar that has not been waited for.
        """
        ...

    def optimizer_state(self) -> OptimizerState:
        """Return the optimizer's state by parameter name, on the host of the first process. All have to call this."""
        ...

    def load_optimizer(self, state: OptimizerState) -> None:
        """Load a state that an engine of any kind and world size returned."""
        ...


def norm_and_clip(parameters: Sequence[Tensor], max_norm: float | None) -> Tensor:
    """Return the norm of all gradients, and scale them down to `max_norm` if they are longer."""
    norm = nn.utils.get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
    if max_norm is not None:
        nn.utils.clip_grads_with_norm_(parameters, max_norm, norm)
    return norm


def set_rate(groups: Sequence[dict[str, object]], rate: float) -> None:
    """Set the learning rate of all parameter groups of an optimizer."""
    for group in groups:
        group["lr"] = rate
