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
from ingest.devices.table.columns import find_columns
from ingest.devices.table.layout import find_decimal, form_of_numbers, read_layout, zone_of
from ingest.devices.table.local_time import Spans
from ingest.devices.table.row_times import NO_TIME_US, TableClock, by_rate, read_clock
from ingest.devices.table.rows import ALL, ParquetTable, Rows, RowSource, TextTable, is_text
from ingest.devices.table.sensors import column_that_changes, refuse_alternating_names, stacked_question, stacked_sides
from ingest.devices.table.stamp_forms import find_form
from ingest.settings import TableSettings
from pipeline.errors import UserError

PARQUET = b"PAR1"
DEVICE = "table"
UTC = "UTC"
CHUNK = 1 << 20
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
    def is_one(self) -> bool:
        """Whether the user says that all rows are of one sensor."""
        where = self.table.columns.where
        return where is not None and where[1] == ALL

    @property
    def set_to(self) -> Literal["utc"] | None:
        """The clock that the stamps show, where they state it."""
        return "utc" if self.table.zone == UTC else None

    def clock(self, first: Rows) -> TableClock:
        """Find what the stamps mean; raises UserError with a question where that is unclear."""
        if self.export and first.time_N is None:
            return by_rate(self.export.rate_hz, int(self.export.start.astype(np.int64)))
        if first.time_N is not None:
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
        stamped_N = time_N[time_N != NO_TIME_US]
        if not stamped_N.size:
            return 0
        first = pa.scalar(int(stamped_N[0]), pa.timestamp("ns", self.table.zone))
        ahead = pc.local_timestamp(first).cast(pa.int64()).as_py() - first.cast(pa.int64()).as_py()
        return int(ahead) // 1000

    def refuse_stacked(self, spans: Spans) -> None:
        """Raise UserError where the rows of several sensors follow each other, with the same times."""
        if not self.is_one and (rows := stacked_sides(spans.first_K, spans.us_K, spans.end_us_K)):
            name = column_that_changes(self.table.others(), len(rows))
            raise stacked_question(rows[0], name)

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
        return Opened(_parquet(file, settings), settings)
    layout = read_layout(head, settings)
    if layout.delimiter != ",":
        source.seek(0)
        chunks = itertools.chain([head], iter(lambda: source.read(CHUNK), b""))
        layout = replace(layout, decimal=find_decimal(chunks, layout))
    return Opened(TextTable(source, layout), settings, layout.export)


def _parquet(file: pa.parquet.ParquetFile, settings: TableSettings) -> ParquetTable:
    """Find the columns of a Parquet table; a single column of instants is the time, whatever its name."""
    schema = file.schema_arrow
    found = find_columns(schema.names, len(schema.names), settings)
    instants = [place for place, field in enumerate(schema) if pa.types.is_timestamp(field.type)]
    if found.time is None and len(instants) == 1:
        found = replace(found, time=instants[0])
    for place in found.places:
        kind = schema.field(place).type
        is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
        if not (is_number or (place == found.time and (_is_instant(kind) or is_text(kind)))):
            wanted = "instants, text or numbers" if place == found.time else "numbers"
            raise UserError(
                f"expected {wanted} in the column {schema.names[place][:30]!r}, found {kind}. Name another one with "
                "--columns."
            )
    table = ParquetTable(file, found)
    texts = [place for place, field in enumerate(schema) if is_text(field.type) and place not in found.places]
    refuse_alternating_names({place: table.first_texts(place) for place in texts}, schema.names, found)
    if found.time is None or _is_instant(schema.field(found.time).type):
        if settings.time_format is not None:
            seen = "no column that is clearly the time" if found.time is None else "a time column that holds instants"
            raise UserError(f"--time-format is for stamps that are text, but the table has {seen}. Leave it out.")
        return table
    kind = schema.field(found.time).type
    if not is_text(kind) and not (pa.types.is_integer(kind) or settings.time_format is not None):
        return table
    stamps = table.first_texts(found.time)
    if is_text(kind) or settings.time_format is not None:
        if not stamps:
            raise UserError(EMPTY)
        form = find_form(stamps, settings)
        return replace(table, form=form, text_zone=zone_of(stamps, form))
    return replace(table, form=form_of_numbers(stamps))


def _is_instant(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


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
