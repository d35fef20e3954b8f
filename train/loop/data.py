"""The data of a run: the version of the tables, the members and held-out participants, the stream, validation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from pipeline.errors import UserError
from pipeline.storage.disk_cache import DiskCache
from pipeline.store.day_reader import DayReader
from train.checkpoint.state import RunFacts, StoreFacts, StreamFacts
from train.distributed.processes import Processes
from train.recipe import Recipe
from train.windows.companions.kind import Chooser, Companions, bind
from train.windows.lanes import nearest, owned, per_step
from train.windows.members import HeldOut, Members, choose_held_out, select
from train.windows.plan import Plan, make_plan
from train.windows.pool import Windows
from train.windows.settings import DataSettings
from train.windows.stream import Stream
from train.windows.validation import draw_validation
from train.windows.withdrawn import Substitutes

if TYPE_CHECKING:
    from pipeline.store.store import Store

T = TypeVar("T")


class Place(Protocol):
    """The place of this process among those of a run, such as `train.distributed.processes.Processes`."""

    @property
    def rank(self) -> int:
        """Its number, from 0."""
        ...

    @property
    def world_size(self) -> int:
        """How many there are."""
        ...

    def from_first(self, make: Callable[[], T]) -> T:
        """Return on all processes what `make` returns on the first."""
        ...


@dataclass(frozen=True)
class Selection:
    """Which person-days a run draws from, and which it validates on."""

    everyone: Members
    chooser: Chooser
    plan: Plan
    held_out: HeldOut
    validation: Members
    stream: StreamFacts
    previous_stream: StreamFacts | None
    """The stream of the checkpoint, if withdrawals have deleted its version of the tables since."""


@dataclass(frozen=True)
class Source:
    """Where a run reads its days, and what replaces those that are gone."""

    days: DayReader
    substitutes: Substitutes
    threads: int


@dataclass(frozen=True)
class RunData:
    """The windows of a run, ready to be drawn."""

    days: DayReader
    substitutes: Substitutes
    stream: Stream
    validation: Windows


def store_facts(store: Store) -> StoreFacts:
    """What identifies a store."""
    return StoreFacts(store.attributes.fingerprint, store.attributes.key_check)


def select_days(
    data: DataSettings, seed: int, store: Store, companions: Companions | None, before: RunFacts | None, place: Place
) -> Selection:
    """Select the days of a run; if it resumes, the ones that `before` names. All processes have to call this.

    Opens the store's table of person-days at the run's version. Raises UserError if the store is not that of the
    checkpoint, has too few participants, or no or too few companions.
    """
    old = before.stream if before else None
    version, withdrawn = place.from_first(lambda: (choose_version(store, old), store.withdrawals.participants()))
    if before and before.store != store_facts(store):
        raise UserError(f"{store.folder.url}: the checkpoints were trained on another store. Name that one.")
    store.person_days = store.person_days.at(version)
    everyone = select(store, data.seconds, data.min_wear_hours, data.where)
    excluded = set(before.validation_slots_withdrawn) if before else set()
    if old:  # a newer version of the tables may have days that the run has never had
        everyone = everyone.before_slot(old.slots_end or everyone.end_slot).without_slots(excluded)
    end_slot = everyone.end_slot
    facts = old.companions or {} if old else place.from_first(lambda: companions.facts(store) if companions else {})
    bound = bind(companions, everyone, store, data, facts)
    everyone = bound.members
    if before:
        held_out = set(before.validation_participants)
    else:
        held_out = choose_held_out(everyone.without_participants(withdrawn), data.held_out)
    validation = everyone.of_participants(held_out).without_participants(withdrawn)
    if not validation.slots.size:
        raise UserError("all participants held out for validation have withdrawn: start a new run.")
    lanes = old.lanes if old else None
    plan = make_plan(everyone, held_out, data, seed, lanes, bound.people_share_pools)
    if companions and not before:  # withdrawals do not stop a run
        companions.check_round(plan.epoch_windows)
    stream = StreamFacts(
        table_version=version,
        lanes=len(plan.lanes),
        members=int(plan.members.slots.size),
        slots_end=end_slot,
        members_digest=plan.members.digest,
        companions=facts or None,
    )
    same_version = old is not None and old.table_version == version
    if old and same_version and old.members_digest not in (None, stream.members_digest):
        raise UserError(
            f"{store.folder.url}: the checkpoints were trained on other person-days, or on other windows of them. Name "
            "their store, and their table of features if there was one."
        )
    return Selection(
        everyone=everyone,
        chooser=bound.chooser,
        plan=plan,
        held_out=HeldOut(held_out, excluded, everyone, store.withdrawals.participants),
        validation=validation,
        stream=stream,
        previous_stream=None if same_version else old,
    )


def choose_version(store: Store, before: StreamFacts | None) -> int:
    """Choose the version of the tables: the newest for a new run, the same as before for a resumed one.

    If withdrawals have deleted that version, it is the newest too. Raises UserError if it is missing otherwise.
    """
    newest = store.person_days.version
    if before is None:
        return newest
    try:
        return store.person_days.at(before.table_version).version
    except UserError:
        if not store.withdrawals.participants():
            raise
        return newest


def open_data(recipe: Recipe, store: Store, selection: Selection, step: int, processes: Processes) -> RunData:
    """Open the stream of this process at a step, and draw its validation windows.

    Raises UserError if batch, lanes and processes do not divide, and UnreadableDay if a validation day is damaged.
    """
    batch = recipe.run.batch
    per_step(batch, len(selection.plan.lanes), processes.world_size)
    check_pieces(batch // processes.world_size, recipe.run.accumulate)
    source = open_source(recipe.data, store, selection)
    validation = draw_held_out(recipe.data, recipe.seed, selection, source, processes)
    stream = open_stream(recipe.data, batch, selection, source, step, processes)
    return RunData(source.days, source.substitutes, stream, validation)


def open_source(data: DataSettings, store: Store, selection: Selection) -> Source:
    """Open the reader of a run's days."""
    threads = data.threads or (2 if store.folder.is_local else 8)
    cache = open_cache(data, store)
    spaced = selection.everyone.spaced(data.min_spacing_s)
    lanes, withdrawn = selection.plan.lanes, store.withdrawals.participants
    return Source(
        DayReader(store.folder, cache), Substitutes(spaced, lanes, withdrawn, data.skip_damaged, cache), threads
    )


def open_stream(
    data: DataSettings, batch: int, selection: Selection, source: Source, step: int, place: Place
) -> Stream:
    """Open the stream of this process at a step. Raises UserError if batch, lanes and processes do not divide."""
    lanes = selection.plan.lanes
    return Stream(
        days=source.days,
        lanes=owned(lanes, place.rank, place.world_size),
        windows_per_step=per_step(batch, len(lanes), place.world_size),
        seconds=data.seconds,
        step=step,
        threads=source.threads,
        spacing=data.min_spacing_s,
        substitutes=source.substitutes,
        chooser=selection.chooser,
        weighting=data.weighting,
    )


def draw_held_out(data: DataSettings, seed: int, selection: Selection, source: Source, place: Place) -> Windows:
    """Draw this process's share of the validation windows; raises UnreadableDay if a day is damaged."""
    return draw_validation(
        days=source.days,
        members=selection.validation,
        seconds=data.seconds,
        seed=seed,
        rank=place.rank,
        world_size=place.world_size,
        threads=source.threads,
        is_gone=source.substitutes.is_gone,
        chooser=selection.chooser,
        per_day=data.validation_per_day,
    )


def check_pieces(share: int, pieces: int) -> None:
    """Raise UserError, with the nearest valid numbers, if a process's windows cannot be cut into equal pieces."""
    if share % pieces:
        valid = [count for count in range(1, share + 1) if share % count == 0]
        raise UserError(
            f"run.accumulate: the {share} windows of a process cannot be cut into {pieces} equal pieces: "
            f"make it {nearest(pieces, valid)}."
        )


def open_cache(data: DataSettings, store: Store) -> DiskCache | None:
    """Open the node's cache, without days that the store no longer has; None for a local store or no `data.cache`."""
    if data.cache is None or store.folder.is_local:
        return None
    cache = DiskCache(data.cache, data.cache_gb * 1e9, store.folder.url)
    cache.keep_only(set(store.person_days.read(["slot"])["slot"].to_pylist()))
    return cache
