"""Our step over days in memory: what a run's step does, from the stream to the optimizer (train/)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from train_data import COUNTS_PER_G, made_stream

from train.model import Model
from train.networks import NETWORKS, make_network
from train.objectives import make_objective
from train.recipe import Recipe, load_recipe
from train.validate import windows_in_g
from train.windows.feed import Feed


@dataclass
class Ours:
    """A run's parts: the feed, the network and its steps."""

    recipe: Recipe
    compiled: bool
    device: torch.device
    threads: int

    def __post_init__(self) -> None:
        torch.manual_seed(0)
        self.objective = make_objective(self.recipe.objective)
        network = make_network(self.recipe.network)
        self.model = Model(network, self.objective.heads(network.features)).to(self.device)
        active = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.Adam(active, lr=1e-4 * self.recipe.run.batch / 512, amsgrad=True)
        self.network: nn.Module = torch.compile(self.model) if self.compiled else self.model  # type: ignore[assignment]
        self.stream = made_stream(self.recipe.data, self.recipe.run.batch, self.threads)
        self.feed = Feed(self.stream, self.device)
        self.figures: dict[str, Tensor] = {}

    def steps(self) -> Iterator[int]:
        """Train without end, a step each time that the iterator is asked; gives the windows of the step."""
        while True:
            windows = next(self.feed)
            x_BCT, random = windows_in_g(windows, 0, COUNTS_PER_G, self.device)
            views, targets = self.objective.views(x_BCT, random)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.run.precision == "bfloat16"):
                loss, figures = self.objective.loss(self.network(views), targets)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            self.figures = {name: self.figures.get(name, 0) + value for name, value in figures.items()}
            yield len(windows)


def recipe_of(preset: str, width: float, batch: int, precision: str, objective: str) -> Recipe:
    """A recipe to time; the rest is as the published one has it."""
    seconds = NETWORKS[preset].ticks // 30
    told = [f"network.preset={preset}", f"network.width={width}", f"data.seconds={seconds}", f"run.batch={batch}"]
    told += [f"objective.name={objective}", "data.lanes=16"]
    recipe = load_recipe("harnet10", told)
    return replace(recipe, run=replace(recipe.run, precision="bfloat16" if precision == "bfloat16" else "float32"))
