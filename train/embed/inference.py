"""Batch inference over a store: groups of person-days dealt to processes, each group a file that appears complete.

A group is a range of slots, and its file's name holds a digest of the days in it. So the names of the files say what is
left to do: a run that was killed goes on, a store that has grown gets new files, and files with the days of people who
have withdrawn are deleted. Batches go on over the days of a group but never over groups, so a file is the same bytes
whoever writes it.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import date
from functools import partial
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import nn

from pipeline.errors import UnreadableDay, UserError
from pipeline.progress import Progress
from pipeline.storage.folder import Folder
from pipeline.storage.retry import with_retry
from pipeline.store.day_reader import DayReader, StoredDay
from train.distributed.processes import Processes
from train.embed.days import Day, Piece, batches, read_day
from train.embed.table import read_facts

if TYPE_CHECKING:
    from pipeline.store.store import Store

BATCH = {"cpu": 256, "cuda": 4096}
DAYS_AHEAD = 3
SHOWN = 5
PART = re.compile(r"part-\d{7,}-[0-9a-f]{12}\.parquet")

Report = Callable[[int, int], None]
"""Receives how many days and windows are done."""


@dataclass(frozen=True)
class Member:
    """A person-day to go through."""

    slot: int
    participant: str | None
    date: date | None


@dataclass(frozen=True)
class Output:
    """A table to make: what a network gives for every window, and the rows of a day made of that.

    network maps windows in g (batch, 3, ticks) to `values` float32 values of each. rows returns a day's rows in
    `columns`, from the values of its windows (windows, values), and encode a file of rows. `facts` say what the table
    is made from and how, and are in the metadata of `columns` (`train.embed.table`): files of other facts are refused.
    `name` is what messages call such a table.
    """

    name: str
    network: nn.Module
    values: int
    seconds: int
    stride_s: int
    min_eligible: float
    days_per_file: int
    facts: Mapping[str, Any]
    columns: pa.Schema
    rows: Callable[[Day, NDArray[np.float32], Member], pa.Table]
    encode: Callable[[pa.Table], bytes]


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
    """Return the groups of the person-days of all participants who have not withdrawn, in order of their slots.

    Raises UserError if there are no person-days; if everybody has withdrawn, there is no group.
    """
    rows = store.person_days.read(["slot", "participant", "day"])
    gone = store.withdrawals.participants()
    groups: dict[int, list[Member]] = {}
    for row in sorted(rows.to_pylist(), key=lambda row: int(row["slot"])):
        if row["participant"] not in gone:
            member = Member(row["slot"], row["participant"], row["day"])
            groups.setdefault(member.slot // days_per_file, []).append(member)
    if not groups and not gone:
        raise UserError(f"{store.folder.url}: expected person-days to read, found none. Ingest recordings first.")
    return [Group(number, tuple(members)) for number, members in groups.items()]


def require_table(folder: Folder, name: str, kind: str) -> tuple[list[str], dict[str, Any] | None]:
    """Return the files of a table and its facts, None if the folder is empty.

    `name` is what messages call such a table, and `kind` its format. Raises UserError when the folder holds anything
    else: before `ingest`, and not hours later.
    """
    names = folder.names()
    foreign = [name for name in names if not PART.fullmatch(name)]
    found = read_facts(folder, names[0], kind) if names and not foreign else None
    if names and found is None:
        raise UserError(
            f"{folder.url}: expected an empty folder or a table of {name}, found {(foreign or names)[0]}. Name another "
            "folder."
        )
    return names, found


def prepare(folder: Folder, output: Output, groups: list[Group]) -> frozenset[str]:
    """Prepare the folder of a table, and return the files that are there already.

    Deletes files of this table whose days have changed since, and what killed processes left. Raises UserError when the
    folder holds another table, or anything else.
    """
    names, found = require_table(folder, output.name, output.facts["format"])
    if found is not None and found != output.facts:
        changed = sorted(name for name in {*found, *output.facts} if found.get(name) != output.facts.get(name))
        changes = "; ".join(f"{name}: there {found.get(name)!r}, now {output.facts.get(name)!r}" for name in changed)
        raise UserError(f"{folder.url}: holds another table of {output.name} ({changes}). Name another folder.")
    planned = {group.file for group in groups}
    folder.delete(sorted(set(names) - planned))
    if folder.is_local:
        for unfinished in Path(folder.path).glob(".part-*.partial"):
            unfinished.unlink(missing_ok=True)
    return frozenset(planned.intersection(names))


class Inference:
    """Writes the files of groups, with one network. Threads read and write while the network computes.

    `unreadable` lists the slots of days that could not be read; the files of their groups are not written.
    """

    def __init__(self, output: Output, days: DayReader, counts_per_g: float, out: Folder) -> None:
        self.device = next(output.network.parameters()).device
        self.output, self.days, self.counts_per_g, self.out = output, days, counts_per_g, out
        self.unreadable: list[int] = []
        self.windows = 0

    def run(self, groups: Sequence[Group], report: Report = lambda days, windows: None) -> None:
        """Write the file of each group; `report` receives how many days and windows have been read."""
        writing: Future[None] | None = None
        done = 0
        with ThreadPoolExecutor(1, "read") as reader, ThreadPoolExecutor(1, "write") as writer:
            ahead = self._ahead(reader, [member.slot for group in groups for member in group.members])
            for group in groups:
                failed = len(self.unreadable)
                tables: dict[int, pa.Table] = {}
                for slot, table in self._tables(group, islice(ahead, len(group.members))):
                    tables[slot] = table
                    report(done + len(tables), self.windows)
                done += len(group.members)
                report(done, self.windows)
                if len(self.unreadable) == failed:
                    if writing is not None:
                        writing.result()
                    writing = writer.submit(self._write, group, [tables[slot] for slot in sorted(tables)])
            if writing is not None:
                writing.result()

    def _ahead(self, reader: ThreadPoolExecutor, slots: list[int]) -> Iterator[Day | UnreadableDay]:
        """Read days in their order, a few ahead of their use."""
        output, reading = self.output, deque[Future[Day | UnreadableDay]]()

        def read(stored: StoredDay) -> Day | UnreadableDay:
            try:
                return read_day(stored, output.seconds, output.stride_s, output.min_eligible)
            except UnreadableDay as error:
                return error

        for slot in slots:
            reading.append(reader.submit(read, self.days.open_day(slot)))
            if len(reading) > DAYS_AHEAD:
                yield reading.popleft().result()
        while reading:
            yield reading.popleft().result()

    def _tables(self, group: Group, days: Iterable[Day | UnreadableDay]) -> Iterator[tuple[int, pa.Table]]:
        """Compute the rows of each day, by its slot; a day without windows may come before others."""
        members = {member.slot: member for member in group.members}
        empty: list[Day] = []
        values: dict[int, NDArray[np.float32]] = {}
        for pieces in batches(self._readable(days, empty), BATCH[self.device.type]):
            found_BV, first = self._values(pieces), 0
            for day, which in pieces:
                value_WV = values.setdefault(day.slot, np.empty((len(day.start_W), self.output.values), np.float32))
                value_WV[which] = found_BV[first : first + which.stop - which.start]
                first += which.stop - which.start
                if which.stop == len(day.start_W):
                    yield day.slot, self.output.rows(day, values.pop(day.slot), members[day.slot])
            self.windows += first
        for day in empty:
            yield day.slot, self.output.rows(day, np.empty((0, self.output.values), np.float32), members[day.slot])

    def _readable(self, days: Iterable[Day | UnreadableDay], empty: list[Day]) -> Iterator[Day]:
        """Yield the days that have windows; the others are added to `empty`, without their signal."""
        for day in days:
            if isinstance(day, UnreadableDay):
                self.unreadable.append(day.slot)
            elif len(day.start_W):
                yield day
            else:
                empty.append(day.without_signal())

    @torch.inference_mode()
    def _values(self, pieces: Sequence[Piece]) -> NDArray[np.float32]:
        counts_BCT = torch.cat([day.windows(which, self.output.seconds) for day, which in pieces])
        x_BCT = counts_BCT.to(self.device).float() / self.counts_per_g
        values_BV: NDArray[np.float32] = self.output.network(x_BCT).flatten(1).cpu().numpy()
        return values_BV

    def _write(self, group: Group, tables: list[pa.Table]) -> None:
        rows = pa.concat_tables(tables) if tables else self.output.columns.empty_table()
        with_retry(partial(self.out.write, group.file, self.output.encode(rows)))


@dataclass(frozen=True)
class Done:
    """What a run has done: the table's files and days, and the windows that this process went through.

    `problem` names the days that this process could not read, and those that are missing with them.
    """

    out: Folder
    files: tuple[str, ...]
    days: int
    windows: int
    problem: str = ""

    def require_readable(self) -> None:
        """Raise UserError if days could not be read: once everything else is written."""
        if self.problem:
            raise UserError(self.problem)

    def __str__(self) -> str:
        return f"{self.out.url}: {self.days:,} person-days in {len(self.files):,} files, {self.windows:,} windows"


def infer(
    make: Callable[[Store], Output],
    store_url: str,
    out_url: str,
    processes: Processes,
    title: str,
    prepared: Callable[[], None] = lambda: None,
) -> Done:
    """Make the table that `make` returns for the opened store. All processes of a run have to call this.

    `prepared` is called by the first process when the folder holds no days of people who have withdrawn any more, and
    before anything is written. Raises UserError for what a user can fix, but for days that cannot be read: see `Done`.
    """
    from pipeline.store.store import Store

    with processes.all_or_none():
        store, out = Store.open(store_url), Folder(out_url)
        output = make(store)
        groups, there = processes.from_first(lambda: _plan_and_prepare(store, out, output, prepared))
    todo = [group for group in groups if group.file not in there][processes.rank :: processes.world_size]
    days = sum(len(group.members) for group in todo)
    began = time.monotonic()
    output.network.to(processes.device).eval()
    with store.days as reader, Progress(title, days, "days") if processes.first else nullcontext() as progress:
        inference = Inference(output, reader, store.attributes.counts_per_g, out)

        def report(done: int, windows: int) -> None:
            if progress is not None:
                progress.update(done, f"{windows / (time.monotonic() - began):,.0f} windows/s")

        inference.run(todo, report)
    all_days = sum(len(group.members) for group in groups)
    problem = _problem(store.folder.url, inference.unreadable, todo) if inference.unreadable else ""
    return Done(out, tuple(group.file for group in groups), all_days, inference.windows, problem)


def _problem(store_url: str, unreadable: list[int], groups: list[Group]) -> str:
    """Return a message that names days that cannot be read, and the days of these groups that are missing with them."""
    slots = [[member.slot for member in group.members] for group in groups]
    missing = [own for own in slots if not set(own).isdisjoint(unreadable)]
    ranges = [f"{own[0]} to {own[-1]}" if len(own) > 1 else f"{own[0]}" for own in missing]
    return (
        f"{store_url}: {len(unreadable)} person-days cannot be read (slots {_listed(unreadable)}), so the files they "
        f"belong to are missing, with {sum(map(len, missing))} person-days (slots {_listed(ranges)}); all others are "
        "written. Run `persondays verify --repair`, then the same command again."
    )


def _listed(values: Sequence[object]) -> str:
    return ", ".join([*map(str, values[:SHOWN]), *["..."][: len(values) > SHOWN]])


def _plan_and_prepare(
    store: Store, out: Folder, output: Output, prepared: Callable[[], None]
) -> tuple[list[Group], frozenset[str]]:
    groups = plan(store, output.days_per_file)
    there = prepare(out, output, groups)
    prepared()
    if not groups:
        raise UserError(
            f"{store.folder.url}: expected person-days of participants who have not withdrawn, found none. What was "
            f"made of the days of others is deleted from {out.url}."
        )
    return groups, there
