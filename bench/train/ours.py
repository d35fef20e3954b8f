"""Our training step (`train.loop.step.take_step`) over days in memory, without a store."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from train.distributed.engines import make_engine
from train.distributed.processes import Processes
from train.loop.forward import make_forward
from train.loop.precision import set_numerics, weights_dtype
from train.loop.step import take_step
from train.networks import NETWORKS
from train.networks.batch_norm import running_statistics
from train.networks.model import Model
from train.networks.several import make_encoders
from train.objectives import Objective, make_objective
from train.optim.optimizer import make_optimizer
from train.recipe import Recipe, load_recipe
from train.windows.feed import DeviceBatch, Feed

from .data import COUNTS_PER_G, made_stream


def recipe_of(cell: Any) -> Recipe:
    """The published recipe with a cell's network, batch and precision."""
    sets = [f"network.preset={cell.network}", f"network.width={cell.width}", f"objective.name={cell.objective}"]
    sets += [f"data.seconds={NETWORKS[cell.network].ticks // 30}", "data.lanes=16", f"run.batch={cell.batch}"]
    sets += [f"run.precision={cell.precision}", f"run.compile={str(cell.compiled).lower()}"]
    sets += [f"run.graphs={str(cell.graphs).lower()}", f"engine.name={cell.engine}"]
    return load_recipe("harnet10", sets)


def flop(recipe: Recipe) -> float:
    """Floating-point operations of a window, forward and backward: products and convolutions, as torch counts."""
    batch, model = 8, bare_model(recipe, torch.device("meta"))[1]  # on meta nothing is computed
    with FlopCounterMode(display=False) as counted:
        outputs = model(torch.empty(batch, 3, recipe.data.ticks, device="meta"))
        torch.stack([out.sum() for out in outputs.values() if out.requires_grad]).sum().backward()
    return counted.get_total_flops() / batch


def bare_model(recipe: Recipe, device: torch.device) -> tuple[Objective, Model]:
    """The objective of a recipe, and the network with its heads, with the weights that a run starts with."""
    torch.manual_seed(recipe.seed)
    objective = make_objective(recipe.objective)
    network = make_encoders(recipe.network, objective.encoders, device)
    model = Model(network, objective.heads(network.features)).to(device, weights_dtype(recipe.run))
    return objective, model


def bare_run(recipe: Recipe, processes: Processes, feed: Iterator[DeviceBatch]) -> SimpleNamespace:
    """The parts of a run (`train.loop.run.Run`) that a step needs, made without a store, on the processes' device."""
    set_numerics(recipe.run, processes.device)
    objective, model = bare_model(recipe, processes.device)
    optimizer = make_optimizer(recipe.optimizer, model, recipe.run.graphs)
    forward = make_forward(recipe, model, objective, COUNTS_PER_G)
    step = recipe.step_settings(recipe.run.batch // processes.world_size)
    return SimpleNamespace(
        recipe=recipe,
        processes=processes,
        objective=objective,
        model=model,
        optimizer=optimizer,
        average=None,
        statistics=running_statistics(model),
        step=0,
        seen=0,
        counts_per_g=COUNTS_PER_G,
        feed=feed,
        engine=make_engine(recipe.engine, step, model, optimizer, processes, forward),
    )


class Ours:
    """Steps over days in memory."""

    def __init__(self, cell: Any) -> None:
        recipe, processes = recipe_of(cell), Processes(cell.threads)
        self.feed = Feed(made_stream(recipe.data, cell.batch, cell.workers), processes.device)
        self.run = bare_run(recipe, processes, self.feed)
        self.flop = flop(recipe)

    def steps(self) -> Iterator[int]:
        """Train endlessly, one step for each item; yields the number of windows of the step."""
        while True:
            yield len(take_step(self.run).place_BP)  # type: ignore[arg-type]
