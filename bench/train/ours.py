"""Our training step (`train.loop.step.take_step`) over days in memory, without a store."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from train.distributed.engines import make_engine
from train.distributed.processes import Processes
from train.loop.precision import set_numerics
from train.loop.step import take_step
from train.networks import NETWORKS, make_network
from train.networks.model import Model
from train.objectives import make_objective
from train.optim.optimizer import make_optimizer
from train.recipe import Recipe, load_recipe
from train.windows.feed import Feed

from .data import COUNTS_PER_G, made_stream


def recipe_of(cell: Any) -> Recipe:
    """The published recipe with a cell's network, batch and precision."""
    sets = [f"network.preset={cell.network}", f"network.width={cell.width}", f"objective.name={cell.objective}"]
    sets += [f"data.seconds={NETWORKS[cell.network].ticks // 30}", "data.lanes=16", f"run.batch={cell.batch}"]
    sets += [f"run.precision={cell.precision}", f"run.compile={str(cell.compiled).lower()}"]
    return load_recipe("harnet10", [*sets, f"engine.name={cell.engine}"])


def flop(model: Model, device: torch.device) -> float:
    """Floating-point operations of a window, forward and backward: products and convolutions, as torch counts."""
    batch, ticks = 8, model.feature_extractor.ticks
    with FlopCounterMode(display=False) as counted:
        outputs = model(torch.randn(batch, 3, ticks, device=device))
        torch.stack([out.sum() for out in outputs.values() if out.requires_grad]).sum().backward()
    model.zero_grad(set_to_none=True)
    return counted.get_total_flops() / batch


class Ours:
    """The parts of a run that a step needs, made without a store."""

    def __init__(self, cell: Any) -> None:
        recipe, processes = recipe_of(cell), Processes(cell.threads)
        torch.manual_seed(0)
        set_numerics(recipe.run, processes.device)
        objective, network = make_objective(recipe.objective), make_network(recipe.network)
        self.model = Model(network, objective.heads(network.features)).to(processes.device)
        self.flop = flop(self.model, processes.device)  # before it is compiled: torch would then never compile it
        optimizer = make_optimizer(recipe.optimizer, self.model)
        self.run = SimpleNamespace(
            recipe=recipe,
            processes=processes,
            objective=objective,
            model=self.model,
            average=None,
            step=0,
            seen=0,
            counts_per_g=COUNTS_PER_G,
            feed=Feed(made_stream(recipe.data, cell.batch, cell.workers), processes.device),
            engine=make_engine(recipe.engine, recipe.step_settings(cell.batch), self.model, optimizer, processes),
        )

    def steps(self) -> Iterator[int]:
        """Train endlessly, one step for each item; yields the number of windows of the step."""
        while True:
            yield len(take_step(self.run).place_BP)  # type: ignore[arg-type]
