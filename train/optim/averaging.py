"""A running mean of the weights, in which the noise of single steps cancels out.

After Polyak and Juditsky 1992 (doi:10.1137/0330046), with an exponential memory whose length is counted in windows.
Until that many windows are seen, it is the plain mean of the weights after each step; from then on, an exponential mean
that reaches back about as far. So it needs no state but itself. A checkpoint stores it in the optimizer's state, as the
field `average` of each name.

torch.optim.swa_utils.AveragedModel would need this mean as its own function, and it keeps a second module whose prefix,
step counter and integer buffers would have to be translated for the checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from pipeline.errors import UserError
from train.checkpoint.format import Checkpoint, OptimizerState, to_host
from train.networks.model import is_data

FIELD = "average"


class Average:
    """Mean of a model's weights and floating-point buffers over about `windows` windows, on the model's device."""

    def __init__(self, model: nn.Module, windows: int) -> None:
        self.model, self.windows = model, windows
        self.mean = {name: value.clone() for name, value in self._weights().items()}

    def _weights(self) -> dict[str, Tensor]:
        state = self.model.state_dict()
        return {name: value for name, value in state.items() if value.is_floating_point() and not is_data(name)}

    @torch.no_grad()
    def update(self, seen: int, batch: int) -> None:
        """Include the weights after a step of `batch` windows, with which `seen` windows are seen in all."""
        share = min(1.0, batch / min(seen, self.windows))
        torch._foreach_lerp_(list(self.mean.values()), list(self._weights().values()), share)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Use the mean as the model's weights inside a `with` block."""
        weights = self._weights()
        own = {name: value.clone() for name, value in weights.items()}
        try:
            _copy(self.mean, weights)
            yield
        finally:
            _copy(own, weights)

    def add_to(self, state: OptimizerState) -> OptimizerState:
        """Return an optimizer's state with the mean added, copied to the host."""
        mean = to_host(self.mean)
        return {name: {**state.get(name, {}), **_field(mean.get(name))} for name in {**state, **mean}}

    def load(self, state: OptimizerState) -> None:
        """Load the mean from a checkpoint's optimizer state; raises UserError unless it has one of this model."""
        found = averages(state)
        if found.keys() != self.mean.keys():
            raise UserError(
                f"expected a running mean of {len(self.mean)} weights in the checkpoint, found {len(found)}. Use the "
                "settings that it was made with (optimizer.average_windows), or another folder of checkpoints."
            )
        _copy(found, self.mean)


def without_average(state: OptimizerState) -> OptimizerState:
    """Return an optimizer's state without the mean, as the optimizer can load it."""
    kept = {name: {key: value for key, value in fields.items() if key != FIELD} for name, fields in state.items()}
    return {name: fields for name, fields in kept.items() if fields}


def averages(state: OptimizerState) -> dict[str, Tensor]:
    """Return the mean of each weight in a checkpoint's optimizer state; empty if the run kept none."""
    return {name: fields[FIELD] for name, fields in state.items() if FIELD in fields}


def averaged_model(checkpoint: Checkpoint, where: str) -> dict[str, Tensor]:
    """Return a checkpoint's model with the mean as its weights; raises UserError if the run kept none."""
    found = averages(checkpoint.optimizer)
    if not found:
        raise UserError(
            f"{where}: expected a running mean of the weights, found none: the run did not set "
            "optimizer.average_windows. Leave out --averaged."
        )
    return checkpoint.model | found


def _field(value: Tensor | None) -> dict[str, Tensor]:
    return {} if value is None else {FIELD: value}


@torch.no_grad()
def _copy(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> None:
    for name, value in target.items():
        value.copy_(source[name])
