"""Read tables of acceleration from any device, csv or Parquet; errors ask the user for what a table leaves open.

`layout` finds the columns, `rows` reads them, `tables` those of several files, `row_times` interprets the stamps,
`scaling` finds unit and scale, and `unmeasured_rows` finds rows that are not measurements. Tables are read in batches:
memory holds the recording as int16, whatever the size of the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.devices.io.ends import Ends
from ingest.devices.table.layout import is_table
from ingest.devices.table.opened import DEVICE, PARQUET, Opened, explained, open_table, plausible
from ingest.devices.table.pace import MAX_FILL, fill, pace_all
from ingest.devices.table.plain_text import ends_in_utf8, head_in_utf8
from ingest.devices.table.row_times import MAX_BACK_US, NO_STAMPS, NO_TIME_US, Blocks, TableClock
from ingest.devices.table.rows import ParquetTable
from ingest.devices.table.scaling import MAX_COUNT, MISSING, STEPS_PER_G, find_rail, find_unit
from ingest.devices.table.tables import open_tables
from ingest.devices.table.unmeasured_rows import UnmeasuredRows, find_unmeasured, remove_rows
from ingest.recording import Pace, Probe, Recording, disjoint_spans
from ingest.settings import SignalSettings, TableSettings
from pipeline.errors import UserError
from pipeline.units import GRAVITY

NO_ZONE = SignalSettings()
MIN_ROW_BYTES = 6
"""The row 0,0,0 and the end of its line."""
ALLOWED_BLOCKS, ALLOWED_SHARE, MAX_CONTRADICTIONS = 100, 0.1, 0.01
"""As in ingest.signal.timing, with a block a second."""


def recognises(head: bytes) -> bool:
    """Return whether a file with this head is Parquet, or text with rows of three numbers."""
    return head.startswith(PARQUET) or is_table(head_in_utf8(head))


def probe(ends: Ends, settings: TableSettings) -> Probe:
    """Return what the first and last rows show; the rows of a text table without stamps are counted."""
    ends = ends_in_utf8(ends)
    with explained():
        opened = open_table(ends.file, ends.head, settings)
        first = opened.first_rows(ends.head)
        clock = opened.clock(first)
        start_us, end_us, rows = _span(opened, ends, clock, first.time_N)
    return Probe(
        device=opened.export.device if opened.export else DEVICE,
        serial=opened.export.serial if opened.export else "",
        start=np.datetime64(start_us, "us"),
        end=np.datetime64(end_us + round(clock.period_us + clock.step_us), "us"),
        nominal_rate_hz=1e6 / clock.period_us,
        samples=rows if clock.origin == "start" else rows * (1 + MAX_FILL),
        clock=opened.set_to,
    )


def _span(opened: Opened, ends: Ends, clock: TableClock, time_N: NDArray[Any] | None) -> tuple[int, int, int]:
    """Return first and last instant in microseconds and an upper bound of the rows; `time_N` is of the first rows."""
    if time_N is None or clock.origin == "start":
        rows = opened.count(ends)
        return clock.shift_us, clock.shift_us + round(rows * clock.period_us), rows
    rows = opened.count(ends) if isinstance(opened.table, ParquetTable) else ends.size // MIN_ROW_BYTES
    us_N = plausible(clock.to_us(time_N))
    if not us_N.size:
        raise UserError(NO_STAMPS)
    start_us = int(us_N.min())
    last_us = (
        int(plausible(clock.to_us(part.time_N)).max(initial=NO_TIME_US))
        for part in opened.last_rows(ends)
        if part.time_N is not None
    )
    end_us = max(last_us, default=NO_TIME_US)
    return start_us, end_us if end_us >= start_us else start_us + round(rows * clock.period_us), rows


def decode(data: Any, settings: TableSettings, signal: SignalSettings = NO_ZONE) -> Recording:
    """Return the recording in a table, given the bytes of its file, or the file itself to read as a stream.

    signal: its time zones, for stamps that follow local clocks.
    """
    return decode_parts([""], [data], settings, signal)


def decode_parts(
    labels: Sequence[str], parts: Sequence[Any], settings: TableSettings, signal: SignalSettings = NO_ZONE
) -> Recording:
    """Return the recording in tables, each as for `decode`, as if their rows were those of one table in order of time.

    `labels` identify them in messages. Raises UserError where they are not parts of one recording.
    """
    with explained():
        tables = open_tables(labels, parts, settings)
        rows = tables.read(settings.unit)
        per_unit, counts_CN = rows.counts.per_unit, rows.counts.take_all()
        rows.require_order(counts_CN)
        opened, stamps = tables.first, rows.stamps
        stamps.offsets = tables.offsets(stamps, signal)
        blocks, clock = stamps.blocks(), stamps.clock
        rate_hz = (
            (None if opened.export and stamps.is_stamped else opened.rate_hz)
            or blocks.rate_hz()
            or 1e6 / clock.period_us
        )
        rows.require_one_unit(counts_CN, per_unit, rate_hz)
        unit = find_unit(counts_CN, per_unit, rate_hz, settings.unit, rows.counts.length)
        if per_unit < STEPS_PER_G[-1] / GRAVITY[unit]:  # the values were so large that they were scaled as m/s2
            rows = tables.read(unit)
            rows.stamps.offsets = stamps.offsets
            per_unit, counts_CN, stamps = rows.counts.per_unit, rows.counts.take_all(), rows.stamps
    if stamps.untimed and not blocks.first_K.size:
        raise UserError(NO_STAMPS)
    counts_CN[:, : stamps.timed_rows.start] = MISSING
    counts_CN[:, stamps.timed_rows.stop :] = MISSING
    unmeasured = find_unmeasured(counts_CN, rate_hz, by_seconds=opened.export is not None)
    timed = None
    if stamps.is_uneven:
        with explained():
            timed = _time_rows(counts_CN, tables.stamps(rows), unmeasured)
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
        damaged_blocks=tables.damaged + stamps.untimed + timed.left_out,
        idle_spans_us=timed.idle_M2,
        firmware=export.firmware if export else None,
        origin=clock.origin,
        is_counted=False,
        clock="utc" if stamps.offsets else opened.set_to,
        pace=timed.pace,
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
    """Rows with a stray stamp, and those that a clock that was set back stamped again."""


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
    stray_N = _is_stray(us_N[row_N])
    row_N = row_N[~stray_N]
    left_out = int(stray_N.sum())
    begins_N = np.diff(us_N[row_N], prepend=us_N[row_N][:1]) < -MAX_BACK_US
    back_N = _again(us_N[row_N])
    if back_N.any() and _seconds(us_N[row_N[back_N]]) < _allowed(_seconds(us_N[row_N])):
        begins_N = np.append(False, back_N[:-1])[~back_N]
        row_N = row_N[~back_N]
        left_out += int(back_N.sum())
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
        left_out=left_out,
    )


def _again(us_N: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return the rows of a time that others before them have: after a stamp over a second back, until it is made up."""
    latest_N = np.maximum.accumulate(us_N)
    before_N = us_N < latest_N
    back_N = us_N < latest_N - MAX_BACK_US
    if not back_N.any():
        return back_N
    run_N = np.cumsum(np.diff(before_N, prepend=False))
    return before_N & np.isin(run_N, run_N[back_N])


def _seconds(us_N: NDArray[np.int64]) -> int:
    """Return in how many seconds rows were taken, whatever their rate."""
    return int(np.count_nonzero(np.diff(us_N // 1_000_000))) + 1 if us_N.size else 0


def _allowed(seconds: int) -> float:
    """Return the seconds that a clock that was set back may cost, as for the blocks of a device."""
    return max(MAX_CONTRADICTIONS * seconds, min(ALLOWED_BLOCKS, ALLOWED_SHARE * seconds))


def _is_stray(us_N: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which stamps are over a second off both their neighbours, which are near each other."""
    stray_N = np.zeros(us_N.size, dtype=np.bool_)
    before, own, after = us_N[:-2], us_N[1:-1], us_N[2:]
    off = np.minimum(np.abs(own - before), np.abs(own - after)) > MAX_BACK_US
    stray_N[1:-1] = off & (np.abs(after - before) <= MAX_BACK_US)
    return stray_N


_NOTHING = "expected a measured value in some row, found none. The device slept all the time, or the columns are wrong."
