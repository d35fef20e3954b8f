"""Read tables of acceleration from any device, csv or Parquet; errors ask the user for what a table leaves open.

`layout` finds the columns, `rows` reads them, `row_times` interprets the stamps, `scaling` finds unit and scale, and
`unmeasured_rows` finds rows that are not measurements. Tables are read in batches: memory holds the recording as int16,
whatever the size of the text.
"""

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

from ingest.devices.io.ends import END_BYTES, Ends, is_near_median
from ingest.devices.table.actigraph_export import ExportHeader
from ingest.devices.table.layout import Columns, find_columns, find_decimal, is_table, read_layout
from ingest.devices.table.pace import fill, pace_all
from ingest.devices.table.row_times import NO_TIME_US, BlockBuilder, Blocks, TableClock, by_rate, read_clock
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
from ingest.devices.table.unmeasured_rows import UnmeasuredRows, find_unmeasured, remove_rows
from ingest.recording import Pace, Probe, Recording, disjoint_spans
from ingest.settings import TableSettings
from pipeline.errors import UserError

PARQUET = b"PAR1"
DEVICE = "table"
UTC = "UTC"
MIN_ROW_BYTES = 6
"""The row 0,0,0 and the end of its line."""
_CHUNK = 1 << 20
ALLOWED_BLOCKS, ALLOWED_SHARE, MAX_CONTRADICTIONS = 100, 0.1, 0.01
"""As in ingest.signal.timing, with a block a second."""
MAX_BACK_US = 1_000_000
"""Stamps that go back by less are jitter."""
TURN_ROWS, MIN_TURNS, MAX_SENSORS, SAME_TURNS = 5_000, 20, 4, 0.9
OTHER_VALUES, MIN_OTHER_G = 4.0, 0.1
"""Values of another sensor differ by so many times more than the next ones of the same."""
HOUR_US = 3_600_000_000


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
    us_N = _plausible(clock.to_us(time_N))
    if not us_N.size:
        raise UserError(
            "expected stamps from 1970 to 2100 in the first rows, found none: the clock was never set. Leave the "
            "table out."
        )
    start_us = int(us_N.min())
    last_us = (
        int(_plausible(clock.to_us(part.time_N)).max(initial=NO_TIME_US))
        for part in opened.last_rows(ends)
        if part.time_N is not None
    )
    end_us = max(last_us, default=NO_TIME_US)
    return start_us, end_us if end_us >= start_us else start_us + round(rows * clock.period_us), rows


def _plausible(us_N: NDArray[np.int64]) -> NDArray[np.int64]:
    """Drop missing and stray stamps: keep those near the median, and all that another follows within an hour."""
    us_N = us_N[us_N != NO_TIME_US]
    near_N = np.abs(np.diff(us_N)) <= HOUR_US
    return us_N[is_near_median(us_N) | np.append(near_N, False) & np.append(False, near_N)]


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
        rate_hz = (
            (None if opened.export and stamps.is_stamped else opened.rate_hz)
            or blocks.rate_hz()
            or 1e6 / clock.period_us
        )
        unit = find_unit(counts_CN, per_unit, rate_hz, settings.unit)
        if per_unit < STEPS_PER_G[-1] / GRAVITY[unit]:  # the values were so large that they were scaled as m/s2
            counts, stamps = opened.read(unit)
            per_unit, counts_CN = counts.per_unit, counts.take_all()
    counts_CN[:, : int(blocks.first_K.min(initial=counts_CN.shape[1]))] = MISSING  # rows before the first stamp
    unmeasured = find_unmeasured(counts_CN, rate_hz, by_seconds=opened.export is not None)
    timed = None
    if stamps.is_uneven:
        with _explained():
            timed = _time_rows(counts_CN, opened.stamps(clock), unmeasured)
    timed = timed or _time_blocks(counts_CN, blocks, unmeasured, rate_hz)
    counts_CN = timed.counts_CN
    samples = counts_CN.shape[1]
    per_g = per_unit * GRAVITY[unit]
    export = opened.export
    return Recording(
        device=export.device if export else DEVICE,
        serial=export.serial if export else "",
        location=None,
        nominal_rate_hz=round(timed.rate_hz, 2),
        counts_CN=counts_CN,
        g_per_count_C=np.full(3, 1 / per_g),
        offset_g_C=np.zeros(3),
        rail_counts=find_rail(counts_CN, per_g),
        limit_counts=MAX_COUNT,
        first_K=timed.first_K,
        count_K=np.diff(timed.first_K, append=samples),
        sequence_K=timed.sequence_K,
        stamp_sample_K=timed.first_K,
        stamp_us_K=timed.us_K,
        stamped_K=np.ones(timed.first_K.size, dtype=np.bool_),
        celsius_K=np.full(timed.first_K.size, np.nan, dtype=np.float32),
        damaged_blocks=opened.table.damaged + stamps.untimed + timed.left_out,
        idle_spans_us=timed.idle_M2,
        firmware=export.firmware if export else None,
        origin=clock.origin,
        is_counted=False,
        clock=opened.set_to,
        pace=timed.pace,
    )


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


@dataclass(frozen=True)
class Timed:
    """Samples (3, N) in blocks: first sample, time of it, number of each block; spans of idle sleep."""

    counts_CN: NDArray[np.int16]
    rate_hz: float
    first_K: NDArray[np.int64]
    us_K: NDArray[np.int64]
    sequence_K: NDArray[np.int64]
    idle_M2: NDArray[np.int64]
    pace: Pace | None = None
    left_out: int = 0
    """Rows that a clock that was set back stamped again."""


def _time_blocks(counts_CN: NDArray[np.int16], blocks: Blocks, unmeasured: UnmeasuredRows, rate_hz: float) -> Timed:
    """Time rows at one rate, by blocks of a second; unmeasured rows are removed in place."""
    period_us = 1e6 / rate_hz
    idle_M2 = unmeasured.idle_us(blocks, period_us)
    samples, blocks, sequence_K = remove_rows(counts_CN, blocks, unmeasured, period_us)
    if not samples:
        raise UserError(_NOTHING)
    return Timed(counts_CN[:, :samples], rate_hz, blocks.first_K, blocks.us_K, sequence_K, idle_M2)


def _time_rows(counts_CN: NDArray[np.int16], us_N: NDArray[np.int64], unmeasured: UnmeasuredRows) -> Timed | None:
    """Time rows one by one, by their own stamps; each side of a clock that was set back by itself.

    A side that begins so little before the one before it ended loses the overlap. None where rows are too few.
    """
    is_measured_N = us_N != NO_TIME_US
    for begin, end in zip(unmeasured.begin_M.tolist(), unmeasured.end_M.tolist(), strict=True):
        is_measured_N[begin:end] = False
    row_N = np.flatnonzero(is_measured_N)
    row_N = row_N[~_is_stray(us_N[row_N])]
    begins_N = np.diff(us_N[row_N], prepend=us_N[row_N][:1]) < -MAX_BACK_US
    back_N = _again(us_N[row_N])
    overlap = int(back_N.sum())
    if overlap < _allowed(us_N[row_N]):
        begins_N = np.append(False, back_N[:-1])[~back_N] if row_N.size else begins_N
        row_N = row_N[~back_N]
    else:
        overlap = 0
    if row_N.size < 2:
        return None
    paced = pace_all(us_N[row_N], begins_N)
    idle_M2 = np.stack([unmeasured.begin_M, unmeasured.end_M], axis=1)[unmeasured.is_idle_M]
    idle_M2 = us_N[np.minimum(idle_M2, us_N.size - 1)]
    return Timed(
        counts_CN=fill(counts_CN[:, row_N], paced),
        rate_hz=1e6 / float(np.average(paced.period_us_K, weights=np.diff(paced.first_K, append=paced.samples))),
        first_K=paced.first_K,
        us_K=paced.us_K,
        sequence_K=paced.sequence_K,
        idle_M2=disjoint_spans(idle_M2[(idle_M2 != NO_TIME_US).all(axis=1)]),
        pace=Pace(paced.period_us_K, paced.rates, paced.lost_share, paced.jitter_ms),
        left_out=overlap,
    )


def _again(us_N: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return the rows of a time that others before them have: after a stamp over a second back, until it is made up."""
    latest_N = np.maximum.accumulate(us_N)
    before_N = us_N < latest_N
    run_N = np.cumsum(np.diff(before_N, prepend=False))
    return before_N & np.isin(run_N, run_N[us_N < latest_N - MAX_BACK_US])


def _allowed(us_N: NDArray[np.int64]) -> float:
    """Return the rows that a clock that was set back may cost, as for the blocks of a device."""
    step_us = float(np.median(np.diff(us_N))) if us_N.size > 1 else 1.0
    return max(MAX_CONTRADICTIONS * us_N.size, min(ALLOWED_BLOCKS * 1e6 / max(step_us, 1.0), ALLOWED_SHARE * us_N.size))


def _is_stray(us_N: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which stamps are over a second off both their neighbours, which are near each other."""
    stray_N = np.zeros(us_N.size, dtype=np.bool_)
    before, own, after = us_N[:-2], us_N[1:-1], us_N[2:]
    off = np.minimum(np.abs(own - before), np.abs(own - after)) > MAX_BACK_US
    stray_N[1:-1] = off & (np.abs(after - before) <= MAX_BACK_US)
    return stray_N


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

    def read(self, unit: Unit | None) -> tuple[ScaledCounts, BlockBuilder]:
        """Read all rows."""
        counts, stamps = ScaledCounts(unit), None
        for rows in self.table.rows():
            stamps = stamps or BlockBuilder(self.clock(rows))
            stamps.add(rows.time_N, counts.add(rows.x_CN))
        if stamps is None:
            raise UserError(_EMPTY)
        return counts, stamps

    def stamps(self, clock: TableClock) -> NDArray[np.int64]:
        """Read the stamps of all rows, in microseconds of the device's clock; NO_TIME_US where one is missing."""
        parts = [clock.to_us(rows.time_N) for rows in self.table.rows() if rows.time_N is not None]
        return np.concatenate(parts)

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


_NOTHING = "expected a measured value in some row, found none. The device slept all the time, or the columns are wrong."
_EMPTY = "expected a row that can be read, found none in the table. Leave it out, or export it again."


def _open(source: Any, head: bytes, settings: TableSettings) -> Opened:
    if head.startswith(PARQUET):
        source.seek(0)
        file = pa.parquet.ParquetFile(io.BufferedReader(source) if isinstance(source, io.RawIOBase) else source)
        return Opened(ParquetTable(file, _columns_of(file.schema_arrow, settings)), settings)
    layout = read_layout(head, settings)
    if layout.delimiter != ",":
        source.seek(0)
        chunks = itertools.chain([head], iter(lambda: source.read(_CHUNK), b""))
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
