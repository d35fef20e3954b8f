"""The store's tables, in Delta Lake: transactional on a folder and on object storage, and able to forget.

Commits are fenced: a handle that has not seen the newest epoch of the lease is refused (setting a table
property conflicts with every commit prepared before it).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from copy import copy
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipeline.errors import UserError
from pipeline.schemas import SCHEMAS, with_statistics
from pipeline.storage import Folder, StorageError

if TYPE_CHECKING:
    from deltalake import CommitProperties, DeltaTable
    from deltalake.writer import WriterProperties

EPOCH = "persondays.epoch"


def of_people(people: Collection[str]) -> str:
    """The SQL condition that a row is one of these people's; unknown where it has no participant."""
    return f"participant in ({', '.join(repr(person) for person in sorted(people))})" if people else "false"


class Table:
    """One Delta table of a store. Reading sees the version of the last `refresh`; a writer's commits refresh it."""

    def __init__(self, store: Folder, name: str) -> None:
        self.name, self.schema = name, SCHEMAS[name]
        self.folder = store.folder(f"tables/{name}")
        self._delta: DeltaTable | None = None
        self._epoch: int | None = None

    @property
    def delta(self) -> DeltaTable:
        """The opened table; raises UserError where there is none."""
        if self._delta is None:
            from deltalake import DeltaTable
            from deltalake.exceptions import TableNotFoundError

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
        with self._commit():
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
        return self._select(f"select {', '.join(columns or self.schema.names)} from {self.name}")

    def rows_of(self, people: Collection[str], columns: list[str]) -> pa.Table:
        """The rows of these people."""
        return self._select(f"select {', '.join(columns)} from {self.name} where {of_people(people)}")

    def query(self, where: str, columns: list[str]) -> pa.Table:
        """The person-days that an SQL condition over the table's columns and `wear_hours` selects.

        Raises UserError with the engine's explanation when the condition cannot be run.
        """
        from deltalake.exceptions import DeltaError

        source = f"(select *, wear_seconds / 3600.0 as wear_hours from {self.name})"
        try:
            return self._select(f"select {', '.join(columns)} from {source} where {where}")
        except (DeltaError, ValueError, OSError) as error:
            known = ", ".join([*self.schema.names, "wear_hours"])
            raise UserError(f"--where {where!r} cannot be run: {error}. Columns: {known}.") from None

    def _select(self, statement: str) -> pa.Table:
        """Run SQL by the engine inside deltalake (pyarrow's own reader can abort a process that ends early)."""
        from deltalake import QueryBuilder

        found = pa.table(QueryBuilder().register(self.name, self.delta).execute(statement).read_all())
        ours = {field.name: field for field in self.schema}
        return found.cast(pa.schema([ours.get(field.name, field) for field in found.schema]))

    def fence(self, epoch: int) -> None:
        """Write the lease's epoch into the table: every commit of an older epoch will be refused.

        Raises UserError when a newer epoch stands there already.
        """
        self.delta.update_incremental()
        if self._epoch_written() > epoch:
            raise UserError(
                f"{self.folder.url}: another run has taken this store over (epoch {self._epoch_written()}, ours is "
                f"{epoch}): this one is refused."
            )
        self._epoch = None
        with self._commit():
            self.delta.alter.set_table_properties({EPOCH: str(epoch)}, raise_if_not_exists=False)
        self._epoch = epoch
        self._require_epoch()

    def append(self, rows: list[dict[str, Any]]) -> None:
        """Add rows in one commit."""
        if rows:
            self._write(rows, mode="append")

    def replace(self, recordings: list[str], rows: list[dict[str, Any]]) -> None:
        """Swap all rows of these recordings for `rows` (of the same recordings) in one commit."""
        if recordings:
            listed = ", ".join(f"'{name}'" for name in recordings)
            self._write(rows, mode="overwrite", predicate=f"recording in ({listed})")

    def forget(self, people: Collection[str]) -> None:
        """Commit all rows of these people away; older versions still hold them.

        The rows of all others are written anew, which takes no predicate: the log would keep it, ids and all.
        """
        from deltalake import QueryBuilder

        if self.rows_of(people, ["participant"]).num_rows:
            others = f"select * from {self.name} where participant is null or not {of_people(people)}"
            self._write_stream(QueryBuilder().register(self.name, self.delta).execute(others), mode="overwrite")

    def begin_anew(self) -> frozenset[str]:
        """Make the table readable without its past; gives the files below its folder that it needs from now on.

        What else is there may be deleted, the log first: then a version that has lost files is no version.
        """
        self.fence(self._epoch_written())  # the commit that stays in the log: it tells nothing about rows
        with self._commit():
            self.delta.create_checkpoint()
        version = f"_delta_log/{self.version:020d}"
        data = self.delta.get_add_actions(flatten=True)["path"].to_pylist()
        return frozenset({*data, f"{version}.json", f"{version}.checkpoint.parquet", "_delta_log/_last_checkpoint"})

    def compact(self) -> None:
        """Join the small files of many commits into few; older versions stay readable."""
        self.refresh()
        if len(self.delta.file_uris()) > 1:
            with self._commit():
                self.delta.optimize.compact(writer_properties=self._writer(), commit_properties=self._no_retry())

    def _writer(self) -> WriterProperties:
        from deltalake.writer import ColumnProperties, WriterProperties

        quiet = ColumnProperties(statistics_enabled="NONE")
        ids = [name for name in self.schema.names if name not in with_statistics(self.schema)]
        return WriterProperties(compression="ZSTD", column_properties=dict.fromkeys(ids, quiet))

    def _write(self, rows: list[dict[str, Any]], **how: Any) -> None:
        self._write_stream(pa.Table.from_pylist(rows, self.schema), **how)

    def _write_stream(self, rows: Any, **how: Any) -> None:
        from deltalake import write_deltalake

        with self._commit():
            write_deltalake(
                self.delta,
                rows,
                writer_properties=self._writer(),
                commit_properties=self._no_retry(),
                **how,
            )

    @contextmanager
    def _commit(self) -> Iterator[None]:
        """See one's own commit afterwards; a refused one, and storage that does not take it, are told as UserError."""
        from deltalake.exceptions import CommitFailedError, DeltaError

        self._require_epoch()
        try:
            yield
        except CommitFailedError as error:
            raise UserError(
                f"{self.folder.url}: the commit was refused because another run has written this table ({error}). "
                "This run stops; nothing it has not committed counts."
            ) from None
        except (DeltaError, OSError) as error:
            if isinstance(error, DeltaError) and type(error) is not DeltaError:  # a fault of ours: another schema
                raise
            with suppress(DeltaError, OSError):
                self.refresh()  # a table that was taken over, and its past deleted, fails in many ways
            raise StorageError(
                f"{self.folder.url}: the table cannot be written ({error}). Nothing half-written is taken for whole: "
                "mend the storage and run the same command again."
            ) from error
        self.refresh()

    @staticmethod
    def _no_retry() -> CommitProperties:
        from deltalake import CommitProperties

        return CommitProperties(max_commit_retries=0)
