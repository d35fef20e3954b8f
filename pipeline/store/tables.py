"""The store's tables, in Delta Lake: transactional on a folder and on object storage, and able to forget.

Commits are fenced: a handle that has not seen the newest epoch of the lease is refused (setting a table
property conflicts with every commit prepared before it).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from copy import copy
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipeline.errors import UserError
from pipeline.identity import SHORT_ID
from pipeline.storage.folder import Folder, StorageError, StorageUnavailable
from pipeline.storage.retry import with_retry
from pipeline.store.layout import table_folder
from pipeline.store.schemas import SCHEMAS, with_statistics

if TYPE_CHECKING:
    from deltalake import CommitProperties, DeltaTable
    from deltalake.writer import WriterProperties

EPOCH = "persondays.epoch"
WHOLE_ID = re.compile("[0-9a-f]{64}")
TRIED_AGAIN = "retries, max_retries"
"""In messages of Delta Lake's object storage, which tries again what may pass and nothing else."""


def of_participants(people: Collection[str]) -> str:
    """The SQL condition that a row is one of these people's; unknown where it has no participant."""
    return f"participant in ({', '.join(repr(person) for person in sorted(people))})" if people else "false"


class Table:
    """One Delta table of a store. Reading sees the version of the last `refresh`; a writer's commits refresh it."""

    def __init__(self, store: Folder, name: str) -> None:
        self.name, self.schema = name, SCHEMAS[name]
        self.folder = store.folder(table_folder(name))
        self._delta: DeltaTable | None = None
        self._epoch: int | None = None

    @property
    def delta(self) -> DeltaTable:
        """The opened table; raises UserError where there is none."""
        if self._delta is None:
            from deltalake import DeltaTable
            from deltalake.exceptions import TableNotFoundError

            with self._explained("opened"):
                try:
                    self._delta = DeltaTable(self.folder.url, storage_options=self.folder.delta_options())
                except (TableNotFoundError, FileNotFoundError):
                    raise UserError(
                        f"{self.folder.url}: expected a Delta table, found none. The store is not whole: make it anew."
                    ) from None
            there = {field.name for field in self._delta.schema().fields}
            if missing := sorted(set(self.schema.names) - there):
                raise UserError(
                    f"{self.folder.url}: expected a column {missing[0]}, found none: an earlier release made this "
                    "store. Ingest anew, into another store."
                )
        return self._delta

    def create(self) -> None:
        """Make the empty table; one that is there already is kept."""
        from deltalake import DeltaTable

        if self.folder.is_local:
            from pathlib import Path

            Path(self.folder.path).mkdir(parents=True, exist_ok=True)
        with self._explained("made"):
            self._delta = DeltaTable.create(
                self.folder.url,
                self.schema,
                mode="ignore",
                configuration={"delta.dataSkippingStatsColumns": ",".join(with_statistics(self.schema))},
                storage_options=self.folder.delta_options(),
            )

    @property
    def version(self) -> int:
        """The version that is read."""
        return self.delta.version()

    def refresh(self) -> None:
        """See what others have committed; a fenced writer is refused as soon as it sees another epoch."""
        with self._explained("read"):
            self.delta.update_incremental()
        self._require_epoch()

    def _require_epoch(self) -> None:
        if self._epoch is not None and self._epoch_written() != self._epoch:
            raise UserError(
                f"{self.folder.url}: another run has taken this store over (epoch {self._epoch_written()}, ours was "
                f"{self._epoch}). Our commits are refused from here on; nothing this run has not committed counts."
            )

    def _epoch_written(self) -> int:
        return int(self.delta.metadata().configuration.get(EPOCH, 0))

    def at(self, version: int) -> Table:
        """The table as it was at a version; raises UserError where that version is gone."""
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        past = copy(self)
        with self._explained("opened"):
            try:
                past._delta = DeltaTable(self.folder.url, version, storage_options=self.folder.delta_options())
            except DeltaError:
                raise UserError(
                    f"{self.folder.url}: version {version} is not there any more (newest: {self.version}). People were "
                    "withdrawn since, or the store was made anew: start a new run."
                ) from None
        return past

    def read(self, columns: list[str] | None = None) -> pa.Table:
        """All rows, in no order."""
        with self._explained("read"):
            return self._select(f"select {', '.join(columns or self.schema.names)} from {self.name}")

    def rows_of_participants(self, people: Collection[str], columns: list[str]) -> pa.Table:
        """The rows of these people."""
        return self.rows_where(of_participants(people), columns)

    def rows_where(self, condition: str, columns: list[str]) -> pa.Table:
        """The rows that an SQL condition of our own selects; no error quotes it, as it may list people."""
        with self._explained("read"):
            return self._select(f"select {', '.join(columns)} from {self.name} where {condition}")

    def query(self, where: str, columns: list[str]) -> pa.Table:
        """The person-days that a user's SQL condition over the table's columns and `wear_hours` selects.

        Raises UserError with the engine's explanation when that cannot be run, StorageError where no row can be read.
        """
        source = f"(select *, wear_seconds / 3600.0 as wear_hours from {self.name})"
        try:
            return self._select(f"select {', '.join(columns)} from {source} where {where}")
        except Exception as error:
            if not (_is_fault(error) or isinstance(error, ValueError)):
                raise
            self.read()  # raises where it is the storage that fails
            known = ", ".join([*self.schema.names, "wear_hours"])
            raise UserError(f"--where {where!r} cannot be run: {_line(error)}. Columns: {known}.") from None

    def _select(self, statement: str) -> pa.Table:
        """Run SQL by the engine inside deltalake (pyarrow's own reader can abort a process that ends early)."""
        from deltalake import QueryBuilder

        rows = QueryBuilder().register(self.name, self.delta).execute(statement).read_all()
        found = pa.RecordBatchReader.from_stream(rows).read_all()  # pa.table() would import pandas: 0.5 s
        ours = {field.name: field for field in self.schema}
        return found.cast(pa.schema([ours.get(field.name, field) for field in found.schema]))

    def fence(self, epoch: int) -> None:
        """Write the lease's epoch into the table: every commit of an older epoch will be refused.

        Raises UserError when a newer epoch stands there already.
        """
        self._epoch = None
        self.refresh()
        if self._epoch_written() > epoch:
            raise UserError(
                f"{self.folder.url}: another run has taken this store over (epoch {self._epoch_written()}, ours is "
                f"{epoch}): this one is refused."
            )
        self._commit(lambda: self.delta.alter.set_table_properties({EPOCH: str(epoch)}, raise_if_not_exists=False))
        self._epoch = epoch
        self._require_epoch()

    def append(self, rows: list[dict[str, Any]]) -> None:
        """Add rows in one commit."""
        if rows:
            self._write(lambda: pa.Table.from_pylist(rows, self.schema), mode="append")

    def replace(self, recordings: list[str], rows: list[dict[str, Any]]) -> None:
        """Swap all rows of these recordings for `rows` (of the same recordings) in one commit."""
        if recordings:
            listed = ", ".join(f"'{name}'" for name in recordings)
            where = f"recording in ({listed})"
            self._write(lambda: pa.Table.from_pylist(rows, self.schema), mode="overwrite", predicate=where)

    def delete_participants(self, people: Collection[str]) -> None:
        """Commit all rows of these people away; older versions still hold them.

        The rows of all others are written anew, which takes no predicate: the log would keep it, ids and all.
        """
        from deltalake import QueryBuilder

        if self.rows_of_participants(people, ["participant"]).num_rows:
            others = f"select * from {self.name} where participant is null or not {of_participants(people)}"
            self._write(lambda: QueryBuilder().register(self.name, self.delta).execute(others), mode="overwrite")

    def drop_history(self) -> frozenset[str]:
        """Make the table readable without its past; gives the files below its folder that it needs from now on.

        What else is there may be deleted, the log first: then a version that has lost files is no version.
        """
        self.fence(self._epoch_written())  # the commit that stays in the log: it tells nothing about rows
        self._commit(self.delta.create_checkpoint)
        version = f"_delta_log/{self.version:020d}"
        data = self.delta.get_add_actions(flatten=True)["path"].to_pylist()
        return frozenset({*data, f"{version}.json", f"{version}.checkpoint.parquet", "_delta_log/_last_checkpoint"})

    def compact(self) -> None:
        """Join the small files of many commits into few; older versions stay readable."""
        self.refresh()
        if len(self.delta.file_uris()) > 1:
            how: Any = {"writer_properties": self._writer(), "commit_properties": self._no_retry()}
            self._commit(lambda: self.delta.optimize.compact(**how))

    def _writer(self) -> WriterProperties:
        from deltalake.writer import ColumnProperties, WriterProperties

        quiet = ColumnProperties(statistics_enabled="NONE")
        ids = [name for name in self.schema.names if name not in with_statistics(self.schema)]
        return WriterProperties(compression="ZSTD", column_properties=dict.fromkeys(ids, quiet))

    def _write(self, rows: Callable[[], Any], **how: Any) -> None:
        from deltalake import write_deltalake

        how |= {"writer_properties": self._writer(), "commit_properties": self._no_retry()}
        self._commit(lambda: write_deltalake(self.delta, rows(), **how))

    def _commit(self, write: Callable[[], object]) -> None:
        """Commit once, and see it afterwards; a fenced writer waits for storage that is away.

        Whether a commit whose answer was lost took place, the version tells: under our epoch nobody else writes.
        """
        from deltalake.exceptions import CommitFailedError

        self._require_epoch()
        is_fenced, before, is_begun = self._epoch is not None, self.version, False

        def commit() -> None:
            nonlocal is_begun
            if is_begun:
                self.refresh()
            if self.version == before:
                is_begun = True
                with self._explained("written"):
                    write()
            self.refresh()

        try:
            with_retry(commit) if is_fenced else commit()
        except CommitFailedError as error:
            self.refresh()
            if not is_fenced or self.version != before + 1:
                raise UserError(
                    f"{self.folder.url}: the commit was refused because another run has written this table "
                    f"({_line(error)}). This run stops; nothing it has not committed counts."
                ) from None
        except StorageError:
            with suppress(StorageError):
                self.refresh()  # a table that was taken over, and its past deleted, fails in many ways
            raise

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        """Tell storage that does not answer as StorageUnavailable, and one that refuses as StorageError."""
        try:
            yield
        except Exception as error:
            if not _is_fault(error):
                raise
            text = _line(error)
            if TRIED_AGAIN in text:
                raise StorageUnavailable(f"{self.folder.url}: the storage does not answer ({text}).") from None
            raise StorageError(
                f"{self.folder.url}: the table cannot be {what} ({text}). Nothing half-written is taken for whole: "
                "mend the storage and run the same command again."
            ) from error

    @staticmethod
    def _no_retry() -> CommitProperties:
        from deltalake import CommitProperties

        return CommitProperties(max_commit_retries=0)


def _is_fault(error: Exception) -> bool:
    """Whether Delta Lake failed for none of its own reasons (a conflict, another schema); its engine gives no kind."""
    from deltalake.exceptions import DeltaError

    return type(error) in (Exception, DeltaError) or isinstance(error, OSError)


def _line(error: Exception) -> str:
    """A message of Delta Lake in one line, without colours, ids by their first digits."""
    text = re.sub(r"\s*\x1b\[\d+m↳?|\s*\n\s*", " ", str(error)).strip()
    return WHOLE_ID.sub(lambda found: found[0][:SHORT_ID], text)
