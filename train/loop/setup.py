"""Preparing a run: its data, its model and engine, and the checkpoint that it resumes from."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from pipeline.errors import UserError
from train.checkpoint import format as ck
from train.checkpoint.state import RunFacts
from train.distributed.engines import make_engine
from train.distributed.processes import Processes
from train.evaluate.dataset import read_labelled
from train.loop.data import open_data, select_days, store_facts
from train.loop.environment import environment
from train.loop.forward import make_forward
from train.loop.messages import setup_message, tables_message
from train.loop.precision import set_numerics, weights_dtype
from train.loop.run import Run
from train.networks.initial import Initial, start_from
from train.networks.model import Model
from train.networks.several import make_encoders
from train.objectives import Objective, make_objective
from train.optim.averaging import Average, without_average
from train.optim.optimizer import make_optimizer
from train.recipe import Recipe

if TYPE_CHECKING:
    from pipeline.store.store import Store


@dataclass(frozen=True)
class Learner:
    """What is trained. Every process starts with the same weights, because they follow from the seed."""

    objective: Objective
    model: Model
    optimizer: torch.optim.Optimizer


def prepare(
    recipe: Recipe,
    store: Store,
    checkpoint: ck.Checkpoint | None,
    processes: Processes,
    initial: Initial | None = None,
) -> Run:
    """Prepare a new run, from `initial` weights or random ones, or one that resumes from a checkpoint.

    All processes have to call this.

    Raises UserError if recipe, store, checkpoint and processes do not match.
    """
    set_numerics(recipe.run, processes.device)
    before, step = (checkpoint.state.facts, checkpoint.step) if checkpoint else (None, 0)
    with processes.all_or_none():
        machines = environment(recipe, processes)
        learner = build_learner(recipe, processes.device)
        selection = select_days(recipe.data, recipe.seed, store, learner.objective.companions, before, processes)
        if checkpoint:
            ck.load_model(learner.model, checkpoint.model)
        elif initial:
            matched = start_from(learner.model, recipe.network, initial)
            if processes.first:
                print(matched, file=sys.stderr)
        data = open_data(recipe, store, selection, step, processes)
        probe_data = recipe.probe.data if processes.first else None
        labelled = read_labelled(probe_data, recipe.data.ticks) if probe_data else None
        for note in labelled.notes if labelled else ():
            print(f"probe: {note}", file=sys.stderr)
    with processes.all_or_none():
        if not sum(processes.all(len(data.validation))):
            raise UserError("no person-day held out for validation can be read. Run `persondays verify` on the store.")
    own_windows = recipe.run.batch // processes.world_size
    counts_per_g = store.attributes.counts_per_g
    forward = make_forward(
        recipe, learner.model, learner.objective, counts_per_g, processes.world_size, data.validation
    )
    step_settings = recipe.step_settings(own_windows)
    engine = make_engine(recipe.engine, step_settings, learner.model, learner.optimizer, processes, forward)
    kept = recipe.optimizer.average_windows
    average = Average(learner.model, kept) if kept else None
    facts = RunFacts(
        store=store_facts(store),
        stream=selection.stream,
        participants=len(selection.plan.members.participants),
        init=before.init if before else initial.digest if initial else "",
        **machines,
    )
    run = Run(
        recipe=recipe,
        processes=processes,
        counts_per_g=counts_per_g,
        objective=learner.objective,
        model=learner.model,
        optimizer=learner.optimizer,
        engine=engine,
        days=data.days,
        stream=data.stream,
        substitutes=data.substitutes,
        validation=data.validation,
        held_out=selection.held_out,
        fixed_facts=facts,
        epoch_windows=selection.plan.epoch_windows,
        previous_stream=selection.previous_stream,
        average=average,
        labelled=labelled,
        step=step,
    )
    if checkpoint:
        restore(run, checkpoint)
    if processes.first:
        if run.previous_stream:
            print(tables_message(run.previous_stream, selection.stream), file=sys.stderr)
        print(setup_message(run), file=sys.stderr)
    return run


def build_learner(recipe: Recipe, device: torch.device) -> Learner:
    """Build objective, model and optimizer; raises UserError if the objective needs whole batches."""
    torch.manual_seed(recipe.seed)
    objective = make_objective(recipe.objective)
    if objective.whole_batch and recipe.run.accumulate > 1:
        raise UserError(
            f"run.accumulate: {recipe.objective.name} compares the windows of a batch with each other, so a batch in "
            f"{recipe.run.accumulate} pieces would be another task. Set it to 1; use a smaller batch or more processes."
        )
    network = make_encoders(recipe.network, objective.encoders, device)
    model = Model(network, objective.heads(network.features)).to(device, weights_dtype(recipe.run))
    return Learner(objective, model, make_optimizer(recipe.optimizer, model, recipe.run.graphs))


def restore(run: Run, checkpoint: ck.Checkpoint) -> None:
    """Restore the optimizer, the running mean and the scores of a checkpoint; its weights are in the model already."""
    state = checkpoint.state
    run.best, run.last_validation, run.digest = state.best, state.validation, int(state.windows_digest, 16)
    run.engine.load_optimizer(without_average(checkpoint.optimizer))
    if run.average:
        run.average.load(checkpoint.optimizer)
