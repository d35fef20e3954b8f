"""The tables of one recording, read as if their rows were those of one table in order of time."""

from __future__ import annotations

import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ingest.devices.io.ends import END_BYTES
from ingest.devices.joined import REMEDY, Span, in_order, of_part, require_same
from ingest.devices.table.local_time import Offsets, find_offsets, refuse_repeated_hour
from ingest.devices.table.opened import CHUNK, EMPTY, Opened, explained, open_table, plausible
from ingest.devices.table.plain_text import file_in_utf8, head_in_utf8
from ingest.devices.table.row_times import NO_TIME_US, BlockBuilder, TableClock
from ingest.devices.table.rows import Rows
from ingest.devices.table.scaling import ScaledCounts, shown_unit
from ingest.devices.table.sensors import refuse_turns
from ingest.settings import SignalSettings, TableSettings
from pipeline.errors import UserError
from pipeline.units import Unit

FEW_STAMPS = 32
"""A part with fewer different stamps is read by the clock of another one."""


@dataclass(frozen=True)
class RowsOfTables:
    """The rows of tables as counts and blocks; the clock, span and first row of each table."""

    counts: ScaledCounts
    stamps: BlockBuilder
    clocks: list[TableClock] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    first_P: list[int] = field(default_factory=list)

    def begin_part(self, clock: TableClock) -> int:
        """Begin a table, whose stamps `clock` reads; returns its first row."""
        self.stamps.begin_part(clock)
        self.clocks.append(clock)
        self.first_P.append(self.stamps.rows)
        return self.stamps.rows

    def add(self, rows: Rows) -> None:
        """Add the next rows."""
        self.stamps.add(rows.time_N, self.counts.add(rows.x_CN))

    def require_order(self, counts_CN: NDArray[np.int16]) -> None:
        """Raise UserError where tables overlap in time."""
        parts = self._of_each(counts_CN)
        in_order(self.spans, lambda a, b: np.array_equal(parts[a], parts[b]))

    def require_one_unit(self, counts_CN: NDArray[np.int16], per_unit: float, rate_hz: float) -> None:
        """Raise UserError where tables are in different units; one that does not show its unit is in that of others."""
        if len(self.spans) > 1:
            units = [{"units": shown_unit(part_CN, per_unit, rate_hz)} for part_CN in self._of_each(counts_CN)]
            require_same([span.label for span in self.spans], units)

    def _of_each(self, counts_CN: NDArray[np.int16]) -> list[NDArray[np.int16]]:
        return np.split(counts_CN, self.first_P[1:], axis=1)


@dataclass(frozen=True)
class Tables:
    """The tables of a recording in the order of their first rows, their labels, and the clock of one with many rows."""

    labels: list[str]
    opened: list[Opened]
    usual: TableClock | None

    @property
    def first(self) -> Opened:
        """The table that begins first."""
        return self.opened[0]

    @property
    def damaged(self) -> int:
        """Rows that could not be read."""
        return sum(opened.table.damaged for opened in self.opened)

    def read(self, unit: Unit | None) -> RowsOfTables:
        """Read all rows."""
        read: RowsOfTables | None = None
        for label, opened in zip(self.labels, self.opened, strict=True):
            with of_part(label, len(self.opened)), explained():
                batches = opened.table.rows()
                head = last = next(batches, None)
                if head is None or last is None:
                    raise UserError(EMPTY)
                clock = _clock(opened, head, self.usual)
                if read is None:
                    read = RowsOfTables(ScaledCounts(unit), BlockBuilder(clock))
                else:
                    clock = _on_one_clock(clock, read.clocks[0], bool(opened.table.zone))
                first_row = read.begin_part(clock)
                for last in itertools.chain([head], batches):
                    if not opened.is_one:
                        refuse_turns(last.x_CN)
                    read.add(last)
                ends_us = _ends_us(clock, head.time_N, last.time_N, read.stamps.rows - first_row)
                read.spans.append(Span(label, *ends_us))
        assert read is not None
        return read

    def stamps(self, read: RowsOfTables) -> NDArray[np.int64]:
        """Read the stamps of all rows, in microseconds of the device's clock; NO_TIME_US where one is missing."""
        parts = [
            clock.to_us(rows.time_N)
            for clock, opened in zip(read.clocks, self.opened, strict=True)
            for rows in opened.table.rows()
            if rows.time_N is not None
        ]
        us_N = np.concatenate(parts)
        offsets = read.stamps.offsets
        return np.where(us_N == NO_TIME_US, us_N, us_N - offsets.of(np.arange(us_N.size))) if offsets else us_N

    def offsets(self, stamps: BlockBuilder, signal: SignalSettings) -> Offsets | None:
        """Return how far stamps in local time are ahead of UTC, where they follow a change of the clocks.

        Raises UserError with a question for rows of sensors that follow each other, and for an hour that comes twice
        in an unknown zone.
        """
        if not stamps.is_stamped:
            return None
        spans = stamps.spans
        zone = signal.device_timezone or signal.local_timezone
        is_local = stamps.clock.origin == "calendar" and not self.first.table.zone
        if zone and is_local and (offsets := find_offsets(spans, zone)):
            return offsets
        if signal.clock is None and len(self.opened) == 1:
            self.first.refuse_stacked(spans)
        if signal.clock is None and is_local:
            refuse_repeated_hour(spans, zone)
        return None


def open_tables(labels: Sequence[str], parts: Sequence[Any], settings: TableSettings) -> Tables:
    """Open the tables of a recording, and put them in the order of their first rows.

    Raises UserError where they are of different kinds or, if there are several, have no times.
    """
    opened: list[Opened] = []
    heads: list[Rows] = []
    for label, data in zip(labels, parts, strict=True):
        with of_part(label, len(parts)), explained():
            source, head = _source(data)
            opened.append(open_table(source, head, settings))
            if len(parts) > 1:
                heads.append(opened[-1].first_rows(head))
    if len(parts) == 1:
        return Tables([*labels], opened, None)
    require_same(labels, [table.kind for table in opened])
    usual: TableClock | None = None
    for label, table, rows in zip(labels, opened, heads, strict=True):
        with of_part(label):
            if usual is None and not _is_short(rows):
                usual = table.clock(rows)
    begins_us = []
    for label, table, rows in zip(labels, opened, heads, strict=True):
        with of_part(label):
            begins_us.append(_begin_us(table, rows, usual))
    order = sorted(range(len(parts)), key=begins_us.__getitem__)
    return Tables([labels[place] for place in order], [opened[place] for place in order], usual)


def _source(data: Any) -> tuple[Any, bytes]:
    """Return a seekable file, from its bytes or a stream, and its head, both in UTF-8 if they are in UTF-16."""
    is_stream = isinstance(data, io.RawIOBase)
    source: Any = io.BufferedReader(data, CHUNK) if is_stream else pa.BufferReader(pa.py_buffer(data))
    source.seek(0)
    head = source.read(END_BYTES)
    return file_in_utf8(source, head), head_in_utf8(head)


def _is_short(rows: Rows) -> bool:
    """Return whether rows are too few to show what their stamps mean."""
    return rows.time_N is not None and np.unique(rows.time_N).size < FEW_STAMPS


def _clock(opened: Opened, rows: Rows, usual: TableClock | None) -> TableClock:
    """Return the clock of a table with these first rows; that of another part if they are few."""
    return opened.clock(rows) if usual is None or not _is_short(rows) else usual


def _on_one_clock(clock: TableClock, first: TableClock, is_zoned: bool) -> TableClock:
    """Return the clock of a later part: stamps with a zone are shown by the clock that the first part's stamps show."""
    if clock.origin != first.origin:
        raise UserError(f"its stamps count from another time than those of the parts before it. {REMEDY}")
    return replace(clock, shift_us=first.shift_us) if is_zoned else clock


def _begin_us(opened: Opened, rows: Rows, usual: TableClock | None) -> int:
    """Return when a table begins, to put it in order: in UTC where its stamps have a zone."""
    clock = _clock(opened, rows, usual)
    if clock.origin == "start":
        raise UserError(f"it has no times, so that its place among the other parts is unknown. {REMEDY}")
    if rows.time_N is not None and not plausible(clock.to_us(rows.time_N)).size:
        raise UserError("expected stamps from 1970 to 2100 in its first rows, found none. Leave it out.")
    return _ends_us(clock, rows.time_N, rows.time_N, 0)[0] - (clock.shift_us if opened.table.zone else 0)


def _ends_us(clock: TableClock, head_N: NDArray[Any] | None, tail_N: NDArray[Any] | None, rows: int) -> tuple[int, int]:
    """Return when the rows of a table begin and end, by the stamps of its first and last rows."""
    if head_N is None or tail_N is None or clock.origin == "start":
        return clock.shift_us, clock.shift_us + round(rows * clock.period_us)
    begin_us, end_us = (plausible(clock.to_us(time_N)) for time_N in (head_N, tail_N))
    begin = int(begin_us.min()) if begin_us.size else 0
    return begin, int(end_us.max() + round(max(clock.period_us, clock.step_us))) if end_us.size else begin
