"""A run made ready: checkpoint chosen, members selected, lanes dealt, model built, stream opened."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal

import torch

from pipeline.day_reader import DayReader
from pipeline.disk_cache import DiskCache
from pipeline.errors import UserError
from pipeline.settings import plain
from pipeline.storage import Folder
from train import checkpoint as ck
from train.model import Model
from train.networks import make_network
from train.objectives import Objective, make_objective
from train.processes import Processes
from train.recipe import DataSettings, Recipe
from train.windows.feed import Feed
from train.windows.lanes import owned, per_step
from train.windows.members import WITHDRAWN_SLOTS, HeldOut, Members, held_out, select
from train.windows.plan import make_plan
from train.windows.pool import Windows
from train.windows.stream import Stream
from train.windows.validation import draw_validation
from train.windows.withdrawn import Substitutes, told_of_version

if TYPE_CHECKING:
    from pipeline.store import Store

FREE_TO_CHANGE = {
    "name",
    *(f"data.{name}" for name in ("threads", "cache", "cache_gb", "skip_damaged")),
    *(f"run.{name}" for name in ("windows", "validate_every", "save_every", "keep", "patience", "threads", "compile")),
}
"""Settings that do not decide what is learned."""
PACKAGES = ("persondays", "torch", "numpy", "zarr", "numcodecs")


@dataclass
class Run:
    """All that a run holds while it trains."""

    recipe: Recipe
    processes: Processes
    counts_per_g: float
    objective: Objective
    model: Model
    optimizer: torch.optim.Optimizer
    stream: Stream
    substitutes: Substitutes
    validation: Windows
    held_out: HeldOut
    known: dict[str, Any]
    """What every checkpoint says of the store, the stream and the versions."""
    epoch_windows: int
    step: int = 0
    best: tuple[float, int] = (float("inf"), 0)
    """Lowest validation loss, and the windows seen then."""
    last: dict[str, Any] = field(default_factory=dict)
    """The last validation."""
    moved: dict[str, Any] = field(default_factory=dict)
    """The stream `before` and `now`, where the checkpoint's version of the tables went with people who withdrew."""

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


def choose_start(
    folder: Folder, resume: Literal["auto", "never"], recipe: Recipe, processes: Processes
) -> ck.Checkpoint | None:
    """The checkpoint to go on from, as the first process sees it; raises UserError when it is of another run."""
    step: int | None = processes.from_first(lambda: max(ck.complete(folder), default=None))
    if step is None:
        return None
    if resume == "never":
        raise UserError(
            f"{folder.url} holds checkpoints (newest: step {step}), and --resume never was asked for. "
            "Name another folder, or leave --resume auto to go on."
        )
    found = ck.read(folder, step)
    then, now = _comparable(found.state["settings"]), _comparable(plain(recipe))
    names = sorted(name for name in {*then, *now} if then.get(name) != now.get(name))
    if names:
        changes = "; ".join(f"{name}: then {then.get(name)!r}, now {now.get(name)!r}" for name in names)
        raise UserError(
            f"{folder.url} holds checkpoints of a run with other settings ({changes}). "
            "Use those settings to go on, or name another folder to begin anew."
        )
    return found


def _comparable(settings: dict[str, Any], path: str = "") -> dict[str, Any]:
    """Settings by path, without those that may change when a run goes on."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            flat |= _comparable(value, f"{path}{name}.")
        elif f"{path}{name}" not in FREE_TO_CHANGE:
            flat[path + name] = value
    return flat


def prepare(recipe: Recipe, store: Store, start: ck.Checkpoint | None, processes: Processes) -> Run:
    """A run on a store, at its beginning or as a checkpoint left it; raises UserError for what does not fit."""
    facts: dict[str, Any] = {
        "store": {"fingerprint": store.attributes.fingerprint, "key_check": store.attributes.key_check}
    }
    if start is not None and start.state["store"] != facts["store"]:
        raise UserError(f"{store.folder.url}: the checkpoints were trained on another store. Give that one.")
    before = start.state["stream"] if start else None
    table_version, gone = processes.from_first(lambda: (choose_version(store, before), store.withdrawals.people()))
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
    stream_facts = {
        "table_version": table_version,
        "lanes": len(lanes),
        "members": members.slots.size,
        "slots_end": everyone.end,
    }
    facts |= {
        "stream": stream_facts,
        "participants": len(members.people),
        "versions": {name: version(name) for name in PACKAGES} | {"device": str(processes.device.type)},
        "world_size": processes.world_size,
    }
    objective, model, optimizer = _build(recipe, processes.device)
    spaced = everyone.spaced(data.min_spacing_s)
    substitutes = Substitutes(spaced, lanes, store.withdrawals.people, data.skip_damaged, cache)
    days, threads = DayReader(store.folder, cache), data.threads or (2 if store.folder.is_local else 8)
    validation = draw_validation(
        days, others, data.seconds, seed, processes.rank, processes.world_size, threads, substitutes.is_gone
    )
    step = start.step if start else 0
    mine = owned(lanes, processes.rank, processes.world_size)
    stream = Stream(days, mine, share, data.seconds, step, threads, data.min_spacing_s, substitutes=substitutes)
    run = Run(
        recipe, processes, store.attributes.counts_per_g, objective, model, optimizer, stream, substitutes, validation,
        HeldOut(people, parted, everyone, store.withdrawals.people), facts, plan.epoch_windows, step,
    )  # fmt: skip
    if start is not None:
        ck.load_model(model, start.model)
        ck.load_optimizer(model, optimizer, start.optimizer)
        run.best, run.last = tuple(start.state["best"]), start.state["validation"]
    if before is not None and before["table_version"] != table_version:
        run.moved = {"before": before, "now": stream_facts}
    if processes.first:
        _tell(run, store, members, others)
    return run


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
        if not store.withdrawals.people():
            raise
        return newest


def _build(recipe: Recipe, device: torch.device) -> tuple[Objective, Model, torch.optim.Optimizer]:
    """Objective, model and optimizer, the same on every process: initial weights follow from the seed."""
    torch.manual_seed(recipe.seed)
    objective = make_objective(recipe.objective)
    network = make_network(recipe.network)
    model = Model(network, objective.heads(network.features)).to(device)
    settings = recipe.optimizer
    kind = torch.optim.Adam if settings.name == "adam" else torch.optim.AdamW
    active = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = kind(active, lr=settings.rate_per_512, amsgrad=settings.amsgrad, weight_decay=settings.weight_decay)
    return objective, model, optimizer


def _tell(run: Run, store: Store, members: Members, others: Members) -> None:
    network, lanes = run.recipe.network, run.known["stream"]["lanes"]
    parameters = sum(parameter.numel() for parameter in run.model.feature_extractor.parameters())
    if run.moved:
        print(told_of_version(**run.moved), file=sys.stderr)
    print(
        f"{members.slots.size:,} person-days of {len(members.people):,} participants in {lanes} lanes, "
        f"{run.epoch_windows:,} windows an epoch; "
        f"{len(others.people):,} participants ({others.slots.size:,} days) held out.\n"
        f"{network.preset} at width {network.width:g}: {parameters:,} parameters; "
        f"{run.processes.world_size} process(es) on {run.processes.device.type}; "
        + (f"going on after {run.seen:,} windows." if run.step else "starting anew."),
        file=sys.stderr,
    )
