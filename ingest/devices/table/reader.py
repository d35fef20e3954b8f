"""Read tables of acceleration from any device, csv or Parquet; errors ask the user for what a table leaves open.

`layout` finds the columns, `rows` reads them, `row_times` interprets the stamps, `scaling` finds unit and scale, and
`unmeasured_rows` finds rows that are not measurements. Tables are read in batches: memory holds the recording as int16,
whatever the size of the text.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet
from numpy.typing import NDArray

from ingest.devices.io.ends import END_BYTES, Ends, is_near_median
from ingest.devices.table.actigraph_export import ExportHeader
from ingest.devices.table.layout import Columns, find_columns, is_table, read_layout
from ingest.devices.table.row_times import NO_TIME_US, BlockBuilder, TableClock, by_rate, read_clock
from ingest.devices.table.rows import ParquetTable, Rows, RowSource, TextTable
from ingest.devices.table.scaling import (
    GRAVITY,
    MAX_COUNT,
    MISSING,
    STEPS_PER_G,
    ScaledCounts,
    Unit,
    find_rail,
    find_unit,
)
from ingest.devices.table.unmeasured_rows import find_unmeasured, remove_rows
from ingest.recording import Probe, Recording
from ingest.settings import TableSettings
from pipeline.errors import UserError

PARQUET = b"PAR1"
DEVICE = "table"
UTC = "UTC"
MIN_ROW_BYTES = 6
"""The row 0,0,0 and the end of its line."""
_CHUNK = 1 << 20


def recognises(head: bytes) -> bool:
    """Return whether a file with this head is Parquet, or text with rows of three numbers."""
    return head.startswith(PARQUET) or is_table(head)


def probe(ends: Ends, settings: TableSettings) -> Probe:
    """Return what the first and last rows show; the rows of a text table without stamps are counted."""
    with _explained():
        opened = _open(ends.file, ends.head, settings)
        first = opened.first_rows(ends.head)
        clock = opened.clock(first)
        start_us, end_us, rows = _span(opened, ends, clock, first.time_N)
    return Probe(
        device=opened.export.device if opened.export else DEVICE,
        serial=opened.export.serial if opened.export else "",
        start=np.datetime64(start_us, "us"),
        end=np.datetime64(end_us + round(clock.period_us + clock.step_us), "us"),
        nominal_rate_hz=1e6 / clock.period_us,
        samples=rows,
        clock=opened.set_to,
    )


def _span(opened: Opened, ends: Ends, clock: TableClock, time_N: NDArray[Any] | None) -> tuple[int, int, int]:
    """Return first and last instant in microseconds and an upper bound of the rows; `time_N` is of the first rows."""
    if time_N is None or clock.origin == "start":
        rows = opened.count(ends)
        return clock.shift_us, clock.shift_us + round(rows * clock.period_us), rows
    rows = opened.count(ends) if isinstance(opened.table, ParquetTable) else ends.size // MIN_ROW_BYTES
    us_N = clock.to_us(time_N)
    us_N = _near(us_N)
    if not us_N.size:
        raise UserError(
            "expected stamps from 1970 to 2100 in the first rows, found none: the clock was never set. Leave the "
            "table out."
        )
    start_us = int(us_N.min())
    last_us = (
        int(_near(clock.to_us(part.time_N)).max(initial=NO_TIME_US))
        for part in opened.last_rows(ends)
        if part.time_N is not None
    )
    end_us = max(last_us, default=NO_TIME_US)
    return start_us, end_us if end_us >= start_us else start_us + round(rows * clock.period_us), rows


def _near(us_N: NDArray[np.int64]) -> NDArray[np.int64]:
    """Drop missing and stray stamps."""
    us_N = us_N[us_N != NO_TIME_US]
    return us_N[is_near_median(us_N)]


def decode(data: Any, settings: TableSettings) -> Recording:
    """Return the recording in a table, given the bytes of its file, or the file itself to read as a stream."""
    if isinstance(data, io.RawIOBase):
        source: Any = io.BufferedReader(data, _CHUNK)
    else:
        source = pa.BufferReader(pa.py_buffer(data))
    with _explained():
        source.seek(0)
        opened = _open(source, source.read(END_BYTES), settings)
        counts, stamps = opened.read(settings.unit)
        per_unit, counts_CN = counts.per_unit, counts.take_all()
        blocks, clock = stamps.blocks(), stamps.clock
        rate_hz = opened.rate_hz or blocks.rate_hz() or 1e6 / clock.period_us
        unit = find_unit(counts_CN, per_unit, rate_hz, settings.unit)
        if per_unit < STEPS_PER_G[-1] / GRAVITY[unit]:  # the values were so large that they were scaled as m/s2
            counts, stamps = opened.read(unit)
            per_unit, counts_CN = counts.per_unit, counts.take_all()
    period_us = 1e6 / rate_hz
    counts_CN[:, : int(blocks.first_K.min(initial=counts_CN.shape[1]))] = MISSING  # rows before the first stamp
    unmeasured = find_unmeasured(counts_CN, rate_hz, by_seconds=opened.export is not None)
    idle_M2 = unmeasured.idle_us(blocks, period_us)
    samples, blocks, sequence_K = remove_rows(counts_CN, blocks, unmeasured, period_us)
    if not samples:
        raise UserError(
            "expected a measured value in some row, found none. The device slept all the time, or the columns are "
            "wrong."
        )
    per_g = per_unit * GRAVITY[unit]
    export = opened.export
    return Recording(
        device=export.device if export else DEVICE,
        serial=export.serial if export else "",
        location=None,
        nominal_rate_hz=round(rate_hz, 2),
        counts_CN=counts_CN[:, :samples],
        g_per_count_C=np.full(3, 1 / per_g),
        offset_g_C=np.zeros(3),
        rail_counts=find_rail(counts_CN[:, :samples], per_g),
        limit_counts=MAX_COUNT,
        first_K=blocks.first_K,
        count_K=np.diff(blocks.first_K, append=samples),
        sequence_K=sequence_K,
        stamp_sample_K=blocks.first_K,
        stamp_us_K=blocks.us_K,
        stamped_K=np.ones(blocks.first_K.size, dtype=np.bool_),
        celsius_K=np.full(blocks.first_K.size, np.nan, dtype=np.float32),
        damaged_blocks=opened.table.damaged,
        idle_spans_us=idle_M2,
        firmware=export.firmware if export else None,
        origin=clock.origin,
        is_counted=False,
        clock=opened.set_to,
    )


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
    def set_to(self) -> Literal["utc"] | None:
        """The clock that the stamps show, where they state it."""
        return "utc" if self.table.zone == UTC else None

    def clock(self, first: Rows) -> TableClock:
        """Find what the stamps mean; raises UserError with a question where that is unclear."""
        if self.export:
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
        first = pa.scalar(int(time_N.max()), pa.timestamp("ns", self.table.zone))
        ahead = pc.local_timestamp(first).cast(pa.int64()).as_py() - first.cast(pa.int64()).as_py()
        return int(ahead) // 1000

    def read(self, unit: Unit | None) -> tuple[ScaledCounts, BlockBuilder]:
        """Read all rows."""
        counts, stamps = ScaledCounts(unit), None
        for rows in self.table.rows():
            stamps = stamps or BlockBuilder(self.clock(rows))
            stamps.add(rows.time_N, counts.add(rows.x_CN))
        if stamps is None:
            raise UserError(_EMPTY)
        return counts, stamps

    def first_rows(self, head: bytes) -> Rows:
        """Return the rows of the head, or the first batch of a Parquet table."""
        table: RowSource = self.table
        if isinstance(self.table, TextTable):
            complete = head[: head.rfind(b"\n") + 1] or head
            table = replace(self.table, source=pa.BufferReader(complete))
        first = next(table.rows(), None)
        if first is None:
            raise UserError(_EMPTY)
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
        return sum(chunk.count(b"\n") for chunk in iter(lambda: ends.file.read(_CHUNK), b"")) + 1


_EMPTY = "expected a row that can be read, found none in the table. Leave it out, or export it again."


def _open(source: Any, head: bytes, settings: TableSettings) -> Opened:
    if head.startswith(PARQUET):
        source.seek(0)
        file = pa.parquet.ParquetFile(io.BufferedReader(source) if isinstance(source, io.RawIOBase) else source)
        return Opened(ParquetTable(file, _columns_of(file.schema_arrow, settings)), settings)
    layout = read_layout(head, settings.named)
    return Opened(TextTable(source, layout), settings, layout.export)


def _columns_of(schema: pa.Schema, settings: TableSettings) -> Columns:
    """Find the columns of a Parquet table; a single column of instants is the time, whatever its name."""
    found = find_columns(schema.names, len(schema.names), settings.named)
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
def _explained() -> Iterator[None]:
    """Turn errors of pyarrow into UserError, without its text, which shows values of the table."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if not isinstance(error, pa.ArrowException) and error.errno is not None:  # of the storage
            raise
        raise UserError(
            "the table cannot be read: it is damaged, cut off, or not a table. Export or copy it again."
        ) from None
