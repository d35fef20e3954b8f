"""The store's tables, in Delta Lake: transactional on a folder and on object storage, and able to drop their history.

Commits are fenced: setting a table property to the lease's new epoch conflicts with every commit prepared before, and
a handle that sees another epoch than its own refuses to write.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, suppress
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipeline.errors import UserError
from pipeline.storage.folder import Folder, StorageError
from pipeline.storage.retry import with_retry
from pipeline.store.delta_errors import is_storage_failure, one_line, translate_delta_errors
from pipeline.store.layout import table_folder
from pipeline.store.schemas import SCHEMAS, with_statistics

if TYPE_CHECKING:
    from deltalake import CommitProperties, DeltaTable
    from deltalake.writer import WriterProperties

EPOCH = "persondays.epoch"
"""The table property that holds the epoch of the lease."""


def of_participants(participants: Collection[str]) -> str:
    """The SQL condition that a row belongs to one of these participants; NULL where a row has no participant."""
    ids = ", ".join(repr(participant) for participant in sorted(participants))
    return f"participant in ({ids})" if participants else "false"


class StoreTable:
    """One Delta table of a store. Reads see the version of the last `refresh`; a writer's commits refresh it."""

    def __init__(self, store: Folder, name: str) -> None:
        self.name, self.schema = name, SCHEMAS[name]
        self.folder = store.folder(table_folder(name))
        self._delta: DeltaTable | None = None
        self._epoch: int | None = None

    def _errors(self, what: str) -> AbstractContextManager[None]:
        return translate_delta_errors(self.folder.url, what)

    @property
    def delta(self) -> DeltaTable:
        """The opened table; raises UserError where there is none."""
        if self._delta is None:
            from deltalake import DeltaTable
            from deltalake.exceptions import TableNotFoundError

            with self._errors("opened"):
                try:
                    self._delta = DeltaTable(self.folder.url, storage_options=self.folder.delta_options())
                except (TableNotFoundError, FileNotFoundError):
                    raise UserError(
                        f"{self.folder.url}: expected a Delta table, found none. The store is incomplete: create it "
                        "again."
                    ) from None
            found = {field.name for field in self._delta.schema().fields}
            if missing := sorted(set(self.schema.names) - found):
                raise UserError(
                    f"{self.folder.url}: expected a column {missing[0]}, found none: an earlier release made this "
                    "store. Ingest into a new store."
                )
        return self._delta

    @property
    def exists(self) -> bool:
        """Whether there is such a table: a store may lack a derived one."""
        from deltalake import DeltaTable

        if self._delta is not None:
            return True
        with self._errors("opened"):
            return bool(DeltaTable.is_deltatable(self.folder.url, self.folder.delta_options()))

    def create(self) -> None:
        """Create the empty table; an existing one is kept."""
        from deltalake import DeltaTable

        if self.folder.is_local:
            Path(self.folder.path).mkdir(parents=True, exist_ok=True)
        with self._errors("created"):
            self._delta = DeltaTable.create(
                self.folder.url,
                self.schema,
                mode="ignore",
                configuration={"delta.dataSkippingStatsColumns": ",".join(with_statistics(self.schema))},
                storage_options=self.folder.delta_options(),
            )

    @property
    def version(self) -> int:
        """The version that reads see."""
        return self.delta.version()

    def refresh(self) -> None:
        """See what others have committed; a fenced writer that sees another epoch is refused."""
        with self._errors("read"):
            self.delta.update_incremental()
        self._require_epoch()

    def _require_epoch(self) -> None:
        if self._epoch is not None and self._stored_epoch() != self._epoch:
            raise UserError(
                f"{self.folder.url}: another run has taken over this store (epoch {self._stored_epoch()}, ours was "
                f"{self._epoch}). Further commits of this run are refused; only what it has committed counts."
            )

    def _stored_epoch(self) -> int:
        return int(self.delta.metadata().configuration.get(EPOCH, 0))

    def at(self, version: int) -> StoreTable:
        """The table at a version; raises UserError where that version is gone."""
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        past = copy(self)
        with self._errors("opened"):
            try:
                past._delta = DeltaTable(self.folder.url, version, storage_options=self.folder.delta_options())
            except DeltaError:
                raise UserError(
                    f"{self.folder.url}: version {version} no longer exists (newest: {self.version}). Participants "
                    "have withdrawn since, or the store was created again: start a new run."
                ) from None
        return past

    def read(self, columns: list[str] | None = None) -> pa.Table:
        """All rows, in no particular order."""
        with self._errors("read"):
            return self._select(f"select {', '.join(columns or self.schema.names)} from {self.name}")

    def rows_of_participants(self, participants: Collection[str], columns: list[str]) -> pa.Table:
        """The rows of these participants."""
        return self.rows_where(of_participants(participants), columns)

    def rows_where(self, condition: str, columns: list[str]) -> pa.Table:
        """The rows that an SQL condition of our own selects. No error quotes it, as it may list participants."""
        with self._errors("read"):
            return self._select(f"select {', '.join(columns)} from {self.name} where {condition}")

    def query(self, where: str, columns: list[str]) -> pa.Table:
        """The person-days that a user's SQL condition over the table's columns and `wear_hours` selects.

        Raises UserError with the engine's explanation when it cannot be run, StorageError where no row can be read.
        """
        source = f"(select *, wear_seconds / 3600.0 as wear_hours from {self.name})"
        try:
            return self._select(f"select {', '.join(columns)} from {source} where {where}")
        except Exception as error:
            if not (is_storage_failure(error) or isinstance(error, ValueError)):
                raise
            self.read()  # raises where the storage fails, not the condition
            known = ", ".join([*self.schema.names, "wear_hours"])
            reason = one_line(error).partition(" Valid fields are ")[0].rstrip(".")
            raise UserError(f"the condition {where!r} cannot be run ({reason}). Columns: {known}.") from None

    def _select(self, statement: str) -> pa.Table:
        """Run SQL by the engine inside deltalake (pyarrow's own reader can abort a process that ends early)."""
        from deltalake import QueryBuilder

        rows = QueryBuilder().register(self.name, self.delta).execute(statement).read_all()
        found = pa.RecordBatchReader.from_stream(rows).read_all()  # pa.table() would import pandas: 0.5 s
        ours = {field.name: field for field in self.schema}
        return found.cast(pa.schema([ours.get(field.name, field) for field in found.schema]))

    def fence(self, epoch: int) -> None:
        """Write the lease's epoch into the table, so that commits of older epochs are refused.

        Raises UserError when the table holds a newer epoch already.
        """
        self._epoch = None
        self.refresh()
        if self._stored_epoch() > epoch:
            raise UserError(
                f"{self.folder.url}: another run has taken over this store (epoch {self._stored_epoch()}, ours is "
                f"{epoch}): this run is refused."
            )
        self._commit(lambda: self.delta.alter.set_table_properties({EPOCH: str(epoch)}, raise_if_not_exists=False))
        self._epoch = epoch
        self._require_epoch()

    def append(self, rows: list[dict[str, Any]]) -> None:
        """Add rows in one commit."""
        if rows:
            self._write(lambda: pa.Table.from_pylist(rows, self.schema), mode="append")

    def overwrite(self, rows: pa.Table) -> None:
        """Replace all rows in one commit; older versions still hold the earlier ones."""
        self._write(lambda: rows.cast(self.schema), mode="overwrite")

    def replace(self, recordings: list[str], rows: list[dict[str, Any]]) -> None:
        """Replace all rows of these recordings by `rows` (of the same recordings) in one commit."""
        if recordings:
            listed = ", ".join(f"'{name}'" for name in recordings)
            where = f"recording in ({listed})"
            self._write(lambda: pa.Table.from_pylist(rows, self.schema), mode="overwrite", predicate=where)

    def delete_participants(self, participants: Collection[str]) -> None:
        """Delete all rows of these participants in one commit; older versions still hold them.

        It rewrites the rows of all others, which needs no predicate: the log would keep one, with the ids.
        """
        from deltalake import QueryBuilder

        if self.rows_of_participants(participants, ["participant"]).num_rows:
            others = f"select * from {self.name} where participant is null or not {of_participants(participants)}"
            self._write(lambda: QueryBuilder().register(self.name, self.delta).execute(others), mode="overwrite")

    def drop_history(self) -> frozenset[str]:
        """Make the table readable without its history; returns the files below its folder that it needs from now on.

        All others may be deleted, the log first: a version whose data are deleted must no longer exist in it.
        """
        self.fence(self._stored_epoch())  # the commit that stays in the log says nothing about rows
        self._commit(self.delta.create_checkpoint)
        version = f"_delta_log/{self.version:020d}"
        data = self.delta.get_add_actions(flatten=True)["path"].to_pylist()
        return frozenset({*data, f"{version}.json", f"{version}.checkpoint.parquet", "_delta_log/_last_checkpoint"})

    def compact(self) -> None:
        """Merge the small files of many commits into few; older versions stay readable."""
        self.refresh()
        if len(self.delta.file_uris()) > 1:
            how: Any = {"writer_properties": self._writer(), "commit_properties": self._no_retry()}
            self._commit(lambda: self.delta.optimize.compact(**how))

    def _writer(self) -> WriterProperties:
        from deltalake.writer import ColumnProperties, WriterProperties

        without = ColumnProperties(statistics_enabled="NONE")
        names = [name for name in self.schema.names if name not in with_statistics(self.schema)]
        return WriterProperties(compression="ZSTD", column_properties=dict.fromkeys(names, without))

    def _write(self, rows: Callable[[], Any], **how: Any) -> None:
        from deltalake import write_deltalake

        how |= {"writer_properties": self._writer(), "commit_properties": self._no_retry()}
        self._commit(lambda: write_deltalake(self.delta, rows(), **how))

    def _commit(self, write: Callable[[], object]) -> None:
        """Commit once and refresh; a fenced writer waits for storage that is unavailable.

        When an answer was lost, the version shows whether the commit took place: under our epoch nobody else writes.
        """
        from deltalake.exceptions import CommitFailedError

        self._require_epoch()
        is_fenced, before, is_tried = self._epoch is not None, self.version, False

        def commit() -> None:
            nonlocal is_tried
            if is_tried:
                self.refresh()
            if self.version == before:
                is_tried = True
                with self._errors("written"):
                    write()
            self.refresh()

        try:
            with_retry(commit) if is_fenced else commit()
        except CommitFailedError as error:
            self.refresh()
            if not is_fenced or self.version != before + 1:
                raise UserError(
                    f"{self.folder.url}: the commit was refused because another run has written this table "
                    f"({one_line(error)}). This run stops; only what it has committed counts."
                ) from None
        except StorageError:
            with suppress(StorageError):
                self.refresh()  # a table that was taken over, and its history deleted, fails in many ways
            raise

    @staticmethod
    def _no_retry() -> CommitProperties:
        from deltalake import CommitProperties

        return CommitProperties(max_commit_retries=0)
