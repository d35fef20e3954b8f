"""A table whose columns are known: what its stamps mean, its first and last rows."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet
from numpy.typing import NDArray

from ingest.devices.io.ends import Ends, is_near_median
from ingest.devices.joined import SERIAL
from ingest.devices.table.actigraph_export import ExportHeader
from ingest.devices.table.layout import Columns, find_columns, find_decimal, read_layout
from ingest.devices.table.row_times import NO_TIME_US, TableClock, by_rate, read_clock
from ingest.devices.table.rows import ParquetTable, Rows, RowSource, TextTable
from ingest.settings import TableSettings
from pipeline.errors import UserError

PARQUET = b"PAR1"
DEVICE = "table"
UTC = "UTC"
CHUNK = 1 << 20
TURN_ROWS, MIN_TURNS, MAX_SENSORS, SAME_TURNS = 5_000, 20, 4, 0.9
OTHER_VALUES, MIN_OTHER_G = 4.0, 0.1
"""Values of another sensor differ by so many times more than the next ones of the same."""
HOUR_US = 3_600_000_000
EMPTY = "expected a row that can be read, found none in the table. Leave it out, or export it again."


@dataclass(frozen=True)
class Opened:
    """A table whose columns are known."""

    table: TextTable | ParquetTable
    settings: TableSettings
    export: ExportHeader | None = None

    @property
    def rate_hz(self) -> float | None:
        """As the user or the export's header says."""
        return self.settings.rate_hz or (self.export.rate_hz if self.export else None)

    @property
    def kind(self) -> dict[str, Any]:
        """What tables of one recording have in common."""
        export = self.export
        return {
            "kinds of table": export.device if export else DEVICE,
            SERIAL: export.serial if export else "",
            "rates in Hz": export.rate_hz if export else None,
            "kinds of stamps": (
                "none" if self.table.is_untimed else "with a zone" if self.table.zone else "without a zone"
            ),
        }

    @property
    def set_to(self) -> Literal["utc"] | None:
        """The clock that the stamps show, where they state it."""
        return "utc" if self.table.zone == UTC else None

    def clock(self, first: Rows) -> TableClock:
        """Find what the stamps mean; raises UserError with a question where that is unclear."""
        if self.export and first.time_N is None:
            return by_rate(self.export.rate_hz, int(self.export.start.astype(np.int64)))
        if first.time_N is not None:
            _refuse_turns(first.time_N, first.x_CN)
            return read_clock(first.time_N, self._ahead_us(first.time_N), self.settings.rate_hz)
        if self.settings.rate_hz is None:
            raise UserError(
                "the table has no time column. How many rows are a second? State --rate HZ, or name a column: "
                "--columns time=NAME,x=NAME,y=NAME,z=NAME."
            )
        return by_rate(self.settings.rate_hz, None)

    def _ahead_us(self, time_N: NDArray[Any]) -> int:
        """Return the microseconds from stamps in UTC to the clock that the first of them shows."""
        if not self.table.zone or time_N.dtype != np.int64:
            return 0
        first = pa.scalar(int(time_N.max()), pa.timestamp("ns", self.table.zone))
        ahead = pc.local_timestamp(first).cast(pa.int64()).as_py() - first.cast(pa.int64()).as_py()
        return int(ahead) // 1000

    def first_rows(self, head: bytes) -> Rows:
        """Return the rows of the head, or the first batch of a Parquet table."""
        table: RowSource = self.table
        if isinstance(self.table, TextTable):
            complete = head[: head.rfind(b"\n") + 1] or head
            table = replace(self.table, source=pa.BufferReader(complete))
        first = next(table.rows(), None)
        if first is None:
            raise UserError(EMPTY)
        return first

    def last_rows(self, ends: Ends) -> Iterator[Rows]:
        """Yield the rows of the tail, or the last row group of a Parquet table."""
        if isinstance(self.table, ParquetTable):
            last = self.table.file.num_row_groups - 1
            return replace(self.table, groups=[last]).rows()
        if ends.size <= len(ends.head):
            return replace(self.table, source=pa.BufferReader(ends.head)).rows()
        tail = ends.tail[ends.tail.find(b"\n") + 1 : ends.tail.rfind(b"\n") + 1]
        layout = replace(self.table.layout, skip=0)
        return TextTable(pa.BufferReader(tail), layout).rows() if tail else iter(())

    def count(self, ends: Ends) -> int:
        """Return an upper bound of the rows."""
        if isinstance(self.table, ParquetTable):
            return int(self.table.file.metadata.num_rows)
        ends.file.seek(0)
        return sum(chunk.count(b"\n") for chunk in iter(lambda: ends.file.read(CHUNK), b"")) + 1


def open_table(source: Any, head: bytes, settings: TableSettings) -> Opened:
    """Find the columns of a table in a seekable file that begins with `head`."""
    if head.startswith(PARQUET):
        source.seek(0)
        file = pa.parquet.ParquetFile(io.BufferedReader(source) if isinstance(source, io.RawIOBase) else source)
        return Opened(ParquetTable(file, _columns_of(file.schema_arrow, settings)), settings)
    layout = read_layout(head, settings)
    if layout.delimiter != ",":
        source.seek(0)
        chunks = itertools.chain([head], iter(lambda: source.read(CHUNK), b""))
        layout = replace(layout, decimal=find_decimal(chunks, layout.delimiter) or layout.decimal)
    return Opened(TextTable(source, layout), settings, layout.export)


def _columns_of(schema: pa.Schema, settings: TableSettings) -> Columns:
    """Find the columns of a Parquet table; a single column of instants is the time, whatever its name."""
    found = find_columns(schema.names, len(schema.names), settings)
    instants = [place for place, field in enumerate(schema) if pa.types.is_timestamp(field.type)]
    if found.time is None and len(instants) == 1:
        found = replace(found, time=instants[0])
    for place in found.places:
        kind = schema.field(place).type
        is_time = place == found.time and (pa.types.is_timestamp(kind) or pa.types.is_date(kind))
        if not (is_time or pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
            wanted = "instants or numbers" if place == found.time else "numbers"
            raise UserError(
                f"expected {wanted} in the column {schema.names[place][:30]!r}, found {kind}. Name another one with "
                "--columns."
            )
    return found


@contextmanager
def explained() -> Iterator[None]:
    """Turn errors of pyarrow into UserError, without its text, which shows values of the table."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if not isinstance(error, pa.ArrowException) and error.errno is not None:  # of the storage
            raise
        raise UserError(
            "the table cannot be read: it is damaged, cut off, or not a table. Export or copy it again."
        ) from None


def plausible(us_N: NDArray[np.int64]) -> NDArray[np.int64]:
    """Drop missing and stray stamps: keep those near the median, and all that another follows within an hour."""
    us_N = us_N[us_N != NO_TIME_US]
    near_N = np.abs(np.diff(us_N)) <= HOUR_US
    return us_N[is_near_median(us_N) | np.append(near_N, False) & np.append(False, near_N)]


def _refuse_turns(time_N: NDArray[Any], x_CN: NDArray[np.float32]) -> None:
    """Raise UserError where rows of several sensors take turns: 2 to 4 rows share each stamp, with other values."""
    time_N, x_CN = time_N[:TURN_ROWS], x_CN[:, :TURN_ROWS]
    rows_B = np.diff(np.flatnonzero(np.diff(time_N, prepend=time_N[:1] - 1)))
    sensors = int(np.median(rows_B)) if rows_B.size >= MIN_TURNS else 0
    if not 2 <= sensors <= MAX_SENSORS or (rows_B == sensors).mean() < SAME_TURNS:
        return
    next_g, same_g = (float(np.nanmedian(np.abs(x_CN[:, lag:] - x_CN[:, :-lag]).sum(axis=0))) for lag in (1, sensors))
    if next_g > OTHER_VALUES * same_g and next_g > MIN_OTHER_G:
        raise UserError(
            f"are these rows of {sensors} sensors? {sensors} rows share each stamp, with values that take turns. Write "
            "a file for each, or read one with --where-column NAME=VALUE if a column names them."
        )
