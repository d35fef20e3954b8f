"""A running mean of the weights, kept beside them: the noise of single steps cancels out in it.

After Polyak and Juditsky 1992 (doi:10.1137/0330046), with an exponential memory. It is counted in windows like
everything else: until that many are seen it is the plain mean of the weights after each step, from then on an
exponential one that reaches back about as far. So it needs no state but itself and follows from where a run stands. In
a checkpoint it lies with the optimizer's state, as the field `average` of each name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from pipeline.errors import UserError
from train.checkpoint.format import Checkpoint, OptimizerState, to_host

FIELD = "average"


class Average:
    """The mean of a model's weights and floating buffers over about `windows` windows, on the model's device."""

    def __init__(self, model: nn.Module, windows: int) -> None:
        self.model, self.windows = model, windows
        self.mean = {name: value.clone() for name, value in self._weights().items()}

    def _weights(self) -> dict[str, Tensor]:
        return {name: value for name, value in self.model.state_dict().items() if value.is_floating_point()}

    @torch.no_grad()
    def update(self, seen: int, batch: int) -> None:
        """Take in the weights after a step of `batch` windows, the last of `seen` in all."""
        share = min(1.0, batch / min(seen, self.windows))
        torch._foreach_lerp_(list(self.mean.values()), list(self._weights().values()), share)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The model with the mean for its weights, as long as the block lasts."""
        weights = self._weights()
        own = {name: value.clone() for name, value in weights.items()}
        try:
            _copy(self.mean, weights)
            yield
        finally:
            _copy(own, weights)

    def into(self, state: OptimizerState) -> OptimizerState:
        """An optimizer's state with the mean beside it, copied to the host."""
        mean = to_host(self.mean)
        return {name: {**state.get(name, {}), **_field(mean.get(name))} for name in {**state, **mean}}

    def take_from(self, state: OptimizerState) -> None:
        """Go on with the mean in a checkpoint's optimizer state; raises UserError where there is none of this model."""
        found = averages(state)
        if found.keys() != self.mean.keys():
            raise UserError(
                f"expected a running mean of {len(self.mean)} weights in the checkpoint, found {len(found)}. Use the "
                "settings that it was made with (optimizer.average_windows), or another folder of checkpoints."
            )
        _copy(found, self.mean)


def without_average(state: OptimizerState) -> OptimizerState:
    """An optimizer's state without the mean: what an optimizer is given."""
    kept = {name: {key: value for key, value in fields.items() if key != FIELD} for name, fields in state.items()}
    return {name: fields for name, fields in kept.items() if fields}


def averages(state: OptimizerState) -> dict[str, Tensor]:
    """The mean of each weight in a checkpoint's optimizer state; empty where none was kept."""
    return {name: fields[FIELD] for name, fields in state.items() if FIELD in fields}


def averaged_model(checkpoint: Checkpoint, where: str) -> dict[str, Tensor]:
    """A checkpoint's model with the mean for its weights; raises UserError where none was kept."""
    found = averages(checkpoint.optimizer)
    if not found:
        raise UserError(
            f"{where}: expected a running mean of the weights, found none: the run was made without "
            "optimizer.average_windows. Leave --averaged out."
        )
    return checkpoint.model | found


def _field(value: Tensor | None) -> dict[str, Tensor]:
    return {} if value is None else {FIELD: value}


@torch.no_grad()
def _copy(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> None:
    for name, value in target.items():
        value.copy_(source[name])
