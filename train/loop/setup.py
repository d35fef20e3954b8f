"""A run made ready: members selected, lanes dealt, model and engine built, stream opened."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from pipeline.errors import UserError
from pipeline.storage.disk_cache import DiskCache
from pipeline.store.day_reader import DayReader
from train.checkpoint import format as ck
from train.distributed.engines import Engine, make_engine
from train.distributed.processes import Processes
from train.evaluate.dataset import Labelled, read_labelled
from train.loop.environment import environment
from train.loop.precision import set_numerics, weights_dtype
from train.networks import make_network
from train.networks.model import Model
from train.objectives import Objective, make_objective
from train.optim.averaging import Average, without_average
from train.optim.optimizer import make_optimizer
from train.recipe import Recipe
from train.windows.feed import Feed
from train.windows.lanes import nearest, owned, per_step
from train.windows.members import WITHDRAWN_SLOTS, HeldOut, held_out, select
from train.windows.plan import make_plan
from train.windows.pool import Windows
from train.windows.settings import DataSettings
from train.windows.stream import Stream
from train.windows.validation import draw_validation
from train.windows.withdrawn import Substitutes, version_message

if TYPE_CHECKING:
    from pipeline.store.store import Store

DIGEST = "windows_digest"


@dataclass
class Run:
    """All that a run holds while it trains."""

    recipe: Recipe
    processes: Processes
    counts_per_g: float
    objective: Objective
    model: Model
    optimizer: torch.optim.Optimizer
    days: DayReader
    stream: Stream
    substitutes: Substitutes
    validation: Windows
    held_out: HeldOut
    known: dict[str, Any]
    """What every checkpoint says of the store, the stream, the code and the machines."""
    epoch_windows: int
    engine: Engine = field(init=False)
    step: int = 0
    best: tuple[float, int] = (float("inf"), 0)
    """Lowest validation loss, and the windows seen then."""
    last: dict[str, Any] = field(default_factory=dict)
    """The last validation."""
    digest: int = 0
    """Of all windows seen so far and the steps they came in: the same at any world size (`meter.digest`)."""
    moved: dict[str, Any] = field(default_factory=dict)
    """The stream `before` and `now`, where the checkpoint's version of the tables went with people who withdrew."""
    average: Average | None = None
    """The running mean of the weights, where one is kept."""
    labelled: Labelled | None = None
    """What the first process probes the network with."""

    def __post_init__(self) -> None:
        self.feed = Feed(self.stream, self.processes.device)

    @property
    def facts(self) -> dict[str, Any]:
        """What is known of the run, and who is held out as of now: nobody who has withdrawn is named."""
        return self.known | self.held_out.facts()

    @property
    def seen(self) -> int:
        """Windows seen by all processes together."""
        return self.step * self.recipe.run.batch

    def newly_gone(self) -> dict[str, list[int]]:
        """Slots "withdrawn" and "damaged", on any process, that were not told before; all processes ask together."""
        gone = sorted(news for each in self.processes.all(self.substitutes.news()) for news in each)
        told = {"withdrawn": [slot for slot, damaged in gone if not damaged]}
        told["damaged"] = [slot for slot, damaged in gone if damaged]
        return {name: slots for name, slots in told.items() if slots}


def prepare(recipe: Recipe, store: Store, start: ck.Checkpoint | None, processes: Processes) -> Run:
    """A run on a store, at its beginning or as a checkpoint left it; raises UserError for what does not fit."""
    set_numerics(recipe.run, processes.device)
    with processes.together():
        run = _prepare(recipe, store, start, processes)
    if processes.first:
        _tell(run)
    step = recipe.step_settings(recipe.run.batch // processes.world_size)
    run.engine = make_engine(recipe.engine, step, run.model, run.optimizer, processes)
    if recipe.optimizer.average_windows is not None:
        run.average = Average(run.model, recipe.optimizer.average_windows)
    if start is not None:
        run.engine.load_optimizer(without_average(start.optimizer))
        if run.average:
            run.average.take_from(start.optimizer)
    return run


def _prepare(recipe: Recipe, store: Store, start: ck.Checkpoint | None, processes: Processes) -> Run:
    around = environment(recipe, processes)
    before = start.state["stream"] if start else None
    table_version, gone = processes.from_first(
        lambda: (choose_version(store, before), store.withdrawals.participants())
    )
    known: dict[str, Any] = {
        "store": {"fingerprint": store.attributes.fingerprint, "key_check": store.attributes.key_check}
    }
    if start is not None and start.state["store"] != known["store"]:
        raise UserError(f"{store.folder.url}: the checkpoints were trained on another store. Give that one.")
    data, seed = recipe.data, recipe.seed
    cache = open_cache(data, store)
    store.person_days = store.person_days.at(table_version)
    everyone = select(store, data.seconds, data.min_wear_hours, data.where)
    parted = set(start.state.get(WITHDRAWN_SLOTS, [])) if start else set()
    if before is not None:  # on a newer version of the tables, who came in since stays out
        everyone = everyone.before(before.get("slots_end", everyone.end)).but(parted)
    people = set(start.state["validation_participants"]) if start else held_out(everyone.of(gone, kept=False))
    others = everyone.of(people, kept=True).of(gone, kept=False)
    if not others.slots.size:
        raise UserError("all people that were held out to validate on have withdrawn: begin a new run.")
    plan = make_plan(everyone, people, data, seed, before["lanes"] if before else None)
    members, lanes = plan.members, plan.lanes
    share = per_step(recipe.run.batch, len(lanes), processes.world_size)
    check_pieces(recipe.run.batch // processes.world_size, recipe.run.accumulate)
    stream_facts = {
        "table_version": table_version,
        "lanes": len(lanes),
        "members": members.slots.size,
        "slots_end": everyone.end,
        "members_digest": members.digest,
    }
    same_tables = before is not None and before["table_version"] == table_version
    if before is not None and same_tables and before.get("members_digest", members.digest) != members.digest:
        raise UserError(f"{store.folder.url}: the checkpoints were trained on other person-days. Give their store.")
    known |= {"stream": stream_facts, "participants": len(members.people), **around}
    objective, model, optimizer = _build(recipe, processes.device)
    if objective.whole_batch and recipe.run.accumulate > 1:
        raise UserError(
            f"run.accumulate: {recipe.objective.name} compares the windows of a batch with each other, so a batch in "
            f"{recipe.run.accumulate} pieces asks another question. Make it 1; use a smaller batch or more processes."
        )
    spaced = everyone.spaced(data.min_spacing_s)
    substitutes = Substitutes(spaced, lanes, store.withdrawals.participants, data.skip_damaged, cache)
    days, threads = DayReader(store.folder, cache), data.threads or (2 if store.folder.is_local else 8)
    validation = draw_validation(
        days, others, data.seconds, seed, processes.rank, processes.world_size, threads, substitutes.is_gone
    )
    if not sum(processes.all(len(validation))):
        raise UserError("none of the person-days that were held out to validate on can be read: `persondays verify`.")
    step = start.step if start else 0
    mine = owned(lanes, processes.rank, processes.world_size)
    stream = Stream(days, mine, share, data.seconds, step, threads, data.min_spacing_s, substitutes=substitutes)
    run = Run(
        recipe, processes, store.attributes.counts_per_g, objective, model, optimizer, days, stream, substitutes,
        validation, HeldOut(people, parted, everyone, store.withdrawals.participants), known, plan.epoch_windows, step,
    )  # fmt: skip
    if start is not None:
        ck.load_model(model, start.model)
        run.best, run.last = tuple(start.state["best"]), start.state["validation"]
        run.digest = int(start.state[DIGEST], 16)
    if recipe.probe.data is not None and processes.first:
        run.labelled = read_labelled(recipe.probe.data, data.ticks)
    if before is not None and not same_tables:
        run.moved = {"before": before, "now": stream_facts}
    return run


def check_pieces(share: int, pieces: int) -> None:
    """Raises UserError, with the nearest valid numbers, where a process's windows do not come in equal pieces."""
    if share % pieces:
        valid = [count for count in range(1, share + 1) if share % count == 0]
        raise UserError(
            f"run.accumulate: the {share} windows of a process cannot be cut into {pieces} equal pieces: "
            f"make it {nearest(pieces, valid)}."
        )


def open_cache(data: DataSettings, store: Store) -> DiskCache | None:
    """The node's cache, if one is wanted, without days that the store no longer has. On a disk there is none."""
    if data.cache is None or store.folder.is_local:
        return None
    cache = DiskCache(data.cache, data.cache_gb * 1e9, store.folder.url)
    cache.keep_only(set(store.person_days.read(["slot"])["slot"].to_pylist()))
    return cache


def choose_version(store: Store, before: dict[str, Any] | None) -> int:
    """The version of the tables to draw from: a new run's is the newest, and one that goes on keeps its own.

    Where that went with people who withdrew, it is the newest too; where nobody did, UserError.
    """
    newest = store.person_days.version
    if before is None:
        return newest
    try:
        return store.person_days.at(before["table_version"]).version
    except UserError:
        if not store.withdrawals.participants():
            raise
        return newest


def _build(recipe: Recipe, device: torch.device) -> tuple[Objective, Model, torch.optim.Optimizer]:
    """Objective, model and optimizer, the same on every process: initial weights follow from the seed."""
    torch.manual_seed(recipe.seed)
    objective = make_objective(recipe.objective)
    network = make_network(recipe.network, device)
    model = Model(network, objective.heads(network.features)).to(device, weights_dtype(recipe.run))
    return objective, model, make_optimizer(recipe.optimizer, model)


def _tell(run: Run) -> None:
    network, stream = run.recipe.network, run.known["stream"]
    parameters = sum(parameter.numel() for parameter in run.model.feature_extractor.parameters())
    if run.moved:
        print(version_message(**run.moved), file=sys.stderr)
    print(
        f"{stream['members']:,} person-days of {run.known['participants']:,} participants in {stream['lanes']} lanes, "
        f"{run.epoch_windows:,} windows an epoch; {len(run.held_out.people):,} participants held out.\n"
        f"{network.preset} at width {network.width:g}: {parameters:,} parameters; "
        f"{run.processes.world_size} process(es) on {run.processes.device.type}, engine {run.recipe.engine.name}; "
        + (f"going on after {run.seen:,} windows." if run.step else "starting anew."),
        file=sys.stderr,
    )
