"""The interface of an engine, which turns the gradients of several pieces and processes into one update.

The trainer knows windows, objective and learning rate; an engine knows how to reduce gradients, and where the
optimizer's state is. Under every engine, each process has all weights and buffers. The optimizer's state is exchanged
by parameter name, so that every engine and world size can load every checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from torch import Tensor, nn

from train.checkpoint.format import OptimizerState
from train.distributed.settings import StepSettings
from train.windows.pool import Windows

Network = Callable[..., Any]
LossOf = Callable[[Network, Windows], Tensor]
"""Computes the mean loss of some windows, by the engine's network; the trainer passes it to the engine."""


class Forward(NamedTuple):
    """What an engine runs in a step, and differentiates."""

    module: nn.Module
    """Contains the model."""
    example: tuple[Tensor, ...] | None = None
    """Inputs of two windows, with which the module returns a loss first."""
    one_graph: bool = True
    """Whether torch.compile can make a single graph of the module: it exchanges nothing with other processes."""


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


def set_rate(groups: Sequence[dict[str, Any]], rate: float) -> None:
    """Set the learning rate of all parameter groups of an optimizer, in place where it is a tensor."""
    for group in groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def compile_options(settings: StepSettings, forward: Forward) -> dict[str, Any]:
    """Return the options of torch.compile: graphs for one size of batch, recorded as CUDA graphs if the recipe asks."""
    mode = {"mode": "reduce-overhead"} if settings.graphs else {}
    return {"dynamic": False, "fullgraph": forward.one_graph, **mode}
