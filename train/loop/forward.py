"""A step up to its loss, from windows in counts, as one module: `run.compile` makes one graph of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from train.autocast import autocast
from train.distributed.engine import Forward
from train.loop.validate import CONTROLS, changed, windows_in_g
from train.networks.model import Model
from train.objectives import Objective
from train.objectives.objective import Figures
from train.recipe import Recipe
from train.windows.pool import Windows

Step = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Figures]]


class StepForward(nn.Module):
    """Maps the tensors of `Windows` to their mean loss and the objective's figures: keys, views, network and loss."""

    def __init__(self, recipe: Recipe, model: Model, objective: Objective, counts_per_g: float) -> None:
        super().__init__()
        self.recipe, self.model, self.objective, self.counts_per_g = recipe, model, objective, counts_per_g
        self._graph: Step | None = None
        self._has_constants = False

    def compile(self, **options: Any) -> None:
        """Compile everything; validation goes through the model itself, whose batches differ in size."""
        self._graph = torch.compile(self._step, **options)

    def forward(self, signal_BDCT: Tensor, place_BP: Tensor, vector_BF: Tensor) -> tuple[Tensor, Figures]:
        """Return the mean loss, and its figures."""
        tensors = signal_BDCT, place_BP, vector_BF
        if self._graph is None:
            return self._step(*tensors)
        if not self._has_constants:
            self.views(Windows(*(each[:2] for each in tensors)))  # a graph should not make them (`train.constant`)
            self._has_constants = True
        return self._graph(*tensors)

    def views(self, windows: Windows) -> tuple[Tensor, Tensor]:
        """Return the views of windows, float32 in g, and the targets."""
        recipe = self.recipe
        x, random = windows_in_g(windows, recipe.seed, self.counts_per_g, windows.signal_BDCT.device)
        if recipe.data.control != "none":
            x = changed(CONTROLS[recipe.data.control], x, random)
        views, targets = self.objective.views(x, random)
        return views, self.objective.with_vectors(targets, windows.vector_BF)

    def _step(self, signal_BDCT: Tensor, place_BP: Tensor, vector_BF: Tensor) -> tuple[Tensor, Figures]:
        device = signal_BDCT.device
        with autocast(device, bfloat16=False):
            views, targets = self.views(Windows(signal_BDCT, place_BP, vector_BF))
        with autocast(device, bfloat16=self.recipe.run.precision == "bfloat16"):
            return self.objective.loss(self.model(views), targets)


def make_forward(
    recipe: Recipe,
    model: Model,
    objective: Objective,
    counts_per_g: float,
    processes: int = 1,
    windows: Windows | None = None,
) -> Forward:
    """Return what an engine runs in a step. `windows` are like those of the run; needed by several processes."""
    module = StepForward(recipe, model, objective, counts_per_g)
    device = next(model.parameters()).device
    example = windows.zeros_like(2).to(device).tensors if windows is not None else None
    exchanges = processes > 1 and (objective.whole_batch or recipe.network.sync_batch_norm)
    return Forward(module, example, one_graph=not exchanges)
