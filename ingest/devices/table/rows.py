"""The rows of a table, text or Parquet, read in batches with pyarrow.

A row of another width, or with a cell that is not a number, is damaged: it is left out and counted. pyarrow stops at
the first such row, so the rest of the table is then read as text, which is checked before it is converted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from ingest.devices.table.layout import Columns, Layout

BLOCK_BYTES = 1 << 22
BATCH_ROWS = 1 << 17
ANY_BYTES = "latin-1"
"""An encoding in which every byte is valid."""
NO_TIME = np.iinfo(np.int64).min

_VALUE = r"^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$"
_TIME = (
    r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,9})?)?"
    r"(Z|[-+]\d\d(:?\d\d)?)?$"
)


@dataclass(frozen=True)
class Rows:
    """Consecutive rows. x_CN: float32 (3, N) in the table's unit, NaN where a row has no value.

    time_N: the stamps. Calendar times are int64 nanoseconds since 1970 (NO_TIME where missing), others float64 in an
    unknown unit (NaN where missing); None without a time column.
    """

    time_N: NDArray[Any] | None
    x_CN: NDArray[np.float32]


class RowSource(Protocol):
    """A table of either format."""

    @property
    def zone(self) -> str:
        """The time zone of calendar stamps; empty where they show the device's own clock."""
        ...

    @property
    def is_untimed(self) -> bool:
        """Whether it has no column of time."""
        ...

    @property
    def damaged(self) -> int:
        """Rows that could not be read, among those that `rows` has passed."""
        ...

    def rows(self) -> Iterator[Rows]:
        """Yield all rows from the beginning; raises pyarrow's ArrowInvalid or OSError where the file is damaged."""
        ...


@dataclass
class TextTable:
    """A text table in a seekable file."""

    source: Any
    layout: Layout
    damaged: int = field(default=0, init=False)

    @property
    def zone(self) -> str:
        """The zone of the first stamp."""
        return self.layout.zone

    @property
    def is_untimed(self) -> bool:
        """Whether it has no column of time."""
        return self.layout.columns.time is None

    def rows(self) -> Iterator[Rows]:
        """Yield all rows."""
        self.damaged = 0
        for batch in self._batches():
            batch = self._in_iso(_chosen(batch, self.layout.columns))
            if batch.num_rows:
                yield _rows(batch)

    def _batches(self) -> Iterator[pa.RecordBatch]:
        types = self._types()
        read = 0
        try:
            for batch in self._reader(types, self.layout.encoding, None):
                yield batch
                read += 1
        except pa.ArrowInvalid:
            texts = dict.fromkeys(types, pa.string())
            for number, batch in enumerate(self._reader(texts, ANY_BYTES, self._skip_row)):
                if number >= read:
                    columns = [self._checked(batch[name], kind) for name, kind in types.items()]
                    yield pa.record_batch(columns, [*types])

    def _in_iso(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Convert stamps of another form."""
        if not self.layout.to_iso and self.layout.date is None:
            return batch
        text = batch.column(0)
        if self.layout.date is not None:
            text = pc.binary_join_element_wise(batch.column(4), text, " ")
            batch = batch.select(range(4))
        for pattern, replacement in self.layout.to_iso:
            text = pc.replace_substring_regex(text, pattern, replacement.replace("\\g<1>", "\\1"))
        return pa.record_batch([self._checked(text, self._calendar), *batch.columns[1:]], batch.schema.names)

    @property
    def _calendar(self) -> pa.DataType:
        return pa.timestamp("ns", "UTC" if self.layout.zone else None)

    def _types(self) -> dict[str, pa.DataType]:
        types = {f"{place}": pa.float32() for place in self.layout.columns.places}
        if self.layout.columns.time is not None:
            is_converted = self.layout.to_iso or self.layout.date is not None
            text = pa.string() if is_converted else self._calendar
            types[f"{self.layout.columns.time}"] = text if self.layout.is_text_time else pa.float64()
        if self.layout.date is not None:
            types[f"{self.layout.date}"] = pa.string()
        if self.layout.columns.where:
            types[f"{self.layout.columns.where[0]}"] = pa.string()
        return types

    def _reader(self, types: dict[str, pa.DataType], encoding: str, on_bad_row: Any) -> pa.csv.CSVStreamingReader:
        self.source.seek(0)
        layout = self.layout
        names = [f"{place}" for place in range(layout.width)]
        return pa.csv.open_csv(
            self.source,
            pa.csv.ReadOptions(block_size=BLOCK_BYTES, skip_rows=layout.skip, column_names=names, encoding=encoding),
            pa.csv.ParseOptions(delimiter=layout.delimiter, invalid_row_handler=on_bad_row),
            pa.csv.ConvertOptions(
                column_types=types,
                include_columns=[*types],
                decimal_point=layout.decimal,
                strings_can_be_null=True,
            ),
        )

    def _skip_row(self, _row: Any) -> str:
        self.damaged += 1
        return "skip"

    def _checked(self, text: pa.Array, kind: pa.DataType) -> pa.Array:
        """Convert a column of text; null where a cell is invalid (stamps are counted later)."""
        if pa.types.is_string(kind):
            return text
        if self.layout.decimal != ".":
            text = pc.replace_substring(text, self.layout.decimal, ".")
        form = _TIME if pa.types.is_timestamp(kind) else _VALUE
        good = pc.fill_null(pc.match_substring_regex(text, form), False)
        if kind == pa.float32():
            self.damaged += int(pc.sum(pc.and_(pc.invert(good), pc.is_valid(text))).as_py() or 0)
        try:
            return pc.cast(pc.if_else(good, pc.utf8_trim_whitespace(text), None), kind)
        except pa.ArrowInvalid:
            return pa.nulls(len(text), kind)


@dataclass
class ParquetTable:
    """A Parquet table; `groups` are the row groups to read (None: all)."""

    file: pa.parquet.ParquetFile
    columns: Columns
    groups: list[int] | None = None
    damaged: int = field(default=0, init=False)

    @property
    def zone(self) -> str:
        """The zone of the column's type."""
        return "" if self.columns.time is None else getattr(self._types[self.columns.time], "tz", None) or ""

    @property
    def is_untimed(self) -> bool:
        """Whether it has no column of time."""
        return self.columns.time is None

    @property
    def _types(self) -> list[pa.DataType]:
        return [field.type for field in self.file.schema_arrow]

    def rows(self) -> Iterator[Rows]:
        """Yield all rows of the groups."""
        where = [self.columns.where[0]] if self.columns.where else []
        names = [self.file.schema_arrow.names[place] for place in [*self.columns.places, *where]]
        for batch in self.file.iter_batches(BATCH_ROWS, self.groups, names):
            batch = _chosen(batch.select(names), self.columns)
            if batch.num_rows:
                yield _rows(batch)


def _chosen(batch: pa.RecordBatch, columns: Columns) -> pa.RecordBatch:
    """Keep the rows in which the last column has the value that the user names, without that column."""
    if not columns.where:
        return batch
    is_chosen = pc.fill_null(pc.equal(pc.cast(batch.columns[-1], pa.string()), columns.where[1]), False)
    return batch.filter(is_chosen).select(range(batch.num_columns - 1))


def _rows(batch: pa.RecordBatch) -> Rows:
    *time, x, y, z = batch.columns
    x_CN = np.stack([pc.cast(axis, pa.float32(), safe=False).to_numpy(zero_copy_only=False) for axis in (x, y, z)])
    return Rows(_stamps(time[0]) if time else None, x_CN)


def _stamps(time: pa.Array) -> NDArray[Any]:
    if pa.types.is_timestamp(time.type) or pa.types.is_date(time.type):
        instants = pc.cast(time, pa.timestamp("ns", getattr(time.type, "tz", None)), safe=False)
        return np.asarray(instants.to_numpy(zero_copy_only=False)).astype("datetime64[ns]").astype(np.int64)
    return np.asarray(pc.cast(time, pa.float64(), safe=False).to_numpy(zero_copy_only=False))
