"""The records of a log.bin, checked and unpacked in compiled code while the bytes arrive (see `gt3x_format`).

Every record must match its checksum. Where one does not, the reader searches for the next good record. The search is
linear in the bytes, whatever they hold: running checksums make each guess a single comparison. The bytes that are
skipped count as damaged records of the size of the last good one.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ingest.devices.actigraph.gt3x_format import (
    ACTIVITY,
    ACTIVITY2,
    ACTIVITY3,
    EVENT,
    HEAD_BYTES,
    IDLE_BEGINS,
    IDLE_ENDS,
    LAST_TYPE,
    SEPARATOR,
)
from ingest.devices.actigraph.unpack_samples import (
    LONG_SAMPLES,
    MAX_SAMPLES,
    too_many_samples,
    unpack_12_bits,
    unpack_int16,
)
from ingest.devices.io.archive import PIECE_BYTES, DamagedMember
from ingest.recording import disjoint_spans
from pipeline.numerics.jit import njit

BYTES_PER_SAMPLE = 7
"""More than the records of samples take."""
MIN_DISTINCT_SECONDS = 0.9
"""As a share of the records: an honest log has one record a second."""
MAX_RECORD_BYTES = HEAD_BYTES + (1 << 16)
MAX_IDLE_SPANS = 1_000_000
"""A week of idle sleep has a few thousand spans."""
MAX_EVENT_DELAY_S = 2
"""Idle sleep begins with the second after the last record, though its event often comes a second later."""
MIN_DAMAGED_ZEROS = 16
"""Fewer zero bytes than this between two records are padding."""

_STATE = np.dtype(
    [
        ("samples", np.int64),
        ("records", np.int64),
        ("idle_spans", np.int64),
        ("damaged", np.int64),  # records
        ("skipped_bytes", np.int64),  # since the last good record
        ("record_bytes", np.int64),  # size of the last record of samples
        ("sequence", np.int64),
        ("known_until", np.int64),  # the second at which the last record or idle span ended; -1 before the first
        ("asleep_since", np.int64),  # the second at which idle sleep began; -1 while awake
        ("idle_seconds", np.int64),  # since the last record of samples
        ("last_second", np.int64),  # of the last record of any type
    ]
)
"""What the compiled loop carries from one piece of the log to the next."""

_RECORD = np.dtype([("second", np.int64), ("first", np.int64), ("count", np.int64), ("sequence", np.int64)])


class _Output(NamedTuple):
    """Arrays that the compiled loop fills; `_STATE` counts how far."""

    counts_CN: NDArray[np.int16]
    record_K: NDArray[np.void]
    idle_M2: NDArray[np.int64]


@dataclass(frozen=True)
class LogRecords:
    """The samples of a log; record k holds those from first_K[k] on and is stamped second_K[k].

    sequence_K: number of the record's second. It also advances by the seconds of idle sleep and by damaged records.
    idle_M2: begin and end of idle sleep, seconds since 1970.
    """

    counts_CN: NDArray[np.int16]
    second_K: NDArray[np.int64]
    first_K: NDArray[np.int64]
    count_K: NDArray[np.int64]
    sequence_K: NDArray[np.int64]
    idle_M2: NDArray[np.int64]
    damaged: int


class _Walker:
    """Feeds a log to the compiled loop piece by piece; an incomplete record at the end waits for the next piece.

    long_samples: the room for samples that a log gets whose records show that it is as long as it claims.
    """

    def __init__(
        self, rate_hz: int, max_samples: int, max_records: int, max_idle_spans: int, long_samples: int = 0
    ) -> None:
        self.output = _Output(
            np.empty((3, max_samples), dtype=np.int16),
            np.empty(max_records, dtype=_RECORD),
            np.empty((max_idle_spans, 2), dtype=np.int64),
        )
        self.waiting = b""
        self._rate_hz, self._long_samples = rate_hz, long_samples
        self._state_1 = np.zeros(1, dtype=_STATE)
        self._state_1["known_until"] = self._state_1["asleep_since"] = -1

    def add(self, piece: Any, is_last: bool = False) -> None:
        """Read the next piece; raises UserError when the samples exceed the room for them."""
        data = b"".join((self.waiting, piece))
        while (used := self._walk(data, is_last)) < 0:
            self._grow()
            data = data[-1 - used :]
        self.waiting = data[used:]

    def _walk(self, data: bytes, is_last: bool) -> int:
        return int(_walk(np.frombuffer(data, dtype=np.uint8), is_last, self._rate_hz, self._state_1, self.output))

    def _grow(self) -> None:
        """Make room for the samples of a long recording, once; raises UserError for a log that repeats its seconds."""
        counts_CN, record_K, _ = self.filled()
        distinct = np.unique(record_K["second"]).size
        if self.max_samples >= self._long_samples or distinct < MIN_DISTINCT_SECONDS * record_K.size:
            raise too_many_samples(self.max_samples)
        grown = _Output(
            np.empty((3, self._long_samples), dtype=np.int16),
            np.empty(self._long_samples // (self._rate_hz // 2) + 1, dtype=_RECORD),
            self.output.idle_M2,
        )
        grown.counts_CN[:, : counts_CN.shape[1]] = counts_CN
        grown.record_K[: record_K.size] = record_K
        self.output = grown

    @property
    def max_samples(self) -> int:
        """The room for samples."""
        return self.output.counts_CN.shape[1]

    def finish(self) -> None:
        """Read the remaining bytes as the end of the log."""
        self.add(b"", is_last=True)

    @property
    def damaged(self) -> int:
        """Damaged records."""
        return int(self._state_1["damaged"][0])

    def filled(self) -> _Output:
        """The parts of the output arrays that hold data."""
        samples, records, spans = (int(self._state_1[name][0]) for name in ("samples", "records", "idle_spans"))
        counts_CN, record_K, idle_M2 = self.output
        return _Output(counts_CN[:, :samples], record_K[:records], idle_M2[:spans])

    def empty(self) -> None:
        """Fill the output arrays from their beginning again."""
        for name in ("samples", "records", "idle_spans"):
            self._state_1[name] = 0


def read_log(pieces: Iterable[Any], max_bytes: int, rate_hz: int) -> LogRecords:
    """Read a log of at most `max_bytes` bytes; raises UserError when it holds more samples than a recording has.

    MAX_SAMPLES are read from any log, LONG_SAMPLES from one whose records are of as many seconds.
    """
    max_samples = min(MAX_SAMPLES, max_bytes // 4 + rate_hz)
    max_idle_spans = min(MAX_IDLE_SPANS, max_bytes // HEAD_BYTES + 1)
    long_samples = LONG_SAMPLES if max_samples == MAX_SAMPLES else 0
    walker = _Walker(rate_hz, max_samples, max_samples // (rate_hz // 2) + 1, max_idle_spans, long_samples)
    cut, total = 0, 0
    try:
        for piece in pieces:
            total += len(piece)
            walker.add(piece)
            if total > BYTES_PER_SAMPLE * max(walker.max_samples, MAX_SAMPLES):
                raise too_many_samples(max(walker.max_samples, MAX_SAMPLES))
    except DamagedMember:
        cut = 0 if walker.waiting else 1  # the rest of a record counts as damaged anyway
    walker.finish()
    counts_CN, record_K, idle_M2 = walker.filled()
    second_K, first_K, count_K, sequence_K = (np.ascontiguousarray(record_K[name]) for name in _RECORD.fields or ())
    return LogRecords(counts_CN, second_K, first_K, count_K, sequence_K, disjoint_spans(idle_M2), walker.damaged + cut)


def log_span(pieces: Iterable[Any], rate_hz: int) -> tuple[int, int, int] | None:
    """First second, the second after the last, and number of samples of a log of any size, in the memory of one piece.

    None for a log without samples.
    """
    room = (PIECE_BYTES + MAX_RECORD_BYTES) // 4
    walker = _Walker(rate_hz, room, room, room)
    samples, first, end = 0, 1 << 32, 0

    def measure() -> None:
        nonlocal samples, first, end
        counts_CN, record_K, idle_M2 = walker.filled()
        first = min(first, int(record_K["second"].min(initial=first)))
        end = max(end, int(record_K["second"].max(initial=end - 1)) + 1, int(idle_M2.max(initial=end)))
        samples += counts_CN.shape[1]
        walker.empty()

    with suppress(DamagedMember):
        for piece in pieces:
            walker.add(piece)
            measure()
    walker.finish()
    measure()
    return (first, end, samples) if samples else None


@njit(cache=True, nogil=True)
def _walk(data, is_last, rate, state_1, output):  # type: ignore[no-untyped-def]
    """Read all complete records of `data`; returns the bytes read, or -1 minus that when the output arrays are full."""
    state = state_1[0]
    counts_CN, record_K, idle_M2 = output
    size = data.size
    running = np.empty(0, dtype=np.uint8)
    at = 0
    while at < size:
        if state.skipped_bytes > 0:
            if running.size == 0:
                running = _running_checksums(data)
            found = _next_record(data, at, is_last, running)
            state.skipped_bytes += found - at
            at = found
            if at == size:
                break
        elif data[at] == 0:
            stop = _end_of_zeros(data, at)
            zeros = stop - at
            if stop == size and not is_last and zeros < MIN_DAMAGED_ZEROS:
                break
            if zeros >= MIN_DAMAGED_ZEROS:
                state.skipped_bytes += zeros
            at = stop
            continue
        end = _record_end(data, at)
        if data[at] == SEPARATOR and end > size and not is_last:
            break
        if data[at] != SEPARATOR or end > size or _checksum(data[at : end - 1]) != data[end - 1]:
            state.skipped_bytes += 1
            at += 1
            continue
        if state.skipped_bytes > 0:
            _count_damage(state)
        kind, second, payload = data[at + 1], _uint32(data, at + 2), data[at + HEAD_BYTES : end - 1]
        if kind in (ACTIVITY, ACTIVITY2, ACTIVITY3) and payload.size > 1:
            if not _add_samples(kind, second, payload, rate, state, counts_CN, record_K, idle_M2):
                return -1 - at
        elif kind == EVENT and payload.size == 1:
            if payload[0] == IDLE_BEGINS and state.asleep_since < 0:
                _fall_asleep(second, state)
            elif payload[0] == IDLE_ENDS and state.asleep_since >= 0:
                _wake(second, state, idle_M2)
        state.last_second = second
        at = end
    if is_last and state.skipped_bytes > 0:
        _count_damage(state)
    if is_last and state.asleep_since >= 0:
        _wake(state.last_second, state, idle_M2)
    return at


@njit(cache=True, inline="always")
def _add_samples(kind, second, payload, rate, state, counts_CN, record_K, idle_M2):  # type: ignore[no-untyped-def]
    """Unpack the samples of a record; returns False when there is no room for them."""
    count = payload.size // 6 if kind == ACTIVITY2 else payload.size * 2 // 9
    if not rate // 2 <= count <= rate * 2:
        state.damaged += 1
        return True
    count = min(count, rate)
    first, k = state.samples, state.records
    if first + count > counts_CN.shape[1] or k == record_K.size:
        return False
    x, y, z = counts_CN[0, first:], counts_CN[1, first:], counts_CN[2, first:]
    if kind == ACTIVITY:
        unpack_12_bits(payload, count, x, y, z)
    elif kind == ACTIVITY3:
        unpack_12_bits(payload, count, y, x, z)
    else:
        unpack_int16(payload, count, x, y, z)
    if state.asleep_since >= 0:
        _wake(second, state, idle_M2)
    if k == 0 or second != record_K[k - 1].second:
        state.sequence += 1 + state.idle_seconds
    record = record_K[k]
    record.second, record.first, record.count, record.sequence = second, first, count, state.sequence
    state.samples, state.records = first + count, k + 1
    state.idle_seconds, state.known_until = 0, second + 1
    state.record_bytes = HEAD_BYTES + payload.size + 1
    return True


@njit(cache=True, nogil=True)
def _count_damage(state):  # type: ignore[no-untyped-def]
    """Count the skipped bytes as damaged records, at least one."""
    lost = state.skipped_bytes // state.record_bytes if state.record_bytes > 0 else 0
    state.damaged += max(1, lost)
    state.sequence += lost
    state.skipped_bytes = 0


@njit(cache=True, nogil=True)
def _fall_asleep(second, state):  # type: ignore[no-untyped-def]
    """Idle sleep begins, at the latest at `second`."""
    known = state.known_until
    state.asleep_since = known if known >= 0 and 0 <= second - known <= MAX_EVENT_DELAY_S else second


@njit(cache=True, nogil=True)
def _wake(second, state, idle_M2):  # type: ignore[no-untyped-def]
    """Idle sleep ends at `second`."""
    if second > state.asleep_since:
        if state.idle_spans < idle_M2.shape[0]:
            idle_M2[state.idle_spans, 0], idle_M2[state.idle_spans, 1] = state.asleep_since, second
            state.idle_spans += 1
        state.idle_seconds += second - state.asleep_since
        state.known_until = second
    state.asleep_since = -1


@njit(cache=True, nogil=True)
def _checksum(data: NDArray[np.uint8]) -> int:
    """The complement of the exclusive or of some bytes; the compiler vectorises this loop."""
    total = np.uint8(0)
    for i in range(data.size):
        total ^= data[i]
    return int(total) ^ 0xFF


@njit(cache=True, nogil=True)
def _uint32(data, at):  # type: ignore[no-untyped-def]
    """The little-endian number in four bytes."""
    return (
        np.int64(data[at]) | np.int64(data[at + 1]) << 8 | np.int64(data[at + 2]) << 16 | np.int64(data[at + 3]) << 24
    )


@njit(cache=True, nogil=True)
def _end_of_zeros(data, at):  # type: ignore[no-untyped-def]
    """The position of the next byte that is not zero, or the end of the data."""
    while at < data.size and data[at] == 0:
        at += 1
    return at


@njit(cache=True, nogil=True)
def _record_end(data, at):  # type: ignore[no-untyped-def]
    """Where the record at `at` ends; beyond the data where its length is cut off."""
    if at + HEAD_BYTES >= data.size:
        return data.size + 1
    return at + HEAD_BYTES + (np.int64(data[at + 6]) | np.int64(data[at + 7]) << 8) + 1


@njit(cache=True, nogil=True)
def _next_record(data, at, is_last, running):  # type: ignore[no-untyped-def]
    """Where the next good record begins, or one that continues beyond the data and may be good; else the data's end."""
    size = data.size
    while at < size:
        if data[at] == SEPARATOR:
            end = _record_end(data, at)
            if end > size:
                if not is_last:
                    return at
            elif (
                data[at + 1] <= LAST_TYPE
                and running[end - 1] ^ running[at] ^ 0xFF == data[end - 1]
                and (end == size or data[end] == SEPARATOR or data[end] == 0)
            ):
                return at
        at += 1
    return size


@njit(cache=True, nogil=True)
def _running_checksums(data):  # type: ignore[no-untyped-def]
    """The exclusive or of all bytes before each one, and of all of them."""
    running = np.empty(data.size + 1, dtype=np.uint8)
    total = np.uint8(0)
    for i in range(data.size):
        running[i] = total
        total ^= data[i]
    running[data.size] = total
    return running
