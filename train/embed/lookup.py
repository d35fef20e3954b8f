"""Looking up the rows of single person-days in a table of features that may be larger than memory.

Opening a table reads the footers of its files: how long its vectors are, what `persondays embed` made it from, and by
what it is known again. Groups of rows are read when a day needs them, and the last ones are kept.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.grid import SECONDS_PER_DAY
from pipeline.settings import fingerprint
from pipeline.storage.folder import Folder
from train.embed.table import Vectors, facts_in, integers, list_files, open_file, read_group

KEPT_BYTES = 1 << 30
"""Groups of rows are kept in memory up to this size, and the last one in any case."""
FOOTER_END = 8
"""Bytes at the end of a Parquet file: the length of its footer, and a magic number."""


@dataclass(frozen=True)
class File:
    """A file of a table, with its footer."""

    folder: Folder
    name: str
    footer: pq.FileMetaData

    @property
    def where(self) -> str:
        """What messages call it."""
        return f"{self.folder.url}/{self.name}"


class DayRows(NamedTuple):
    """Which groups of which file hold the rows of a day."""

    file: int
    groups: tuple[int, ...]


class IndexedDay(NamedTuple):
    """A day that has rows: its slot, keyed participant if the table has it, start seconds ascending, each once."""

    slot: int
    participant: str | None
    start_N: NDArray[np.int64]


class Lookup:
    """The rows of a table by slot. Threads may share it, once `index` has been read to its end.

    `features` is the length of the vectors, `facts` what the metadata of an `embed` say, None for other programs'
    tables. `digest` is that of the facts, so that `embed` may add days to a table, or delete those of people who have
    withdrawn; for other tables it is that of all footers. Raises UserError if vectors differ in length, or files were
    made in different ways.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        digest = sha256()
        self._files: list[File] = []
        for folder, name in list_files(url):
            with folder.translate_errors(), folder.fs.open(folder.at(name), "rb") as opened:
                self._files.append(File(folder, name, open_file(opened, f"{folder.url}/{name}").metadata))
                opened.seek(-FOOTER_END, 2)
                size = int.from_bytes(opened.read(4), "little")
                opened.seek(-FOOTER_END - size, 2)
                digest.update(f"{name}\n{size}\n".encode() + opened.read(size))
        self.features = self._length()
        self.facts: dict[str, Any] | None = self._facts()
        self.digest = fingerprint(self.facts) if self.facts else digest.hexdigest()[:16]
        self._days: dict[int, DayRows] = {}
        self._kept: dict[tuple[int, int], Vectors] = {}
        self._lock = threading.Lock()

    def _length(self) -> int:
        lengths = {length for file in self._files for length in _lengths(file.footer)}
        if len(lengths) != 1 or not all(length.is_integer() for length in lengths):
            found = "others" if lengths else "no rows"
            raise UserError(f"{self.url}: expected vectors of one length in every row, found {found}.")
        return int(lengths.pop())

    def _facts(self) -> dict[str, Any] | None:
        first, *others = [facts_in(file.footer) for file in self._files]
        if any(other != first for other in others):
            raise UserError(f"{self.url}: expected files of one table of features, found several tables.")
        return first

    def index(self) -> Iterator[IndexedDay]:
        """Yield the days that have rows, without reading vectors.

        Raises UserError if the rows of a day are in several files, or for a start outside the day.
        """
        for number, file in enumerate(self._files):
            with file.folder.translate_errors(), file.folder.fs.open(file.folder.at(file.name), "rb") as opened:
                columns = ["slot", "start_second", *(["participant"] if self.facts else [])]
                rows = open_file(opened, file.where).read(columns, use_threads=False)
            slot_N, start_N = (integers(rows[name], np.int64) for name in ("slot", "start_second"))
            if start_N.size and not (start_N.min() >= 0 and start_N.max() < SECONDS_PER_DAY):
                raise UserError(f"{file.where}: expected start seconds of 0 to {SECONDS_PER_DAY - 1}, found others.")
            ends = np.cumsum([file.footer.row_group(group).num_rows for group in range(file.footer.num_row_groups)])
            order = np.argsort(slot_N, kind="stable")
            slots, first = np.unique(slot_N[order], return_index=True)
            for slot, rows_N in zip(slots.tolist(), np.split(order, first[1:]), strict=True):
                if slot in self._days:
                    raise UserError(
                        f"{self.url}: expected all rows of a person-day in one file, found those of slot {slot} in two."
                    )
                groups = np.unique(np.searchsorted(ends, rows_N, side="right"))
                self._days[slot] = DayRows(number, tuple(groups.tolist()))
                person = rows["participant"][int(rows_N[0])].as_py() if self.facts else None
                yield IndexedDay(slot, person, np.unique(start_N[rows_N]))

    def starts(self, slot: int) -> NDArray[np.int64]:
        """Return the start seconds of a day's rows, ascending, each once."""
        return np.unique(np.concatenate([group.start_N[group.slot_N == slot] for group in self._groups(slot)]))

    def vectors(self, slot: int, start_W: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the vectors of rows of a day (W, features), by their start seconds, which the day must have."""
        groups = self._groups(slot)
        rows = [np.flatnonzero(group.slot_N == slot) for group in groups]
        start_N = np.concatenate([group.start_N[own] for group, own in zip(groups, rows, strict=True)])
        group_N = np.repeat(np.arange(len(groups)), [own.size for own in rows])
        found, first = np.unique(start_N, return_index=True)
        chosen_W = first[np.searchsorted(found, start_W)]
        vector_WF = np.empty((start_W.size, self.features), np.float32)
        for number, group in enumerate(groups):
            mine = group_N[chosen_W] == number
            vector_WF[mine] = group.vector_NF[np.concatenate(rows)[chosen_W[mine]]]
        return vector_WF

    def _groups(self, slot: int) -> list[Vectors]:
        day = self._days[slot]
        return [self._group(day.file, group) for group in day.groups]

    def _group(self, number: int, group: int) -> Vectors:
        """Return a group of rows, from memory if it is among the last ones."""
        with self._lock:
            found = self._kept.pop((number, group), None)
            if found is not None:
                self._kept[number, group] = found
                return found
        file = self._files[number]
        with file.folder.translate_errors(), file.folder.fs.open(file.folder.at(file.name), "rb") as opened:
            found = read_group(pq.ParquetFile(opened, metadata=file.footer), group, file.where)
        with self._lock:
            self._kept[number, group] = found
            while len(self._kept) > 1 and sum(each.vector_NF.nbytes for each in self._kept.values()) > KEPT_BYTES:
                del self._kept[next(iter(self._kept))]
        return found


def _lengths(footer: pq.FileMetaData) -> Iterator[float]:
    """Yield the mean length of the vectors of each group of rows."""
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        columns = (group.column(index) for index in range(group.num_columns))
        values = next(column.num_values for column in columns if column.path_in_schema.split(".")[0] == "vector")
        if group.num_rows:
            yield values / group.num_rows
