"""Embedding a store: groups of person-days dealt to processes, each group a file that appears complete or not at all.

A group is a range of slots, and its file's name holds a digest of the days in it. So the names of the files say what is
left to do: a run that was killed goes on, a store that has grown gets new files, and files with the days of people who
have withdrawn are deleted. Batches go on over the days of a group but never over groups, so a file is the same bytes
whoever writes it.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import date
from functools import partial
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from pipeline.errors import UnreadableDay, UserError
from pipeline.progress import Progress
from pipeline.storage.folder import Folder
from pipeline.storage.retry import with_retry
from pipeline.store.day_reader import DayReader, StoredDay
from train.distributed.processes import Processes
from train.embed.days import Day, Piece, batches, read_day
from train.embed.rows import rows_of
from train.embed.table import Facts, Pool, read_facts, schema, to_parquet
from train.networks import Encoder
from train.networks.weights import digest

if TYPE_CHECKING:
    from pipeline.store.store import Store

BATCH = {"cpu": 256, "cuda": 4096}
DAYS_AHEAD = 3
SHOWN = 5
PART = re.compile(r"part-\d{7,}-[0-9a-f]{12}\.parquet")

Report = Callable[[int, int], None]
"""Receives how many days and windows are done."""


@dataclass(frozen=True)
class EmbedSettings:
    """Which windows, and which rows; None is the window of the network, or a number of days that suits the pool."""

    stride_s: int | None = None
    pool: Pool = "none"
    min_eligible: float = 1.0
    days_per_file: int | None = None

    def facts(self, network: Encoder, store: Store) -> Facts:
        """Return what the table will be made from, and how."""
        seconds = network.ticks // store.attributes.sample_rate_hz
        return Facts(
            preset=network.preset,
            width=float(network.width),
            features=network.features,
            model_sha256=digest(network.state_dict()),
            store_fingerprint=store.attributes.fingerprint,
            store_key_check=store.attributes.key_check,
            seconds=seconds,
            stride_s=self.stride_s or seconds,
            pool=self.pool,
            min_eligible=self.min_eligible,
            days_per_file=self.days_per_file or (8 if self.pool == "none" else 64),
        )


@dataclass(frozen=True)
class Member:
    """A person-day to embed."""

    slot: int
    participant: str | None
    date: date | None


@dataclass(frozen=True)
class Group:
    """The days of a range of slots, and the file that they go to."""

    number: int
    members: tuple[Member, ...]

    @property
    def file(self) -> str:
        """The name of the file: the number of the range and a digest of its days."""
        slots = np.array([member.slot for member in self.members], "<i8").tobytes()
        return f"part-{self.number:07d}-{sha256(slots).hexdigest()[:12]}.parquet"


def plan(store: Store, days_per_file: int) -> list[Group]:
    """Return the groups of the person-days of all participants who have not withdrawn, in order of their slots."""
    rows = store.person_days.read(["slot", "participant", "day"])
    gone = store.withdrawals.participants()
    groups: dict[int, list[Member]] = {}
    for row in sorted(rows.to_pylist(), key=lambda row: int(row["slot"])):
        if row["participant"] not in gone:
            member = Member(row["slot"], row["participant"], row["day"])
            groups.setdefault(member.slot // days_per_file, []).append(member)
    if not groups:
        raise UserError(f"{store.folder.url}: expected person-days to embed, found none. Ingest recordings first.")
    return [Group(number, tuple(members)) for number, members in groups.items()]


def prepare(folder: Folder, facts: Facts, groups: list[Group]) -> frozenset[str]:
    """Prepare the folder of a table, and return the files that are there already.

    Deletes files of this table whose days have changed since, and what killed processes left. Raises UserError when the
    folder holds another table, or anything else.
    """
    names = folder.names()
    foreign = [name for name in names if not PART.fullmatch(name)]
    found = read_facts(folder, names[0]) if names and not foreign else None
    if names and found is None:
        raise UserError(
            f"{folder.url}: expected an empty folder or a table of features, found {(foreign or names)[0]}. Name "
            "another folder."
        )
    wanted = facts.to_json()
    if found is not None and found != wanted:
        changed = sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))
        changes = "; ".join(f"{name}: there {found.get(name)!r}, now {wanted.get(name)!r}" for name in changed)
        raise UserError(f"{folder.url}: holds another table of features ({changes}). Name another folder.")
    planned = {group.file for group in groups}
    folder.delete(sorted(set(names) - planned))
    if folder.is_local:
        for unfinished in Path(folder.path).glob(".part-*.partial"):
            unfinished.unlink(missing_ok=True)
    return frozenset(planned.intersection(names))


class Embedder:
    """Writes the files of groups, with one network. Threads read and write while the network computes.

    `unreadable` lists the slots of days that could not be read; the files of their groups are not written.
    """

    def __init__(self, network: Encoder, facts: Facts, days: DayReader, counts_per_g: float, out: Folder) -> None:
        self.device = next(network.parameters()).device
        self.network, self.facts, self.days, self.counts_per_g, self.out = network, facts, days, counts_per_g, out
        self.columns = schema(facts)
        self.unreadable: list[int] = []
        self.windows = 0

    def embed(self, groups: Sequence[Group], report: Report = lambda days, windows: None) -> None:
        """Write the file of each group; `report` receives how many days and windows have been read."""
        writing: Future[None] | None = None
        done = 0
        with ThreadPoolExecutor(1, "read") as reader, ThreadPoolExecutor(1, "write") as writer:
            ahead = self._ahead(reader, [member.slot for group in groups for member in group.members])
            for group in groups:
                failed = len(self.unreadable)
                tables = []
                for table in self._tables(group, islice(ahead, len(group.members))):
                    tables.append(table)
                    report(done + len(tables), self.windows)
                done += len(group.members)
                report(done, self.windows)
                if len(self.unreadable) == failed:
                    if writing is not None:
                        writing.result()
                    writing = writer.submit(self._write, group, tables)
            if writing is not None:
                writing.result()

    def _ahead(self, reader: ThreadPoolExecutor, slots: list[int]) -> Iterator[Day | UnreadableDay]:
        """Read days in their order, a few ahead of their use."""
        facts, reading = self.facts, deque[Future[Day | UnreadableDay]]()

        def read(stored: StoredDay) -> Day | UnreadableDay:
            try:
                return read_day(stored, facts.seconds, facts.stride_s, facts.min_eligible)
            except UnreadableDay as error:
                return error

        for slot in slots:
            reading.append(reader.submit(read, self.days.open_day(slot)))
            if len(reading) > DAYS_AHEAD:
                yield reading.popleft().result()
        while reading:
            yield reading.popleft().result()

    def _tables(self, group: Group, days: Iterable[Day | UnreadableDay]) -> Iterator[pa.Table]:
        """Compute the rows of each day that has any."""
        members = {member.slot: member for member in group.members}
        vectors: dict[int, NDArray[np.float32]] = {}
        for pieces in batches(self._readable(days), BATCH[self.device.type]):
            found_BF, first = self._features(pieces), 0
            for day, which in pieces:
                vector_WF = vectors.setdefault(day.slot, np.empty((len(day.start_W), self.facts.features), np.float32))
                vector_WF[which] = found_BF[first : first + which.stop - which.start]
                first += which.stop - which.start
                if which.stop == len(day.start_W):
                    member = members[day.slot]
                    rest = self.facts.pool, member.date, member.participant, self.columns
                    yield rows_of(day, vectors.pop(day.slot), *rest)
            self.windows += first

    def _readable(self, days: Iterable[Day | UnreadableDay]) -> Iterator[Day]:
        for day in days:
            if isinstance(day, UnreadableDay):
                self.unreadable.append(day.slot)
            else:
                yield day

    @torch.inference_mode()
    def _features(self, pieces: Sequence[Piece]) -> NDArray[np.float32]:
        counts_BCT = torch.cat([day.windows(which, self.facts.seconds) for day, which in pieces])
        x_BCT = counts_BCT.to(self.device).float() / self.counts_per_g
        features_BF: NDArray[np.float32] = self.network(x_BCT).flatten(1).cpu().numpy()
        return features_BF

    def _write(self, group: Group, tables: list[pa.Table]) -> None:
        rows = pa.concat_tables(tables) if tables else self.columns.empty_table()
        with_retry(partial(self.out.write, group.file, to_parquet(rows)))


def embed(network: Encoder, store_url: str, out_url: str, settings: EmbedSettings, processes: Processes) -> str:
    """Embed a store and return what was done, in words. All processes of a run have to call this.

    Raises UserError for what a user can fix; days that cannot be read are among that, after everything else is written.
    """
    from pipeline.store.store import Store

    with processes.all_or_none():
        store, out = Store.open(store_url), Folder(out_url)
        facts = settings.facts(network, store)
        groups, there = processes.from_first(lambda: _plan_and_prepare(store, out, facts))
    todo = [group for group in groups if group.file not in there][processes.rank :: processes.world_size]
    days = sum(len(group.members) for group in todo)
    began = time.monotonic()
    network = network.to(processes.device).eval()
    with store.days as reader, Progress("embed", days, "days") if processes.first else nullcontext() as progress:
        embedder = Embedder(network, facts, reader, store.attributes.counts_per_g, out)

        def report(done: int, windows: int) -> None:
            if progress is not None:
                progress.update(done, f"{windows / (time.monotonic() - began):,.0f} windows/s")

        embedder.embed(todo, report)
    if embedder.unreadable:
        listed = ", ".join(map(str, embedder.unreadable[:SHOWN]))
        raise UserError(
            f"{store.folder.url}: {len(embedder.unreadable)} person-days cannot be read (slots {listed}), so the files "
            "they belong to are missing; all others are written. Run `persondays verify --repair`, then the same "
            "command again."
        )
    all_days = sum(len(group.members) for group in groups)
    return f"{out.url}: {all_days:,} person-days in {len(groups):,} files, {embedder.windows:,} windows embedded now"


def _plan_and_prepare(store: Store, out: Folder, facts: Facts) -> tuple[list[Group], frozenset[str]]:
    groups = plan(store, facts.days_per_file)
    return groups, prepare(out, facts, groups)
