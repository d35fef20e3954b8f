"""The stream as a dataset of torch, for somebody else's training loop (docs/api.md).

It has no sampler of its own: members, lanes, draws and reading are those of a run of `persondays train`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any, NamedTuple, NoReturn, TypeVar

import torch.distributed as dist
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from pipeline.errors import UserError
from pipeline.settings import build, plain
from pipeline.store.store import Store
from train.checkpoint.state import RunFacts, StoreFacts, StreamFacts
from train.distributed.processes import from_first
from train.loop.data import Source, draw_held_out, open_source, open_stream, select_days, store_facts
from train.windows.companions.kind import Companions
from train.windows.lanes import per_step
from train.windows.pool import Windows
from train.windows.settings import DataSettings
from train.windows.stream import Stream
from train.windows.withdrawn import days_message

KIND = "persondays-stream"
VERSION = 1
ONLY_SPEED = ("threads", "cache", "cache_gb", "skip_damaged", "validation_per_day")
"""Settings that do not decide which windows are drawn."""

ENTRIES = ("kind", "version", "step", "settings", "store", "stream", "held_out", "held_out_withdrawn")
"""Of a state."""

log = logging.getLogger(__name__)

T = TypeVar("T")


class Batch(NamedTuple):
    """Windows, and where each comes from.

    x: float32 (batch, 3, ticks), x, y, z in g at 30 Hz; int16 in the store's counts with `counts=True`. With
        companions (batch, 1 + companions, 3, ticks).
    place: int64 (batch, 4), lane, round, slot and start second; then slot and first tick of each companion.
    """

    x: Tensor
    place: Tensor

    @property
    def slot(self) -> Tensor:
        """The person-day of each window, int64 (batch,)."""
        return self.place[:, 2]

    @property
    def start(self) -> Tensor:
        """The second of that day at which each window begins, int64 (batch,)."""
        return self.place[:, 3]


@dataclass(frozen=True)
class _Place:
    """Rank and world size, by the process group if there is one (`train.loop.data.Place`)."""

    rank: int = 0
    world_size: int = 1
    grouped: bool = False

    def from_first(self, make: Callable[[], T]) -> T:
        """Return what `make` returns on the first process of the group; without a group, what it returns here."""
        return from_first(make, self.rank, self.world_size) if self.grouped else make()


class WindowStream(IterableDataset[Batch]):
    """The endless stream of batches of one process, drawn from a store by motion (docs/sampling.md).

    It is its own iterator: a second loop goes on where the first one stopped. The processes of a job together have the
    same global batches at any number of processes, and `state_dict` resumes at the exact window. In a
    `torch.utils.data.DataLoader`, use `batch_size=None` and no workers: it reads ahead with threads of its own.

    store: a folder or an s3:// URL.
    batch: windows of all processes together in a step; a multiple of the number of lanes (64 by default).
    seed: the same seed draws the same windows.
    companions: the kind of windows that come with every drawn one, such as
        `train.windows.companions.nearby.Nearby(30)`.
    counts: yield the stored integers; divide by `counts_per_g` yourself, on a GPU for example.
    rank, world_size: of this process, for loops that do not use torch.distributed; by default those of its process
        group, else 0 of 1.
    settings: those of the section `data` of a recipe: seconds=30, windows_per_day=500, min_wear_hours=16,
        where="device = 'AX3'", threads=4, ... (`train.windows.settings.DataSettings`).

    Raises UserError for what a user can fix, among it batches and processes that do not divide.
    """

    def __init__(
        self,
        store: str | os.PathLike[str],
        batch: int = 512,
        *,
        seed: int = 0,
        companions: Companions | None = None,
        counts: bool = False,
        rank: int | None = None,
        world_size: int | None = None,
        **settings: Any,
    ) -> None:
        self.url, self.batch, self.seed, self.counts = os.fspath(store), batch, seed, counts
        self.data = build(DataSettings, settings, "WindowStream")
        if self.data.control != "none":
            raise UserError("WindowStream: control is for `persondays train`; change the windows in your own loop.")
        if companions is not None and (isinstance(companions, type) or not is_dataclass(companions)):
            raise UserError(
                f"WindowStream: expected companions that are a dataclass, whose settings states can hold, such as "
                f"Nearby(30); found {companions!r}."
            )
        self.companions, self._place = companions, _place(rank, world_size)
        self.step = 0
        self._source: Source | None = None
        self._stream: Stream | None = None
        self._select(None)

    def _select(self, before: RunFacts | None) -> None:
        """Open the store and select the days, for a new stream or one that resumes."""
        self._store = Store.open(self.url)
        self._selection = select_days(self.data, self.seed, self._store, self.companions, before, self._place)
        per_step(self.batch, len(self._selection.plan.lanes), self._place.world_size)
        if self._selection.chooser.features:
            raise UserError(
                f"WindowStream: batches have windows only, but {self.companions!r} also has vectors. Use it with "
                "`persondays train`."
            )

    @property
    def counts_per_g(self) -> int:
        """The stored integers that make one g."""
        return self._store.attributes.counts_per_g

    @property
    def rank(self) -> int:
        """The number of this process, from 0."""
        return self._place.rank

    @property
    def world_size(self) -> int:
        """The number of processes that share the batches."""
        return self._place.world_size

    @property
    def epoch_steps(self) -> int:
        """Steps in which every person-day gives about its quota of windows once. The stream goes on after them."""
        return max(1, round(self._selection.plan.epoch_windows / self.batch))

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        if get_worker_info() is not None:
            _refuse_workers()
        if self._stream is None:
            self._stream = open_stream(self.data, self.batch, self._selection, self._opened(), self.step, self._place)
        try:
            windows = next(self._stream)
        except BaseException:
            self.close()  # what it has read ahead is lost, so the next batch is read anew
            raise
        self.step += 1
        self._report_gone()
        return self._as_batch(windows)

    def validation(self) -> Batch:
        """The windows of the held-out participants, this process's share: the same ones at every call.

        Raises UnreadableDay if one of their days is damaged.
        """
        return self._as_batch(draw_held_out(self.data, self.seed, self._selection, self._opened(), self._place))

    def _opened(self) -> Source:
        if self._source is None:
            self._source = open_source(self.data, self._store, self._selection)
        return self._source

    def _as_batch(self, windows: Windows) -> Batch:
        x = windows.signal_BDCT if self.companions else windows.signal_BCT
        return Batch(x if self.counts else x.float().mul_(1 / self.counts_per_g), windows.place_BP)

    def _report_gone(self) -> None:
        gone = self._opened().substitutes.take_new()
        for damaged in (False, True):
            if slots := [slot for slot, is_damaged in gone if is_damaged == damaged]:
                log.warning(days_message(slots, damaged))

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to go on with the next batch, at any number of processes: plain values.

        It has the keyed ids of the held-out participants, as checkpoints have.
        """
        held_out = self._selection.held_out
        held_out.update()
        return {
            "kind": KIND,
            "version": VERSION,
            "step": self.step,
            "settings": self._settings(),
            "store": asdict(store_facts(self._store)),
            "stream": self._selection.stream.to_json(),
            "held_out": sorted(held_out.participants),
            "held_out_withdrawn": sorted(held_out.withdrawn_slots),
        }

    def _settings(self) -> dict[str, Any]:
        """What decides the windows of a step."""
        data = {name: value for name, value in plain(self.data).items() if name not in ONLY_SPEED}
        kind = repr(self.companions) if self.companions else None
        return {"batch": self.batch, "seed": self.seed, "companions": kind, **data}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where another stream with the same settings was. All processes have to call it.

        Raises UserError for the state of something else, of other settings, or of another store.
        """
        if not isinstance(state, dict) or (state.get("kind"), state.get("version")) != (KIND, VERSION):
            raise UserError(f"expected the state_dict of a WindowStream, version {VERSION}, found something else.")
        if missing := [name for name in ENTRIES if name not in state]:
            raise UserError(f"expected all that state_dict of a WindowStream returns, found no {missing[0]!r}.")
        ours, theirs = self._settings(), state["settings"]
        if changed := sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name)):
            changes = "; ".join(f"{name}: state {theirs.get(name)!r}, now {ours.get(name)!r}" for name in changed)
            raise UserError(f"the state is that of a stream with other settings ({changes}). Use the same ones.")
        self.close()
        self._select(
            RunFacts(
                store=StoreFacts(**state["store"]),
                stream=StreamFacts(**state["stream"]),
                validation_participants=state["held_out"],
                validation_slots_withdrawn=state["held_out_withdrawn"],
            )
        )
        self.step = state["step"]

    def close(self) -> None:
        """Stop reading ahead and forget what was read; the next batch is read anew."""
        source, stream, self._source, self._stream = self._source, self._stream, None, None
        if source is not None:
            source.days.close()  # first, so that the stream does not wait for unavailable storage
        if stream is not None:
            stream.close()

    def __enter__(self) -> WindowStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        _refuse_workers()


def _place(rank: int | None, world_size: int | None) -> _Place:
    if rank is not None and world_size is not None:
        if not 0 <= rank < world_size:
            raise UserError(f"expected a rank from 0 to {world_size - 1}, found {rank}.")
        return _Place(rank, world_size)
    if rank is not None or world_size is not None:
        raise UserError("expected rank and world_size, or neither, found one of them.")
    if dist.is_available() and dist.is_initialized():
        return _Place(dist.get_rank(), dist.get_world_size(), grouped=True)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError(
            "torchrun started several processes, but they have no process group yet, so each would read the same "
            "windows. Call torch.distributed.init_process_group first, or give rank and world_size."
        )
    return _Place()


def _refuse_workers() -> NoReturn:
    raise UserError(
        "a WindowStream cannot be copied to the workers of a DataLoader: it reads ahead with threads of its own. Use "
        "num_workers=0, and threads=... of the stream for more of them."
    )
