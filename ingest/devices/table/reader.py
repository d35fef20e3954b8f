"""Tables of acceleration: csv and Parquet, of whatever device. What a table does not tell, the user is asked for.

`table_layout` finds the columns, `table_rows` reads them, `table_clock` says what the stamps mean, `table_values`
the unit and the scale, `table_holes` where nothing was measured. Tables are read in batches; held is one recording
in 16 bits, whatever the size of the text.
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

from ingest.devices.io.ends import END_BYTES, Ends, together
from ingest.devices.table.clock import NONE_US, Clock, Stamps, by_rate, read_clock
from ingest.devices.table.holes import find_holes, take_out
from ingest.devices.table.layout import Columns, find_columns, is_table, read_layout
from ingest.devices.table.rows import ParquetTable, Rows, Table, TextTable
from ingest.devices.table.values import GRAVITY, MISSING, MOST_COUNT, STEPS_PER_G, Counts, Unit, find_rail, find_unit
from ingest.devices.table.vendor import Vendor
from ingest.recording import Probe, Recording
from ingest.settings import TableSettings
from pipeline.errors import UserError

PARQUET = b"PAR1"
DEVICE = "table"
UTC = "UTC"
SHORTEST_ROW = 6
"""Bytes: 0,0,0 and the end of its line."""
_CHUNK = 1 << 20


def recognises(head: bytes) -> bool:
    """Whether a file that begins so is Parquet, or text with rows of three numbers."""
    return head.startswith(PARQUET) or is_table(head)


def probe(ends: Ends, told: TableSettings) -> Probe:
    """What the first and last rows tell; a text table without stamps is counted through."""
    with _explained():
        opened = _open(ends.file, ends.head, told)
        first = opened.first_rows(ends.head)
        clock = opened.clock(first)
        start_us, end_us, rows = _span(opened, ends, clock, first.time_N)
    return Probe(
        device=opened.vendor.device if opened.vendor else DEVICE,
        serial=opened.vendor.serial if opened.vendor else "",
        start=np.datetime64(start_us, "us"),
        end=np.datetime64(end_us + round(clock.period_us + clock.step_us), "us"),
        nominal_rate_hz=1e6 / clock.period_us,
        samples=rows,
        clock=opened.set_to,
    )


def _span(opened: Opened, ends: Ends, clock: Clock, time_N: NDArray[Any] | None) -> tuple[int, int, int]:
    """First and last instant in microseconds, and an upper bound of the rows, from the stamps of the first ones."""
    if time_N is None or clock.origin == "start":
        rows = opened.count(ends)
        return clock.shift_us, clock.shift_us + round(rows * clock.period_us), rows
    rows = opened.count(ends) if isinstance(opened.table, ParquetTable) else ends.size // SHORTEST_ROW
    us_N = clock.us(time_N)
    us_N = _near(us_N)
    if not us_N.size:
        raise UserError("no stamp of its first rows is a time from 1970 to 2100. Its clock was never set.")
    start_us = int(us_N.min())
    last_us = (
        int(_near(clock.us(part.time_N)).max(initial=NONE_US))
        for part in opened.last_rows(ends)
        if part.time_N is not None
    )
    end_us = max(last_us, default=NONE_US)
    return start_us, end_us if end_us >= start_us else start_us + round(rows * clock.period_us), rows


def _near(us_N: NDArray[np.int64]) -> NDArray[np.int64]:
    """The stamps of some rows, stray ones left out."""
    us_N = us_N[us_N != NONE_US]
    return us_N[together(us_N)]


def decode(data: Any, told: TableSettings) -> Recording:
    """The recording in a table: the bytes of its file, or the file itself, which is then read as a stream."""
    if isinstance(data, io.RawIOBase):
        source: Any = io.BufferedReader(data, _CHUNK)
    else:
        source = pa.BufferReader(pa.py_buffer(data))
    with _explained():
        source.seek(0)
        opened = _open(source, source.read(END_BYTES), told)
        counts, stamps = opened.read(told.unit)
        per_unit, counts_CN = counts.per_unit, counts.whole()
        blocks, clock = stamps.blocks(), stamps.clock
        rate_hz = opened.rate_hz or blocks.rate_hz() or 1e6 / clock.period_us
        unit = find_unit(counts_CN, per_unit, rate_hz, told.unit)
        if per_unit < STEPS_PER_G[-1] / GRAVITY[unit]:  # of values so large that it was taken for another unit
            counts, stamps = opened.read(unit)
            per_unit, counts_CN = counts.per_unit, counts.whole()
    period_us = 1e6 / rate_hz
    counts_CN[:, : int(blocks.first_K.min(initial=counts_CN.shape[1]))] = MISSING  # rows before the first stamp
    holes = find_holes(counts_CN, rate_hz, by_seconds=opened.vendor is not None)
    idle_M2 = holes.idle_us(blocks, period_us)
    samples, blocks, sequence_K = take_out(counts_CN, blocks, holes, period_us)
    if not samples:
        raise UserError(
            "no row of the table holds a measured value. The device slept all the time, or the columns are wrong."
        )
    per_g = per_unit * GRAVITY[unit]
    vendor = opened.vendor
    return Recording(
        device=vendor.device if vendor else DEVICE,
        serial=vendor.serial if vendor else "",
        location=None,
        nominal_rate_hz=round(rate_hz, 2),
        counts_CN=counts_CN[:, :samples],
        g_per_count_C=np.full(3, 1 / per_g),
        offset_g_C=np.zeros(3),
        rail_counts=find_rail(counts_CN[:, :samples], per_g),
        limit_counts=MOST_COUNT,
        first_K=blocks.first_K,
        count_K=np.diff(blocks.first_K, append=samples),
        sequence_K=sequence_K,
        stamp_sample_K=blocks.first_K,
        stamp_us_K=blocks.us_K,
        stamped_K=np.ones(blocks.first_K.size, dtype=np.bool_),
        celsius_K=np.full(blocks.first_K.size, np.nan, dtype=np.float32),
        damaged_blocks=opened.table.damaged,
        idle_spans_us=idle_M2,
        firmware=vendor.firmware if vendor else None,
        origin=clock.origin,
        is_counted=False,
        clock=opened.set_to,
    )


@dataclass(frozen=True)
class Opened:
    """A table whose columns are known."""

    table: TextTable | ParquetTable
    told: TableSettings
    vendor: Vendor | None = None

    @property
    def rate_hz(self) -> float | None:
        """As the user or the vendor's header says."""
        return self.told.rate_hz or (self.vendor.rate_hz if self.vendor else None)

    @property
    def set_to(self) -> Literal["utc"] | None:
        """What its stamps say of the clock that they show."""
        return "utc" if self.table.zone == UTC else None

    def clock(self, first: Rows) -> Clock:
        """What its stamps mean; raises UserError with a question."""
        if self.vendor:
            return by_rate(self.vendor.rate_hz, int(self.vendor.start.astype(np.int64)))
        if first.time_N is not None:
            return read_clock(first.time_N, self._ahead_us(first.time_N), self.told.rate_hz)
        if self.told.rate_hz is None:
            raise UserError(
                "the table has no column of time: how many rows a second? Say --rate HZ, or name a column: --columns "
                "time=NAME,x=NAME,y=NAME,z=NAME."
            )
        return by_rate(self.told.rate_hz, None)

    def _ahead_us(self, time_N: NDArray[Any]) -> int:
        """Microseconds from stamps in UTC to the clock that the first of them shows."""
        if not self.table.zone or time_N.dtype != np.int64:
            return 0
        first = pa.scalar(int(time_N.max()), pa.timestamp("ns", self.table.zone))
        ahead = pc.local_timestamp(first).cast(pa.int64()).as_py() - first.cast(pa.int64()).as_py()
        return int(ahead) // 1000

    def read(self, unit: Unit | None) -> tuple[Counts, Stamps]:
        """All rows."""
        counts, stamps = Counts(unit), None
        for rows in self.table.rows():
            stamps = stamps or Stamps(self.clock(rows))
            stamps.add(rows.time_N, counts.add(rows.x_CN))
        if stamps is None:
            raise UserError(_EMPTY)
        return counts, stamps

    def first_rows(self, head: bytes) -> Rows:
        """The rows of the head, or the first of a Parquet table."""
        table: Table = self.table
        if isinstance(self.table, TextTable):
            whole = head[: head.rfind(b"\n") + 1] or head
            table = replace(self.table, source=pa.BufferReader(whole))
        first = next(table.rows(), None)
        if first is None:
            raise UserError(_EMPTY)
        return first

    def last_rows(self, ends: Ends) -> Iterator[Rows]:
        """The rows of the tail, or the last group of a Parquet table."""
        if isinstance(self.table, ParquetTable):
            last = self.table.file.num_row_groups - 1
            return replace(self.table, groups=[last]).rows()
        if ends.size <= len(ends.head):
            return replace(self.table, source=pa.BufferReader(ends.head)).rows()
        tail = ends.tail[ends.tail.find(b"\n") + 1 : ends.tail.rfind(b"\n") + 1]
        layout = replace(self.table.layout, skip=0)
        return TextTable(pa.BufferReader(tail), layout).rows() if tail else iter(())

    def count(self, ends: Ends) -> int:
        """An upper bound of the rows."""
        if isinstance(self.table, ParquetTable):
            return int(self.table.file.metadata.num_rows)
        ends.file.seek(0)
        return sum(chunk.count(b"\n") for chunk in iter(lambda: ends.file.read(_CHUNK), b"")) + 1


_EMPTY = "the table has no row that can be read. Leave it out, or export it again."


def _open(source: Any, head: bytes, told: TableSettings) -> Opened:
    if head.startswith(PARQUET):
        source.seek(0)
        file = pa.parquet.ParquetFile(io.BufferedReader(source) if isinstance(source, io.RawIOBase) else source)
        return Opened(ParquetTable(file, _columns_of(file.schema_arrow, told)), told)
    layout = read_layout(head, told.named)
    return Opened(TextTable(source, layout), told, layout.vendor)


def _columns_of(schema: pa.Schema, told: TableSettings) -> Columns:
    """The columns of a Parquet table; the only one of instants is the time, whatever its name."""
    found = find_columns(schema.names, len(schema.names), told.named)
    instants = [place for place, field in enumerate(schema) if pa.types.is_timestamp(field.type)]
    if found.time is None and len(instants) == 1:
        found = replace(found, time=instants[0])
    for place in found.places:
        kind = schema.field(place).type
        is_time = place == found.time and (pa.types.is_timestamp(kind) or pa.types.is_date(kind))
        if not (is_time or pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
            wanted = "instants or numbers" if place == found.time else "numbers"
            raise UserError(f"the column {schema.names[place][:30]!r} holds {kind}; expected {wanted}.")
    return found


@contextmanager
def _explained() -> Iterator[None]:
    """Faults of pyarrow as UserError, without its text: that shows what stands in the table."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if not isinstance(error, pa.ArrowException) and error.errno is not None:  # of the storage
            raise
        raise UserError(
            "the table cannot be read: it is damaged or cut off, or no table. Export or copy it again."
        ) from None
