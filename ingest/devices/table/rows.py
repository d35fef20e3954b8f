"""The rows of a table, text or Parquet, read in batches with pyarrow.

A row of another width, or with a cell that is not a number, is damaged: it is left out and counted. pyarrow stops at
the first such row, so the rest of the table is then read as text, which is checked before it is converted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from ingest.devices.table.actigraph_export import is_export
from ingest.devices.table.columns import Columns
from ingest.devices.table.layout import ANY_BYTES, HAS_THOUSANDS, THOUSANDS, Layout
from ingest.devices.table.plain_text import single_spaces
from ingest.devices.table.sensors import NamedRows
from ingest.devices.table.stamp_forms import is_native
from ingest.devices.table.text_times import NO_TIME, parse_times
from pipeline.errors import UserError

BLOCK_BYTES = 1 << 22
BATCH_ROWS = 1 << 17
FIRST_ROWS = 150
ALL = "*"
"""The value of --where-column that means all rows."""

MAX_BAD = 1000
_SECOND_TABLE = (
    "the table is followed by another one, with lines of its own above its rows: other columns, or rows without "
    "stamps. Write a file for each."
)
_VALUE = r"^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$"


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
    def damaged(self) -> int:
        """Rows that could not be read, among those that `rows` has passed."""
        ...

    @property
    def columns(self) -> Columns:
        """The columns to read."""
        ...

    @property
    def is_untimed(self) -> bool:
        """Whether it has no column of time."""
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
    _is_second_export: bool = field(default=False, init=False)

    @property
    def zone(self) -> str:
        """The zone of the first stamp."""
        return self.layout.zone

    @property
    def columns(self) -> Columns:
        """The columns to read."""
        return self.layout.columns

    @property
    def is_untimed(self) -> bool:
        """Whether it has no column of time."""
        return self.columns.time is None

    def rows(self) -> Iterator[Rows]:
        """Yield all rows."""
        self.damaged = 0
        columns, names = self.layout.columns, self.layout.names
        named = NamedRows({place: names[place] for place in columns.kinds})
        for batch in self._batches():
            batch = _chosen(batch, columns)
            if batch.num_rows:
                named.add(batch)
                yield _rows(batch, columns, self.layout.form, self.layout.date)

    def others(self) -> Iterator[pa.RecordBatch]:
        """Yield the other columns as text, under their names or numbers from 1."""
        names = self.layout.names or [f"{place + 1}" for place in range(self.layout.width)]
        used = {*self.columns.places, self.layout.date}
        places = [place for place in range(self.layout.width) if place not in used]
        if not places:
            return
        for batch in self._reader({f"{place}": pa.string() for place in places}, ANY_BYTES, lambda _: "skip"):
            yield pa.record_batch(batch.columns, [names[place] for place in places])

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
                if self._is_second_export:
                    raise UserError(_SECOND_TABLE) from None
                if number >= read:
                    yield self._checked(batch, types)

    def _types(self) -> dict[str, pa.DataType]:
        layout = self.layout
        columns = layout.columns
        types = {f"{place}": pa.float32() for place in columns.axes}
        if columns.time is not None:
            is_read = layout.date is None and is_native(layout.form) and layout.decimal == "."
            instants = pa.timestamp("ns", "UTC" if layout.zone else None)
            types[f"{columns.time}"] = pa.float64() if not layout.form else instants if is_read else pa.string()
        texts = [*columns.kinds, *([] if layout.date is None else [layout.date])]
        texts += [columns.where[0]] if columns.where else []
        return types | {f"{place}": pa.string() for place in texts if f"{place}" not in types}

    def _reader(self, types: dict[str, pa.DataType], encoding: str, on_bad_row: Any) -> pa.csv.CSVStreamingReader:
        self.source.seek(0)
        layout = self.layout
        source = single_spaces(self.source) if layout.delimiter == " " else self.source
        names = [f"{place}" for place in range(layout.width)]
        return pa.csv.open_csv(
            source,
            pa.csv.ReadOptions(block_size=BLOCK_BYTES, skip_rows=layout.skip, column_names=names, encoding=encoding),
            pa.csv.ParseOptions(delimiter=layout.delimiter, invalid_row_handler=on_bad_row),
            pa.csv.ConvertOptions(
                column_types=types,
                include_columns=[*types],
                decimal_point=layout.decimal,
                strings_can_be_null=True,
            ),
        )

    def _skip_row(self, row: Any) -> str:
        self.damaged += 1
        has_start = self.layout.export is not None and is_export(row.text.encode())
        self._is_second_export |= has_start and self.columns.time is None
        return "skip"

    def _checked(self, batch: pa.RecordBatch, types: dict[str, pa.DataType]) -> pa.RecordBatch:
        """Convert columns of text: null where a cell is no number. Rows with such a value are counted, stamps later."""
        columns = {}
        damaged_N = np.zeros(batch.num_rows, dtype=np.bool_)
        for name, kind in types.items():
            text = columns[name] = batch[name]
            if not pa.types.is_floating(kind):
                continue
            if self.layout.decimal != ".":
                text = pc.replace_substring(text, self.layout.decimal, ".")
            good = pc.fill_null(pc.match_substring_regex(text, _VALUE), False)
            if kind == pa.float32():
                bad = pc.and_(pc.invert(good), pc.is_valid(text))
                self._refuse(batch[name].filter(bad), int(name))
                damaged_N |= bad.to_numpy(zero_copy_only=False)
            columns[name] = pc.cast(pc.if_else(good, pc.utf8_trim_whitespace(text), None), kind)
        self.damaged += int(damaged_N.sum())
        return pa.record_batch([*columns.values()], [*columns])

    def _refuse(self, text: pa.Array, place: int) -> None:
        """Raise UserError where values that are no numbers have marks of thousands, or are names of another table."""
        if pc.any(pc.match_substring_regex(text, THOUSANDS)).as_py():
            raise UserError(HAS_THOUSANDS)
        names = self.layout.names
        again = {*text[:MAX_BAD].to_pylist()} & {*names}
        if names and again and (self.columns.time is None or again != {names[place]}):
            raise UserError(_SECOND_TABLE)


@dataclass
class ParquetTable:
    """A Parquet table; `groups` are the row groups to read (None: all), `form` and `text_zone` of stamps as text."""

    file: pa.parquet.ParquetFile
    columns: Columns
    form: str = ""
    text_zone: str = ""
    groups: list[int] | None = None
    damaged: int = field(default=0, init=False)

    @property
    def zone(self) -> str:
        """The zone of the column's type, or of the first stamp."""
        if self.form or self.columns.time is None:
            return self.text_zone
        return getattr(self.file.schema_arrow.field(self.columns.time).type, "tz", None) or ""

    @property
    def is_untimed(self) -> bool:
        """Whether it has no column of time."""
        return self.columns.time is None

    def rows(self) -> Iterator[Rows]:
        """Yield all rows of the groups."""
        columns, names = self.columns, self.file.schema_arrow.names
        named = NamedRows({place: names[place] for place in columns.kinds})
        where = [columns.where[0]] if columns.where else []
        places = [*dict.fromkeys([*columns.places, *where, *columns.kinds])]
        for batch in self._batches(places, BATCH_ROWS):
            batch = _chosen(batch, columns)
            if batch.num_rows:
                named.add(_as_text(batch, columns.kinds))
                yield _rows(batch, columns, self.form)

    def others(self) -> Iterator[pa.RecordBatch]:
        """Yield the other columns of text or integers as text, under their names."""
        kinds = [field.type for field in self.file.schema_arrow]
        others = [
            place
            for place, kind in enumerate(kinds)
            if place not in self.columns.places and (is_text(kind) or pa.types.is_integer(kind))
        ]
        names = [self.file.schema_arrow.names[place] for place in others]
        for batch in self._batches(others, BATCH_ROWS) if others else ():
            yield pa.record_batch(_as_text(batch, others).columns, names)

    def first_texts(self, place: int) -> list[str]:
        """Return the first values of a column as text."""
        batch = next(self._batches([place], FIRST_ROWS), None)
        return [] if batch is None else [value for value in _as_text(batch, [place])[0].to_pylist() if value]

    def _batches(self, places: list[int], rows: int) -> Iterator[pa.RecordBatch]:
        names = self.file.schema_arrow.names
        for batch in self.file.iter_batches(rows, self.groups, [names[place] for place in places]):
            columns = [batch[names[place]] for place in places]
            yield pa.record_batch(columns, [f"{place}" for place in places])


def is_text(kind: pa.DataType) -> bool:
    """Return whether a column holds text."""
    is_dictionary = pa.types.is_dictionary(kind) and is_text(kind.value_type)
    return bool(is_dictionary or pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _as_text(batch: pa.RecordBatch, places: Sequence[int]) -> pa.RecordBatch:
    return pa.record_batch([pc.cast(batch[f"{place}"], pa.string()) for place in places], [f"{p}" for p in places])


def _chosen(batch: pa.RecordBatch, columns: Columns) -> pa.RecordBatch:
    """Keep the rows in which a column has the value that the user names."""
    if not columns.where or columns.where[1] == ALL:
        return batch
    place, value = columns.where
    return batch.filter(pc.fill_null(pc.equal(pc.cast(batch[f"{place}"], pa.string()), value), False))


def _rows(batch: pa.RecordBatch, columns: Columns, form: str, date: int | None = None) -> Rows:
    axes = [pc.cast(batch[f"{place}"], pa.float32(), safe=False) for place in columns.axes]
    x_CN = np.stack([axis.to_numpy(zero_copy_only=False) for axis in axes])
    if columns.time is None:
        return Rows(None, x_CN)
    time = batch[f"{columns.time}"]
    if date is not None:
        time = pc.binary_join_element_wise(batch[f"{date}"], time, " ")
    return Rows(_stamps(time, form), x_CN)


def _stamps(time: pa.Array, form: str) -> NDArray[Any]:
    kind = time.type
    if pa.types.is_date(kind):
        time, kind = pc.cast(time, pa.timestamp("ms"), safe=False), pa.timestamp("ms")
    if pa.types.is_timestamp(kind):
        return _nanoseconds(time)
    if form:
        return parse_times(time, form)
    return np.asarray(pc.cast(time, pa.float64(), safe=False).to_numpy(zero_copy_only=False))


def _nanoseconds(time: pa.Array) -> NDArray[np.int64]:
    """Convert instants; those that nanoseconds cannot hold are missing."""
    per_unit = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1000, "ns": 1}[time.type.unit]
    count_N = np.asarray(pc.fill_null(time.cast(pa.int64()), NO_TIME).to_numpy(zero_copy_only=False))
    is_held_N = np.abs(count_N.astype(np.float64)) * per_unit < np.iinfo(np.int64).max
    return np.where(is_held_N, count_N, 0) * per_unit + np.where(is_held_N, 0, NO_TIME)
