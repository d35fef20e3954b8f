"""The records of a log.bin, walked and unpacked in compiled code as the bytes come (`actigraph_format` has the format).

Every record is checked by its checksum. Where one fails, the next good record is searched for, in time that is
linear whatever the bytes are: running checksums make each guess a single comparison. What lies between is left out
and counted, in records of the size before it.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ingest.devices.actigraph.format import (
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
from ingest.devices.actigraph.samples import MOST_SAMPLES, too_many, unpack_12_bits, unpack_int16
from ingest.devices.io.archive import PIECE, Cut
from ingest.recording import apart
from pipeline.numerics.jit import njit

MOST_BYTES = 7 * MOST_SAMPLES
"""Of a log: more than the records of so many samples take."""
LONGEST_RECORD = HEAD_BYTES + (1 << 16)
MOST_IDLE = 1_000_000
"""Spans of idle sleep; a week of them are some thousands."""
MOST_LATENESS_S = 2
"""Idle sleep begins with the second after the last record, though its event is often a second later."""
PADDING = 16
"""Zero bytes between records, fewer than this, are no damage."""


class _State(NamedTuple):
    """What one piece of the log hands to the next; arrays of one number, which the walk writes into."""

    samples: NDArray[np.int64]
    records: NDArray[np.int64]
    spans: NDArray[np.int64]
    damaged: NDArray[np.int64]
    skipped: NDArray[np.int64]
    """Bytes of a damaged stretch so far."""
    length: NDArray[np.int64]
    """Bytes of the last record of samples, its head included."""
    sequence: NDArray[np.int64]
    told: NDArray[np.int64]
    """Second up to which records and idle sleep have told what was; -1 before the first."""
    asleep: NDArray[np.int64]
    """Second at which idle sleep began; -1 when awake."""
    idle: NDArray[np.int64]
    """Seconds of idle sleep since the last record of samples."""
    last: NDArray[np.int64]
    """Second of the last record of any type."""


@dataclass(frozen=True)
class Log:
    """Samples and seconds of a log: record k holds the samples from first_K[k] on and was stamped at second_K[k].

    sequence_K: number of the second; goes on by the seconds of idle sleep and by what damage has cost.
    idle_M2: seconds since 1970 from and to.
    """

    counts_CN: NDArray[np.int16]
    second_K: NDArray[np.int64]
    first_K: NDArray[np.int64]
    count_K: NDArray[np.int64]
    sequence_K: NDArray[np.int64]
    idle_M2: NDArray[np.int64]
    damaged: int


def read_log(pieces: Iterable[Any], size: int, rate_hz: int) -> Log:
    """The log whose bytes, at most `size`, come in pieces; raises UserError when it holds too many samples."""
    room = min(MOST_SAMPLES, size // 4 + rate_hz)
    counts_CN = np.empty((3, room), dtype=np.int16)
    record_RK = np.empty((4, room // (rate_hz // 2) + 1), dtype=np.int64)
    idle_M2 = np.empty((min(MOST_IDLE, size // HEAD_BYTES + 1), 2), dtype=np.int64)
    state = _new_state()
    rest = b""

    def walk(data: bytes, final: bool) -> bytes:
        used = _walk(np.frombuffer(data, dtype=np.uint8), final, rate_hz, *state, counts_CN, record_RK, idle_M2)
        if used < 0:
            raise too_many()
        return data[used:]

    cut, total = 0, 0
    try:
        for piece in pieces:
            total += len(piece)
            if total > MOST_BYTES:
                raise too_many()
            rest = walk(b"".join((rest, piece)), False)
    except Cut:
        cut = 1 - bool(rest)  # what is left of a record is counted as damaged
    walk(rest, True)
    samples, records, spans = int(state.samples[0]), int(state.records[0]), int(state.spans[0])
    second_K, first_K, count_K, sequence_K = record_RK[:, :records].copy()
    idle_M2, damaged = apart(idle_M2[:spans]), int(state.damaged[0]) + cut
    return Log(counts_CN[:, :samples], second_K, first_K, count_K, sequence_K, idle_M2, damaged)


def log_span(pieces: Iterable[Any], rate_hz: int) -> tuple[int, int, int] | None:
    """First second, the second after the last, and samples of a log of any length, in the memory of one piece.

    None where it holds no samples.
    """
    room = (PIECE + LONGEST_RECORD) // 4
    counts_CN = np.empty((3, room), dtype=np.int16)
    record_RK, idle_M2 = np.empty((4, room), dtype=np.int64), np.empty((room, 2), dtype=np.int64)
    state = _new_state()
    samples, first, end = 0, 1 << 32, 0

    def walk(data: bytes, final: bool) -> bytes:
        nonlocal samples, first, end
        used = _walk(np.frombuffer(data, dtype=np.uint8), final, rate_hz, *state, counts_CN, record_RK, idle_M2)
        second_K, spans_M2 = record_RK[0, : state.records[0]], idle_M2[: state.spans[0]]
        first = min(first, int(second_K.min(initial=first)))
        end = max(end, int(second_K.max(initial=end - 1)) + 1, int(spans_M2.max(initial=end)))
        samples += int(state.samples[0])
        state.samples[0] = state.records[0] = state.spans[0] = 0
        return data[used:]

    rest = b""
    with suppress(Cut):
        for piece in pieces:
            rest = walk(b"".join((rest, piece)), False)
    walk(rest, True)
    return (first, end, samples) if samples else None


def _new_state() -> _State:
    state = _State(*(np.zeros(1, dtype=np.int64) for _ in _State._fields))
    state.told[0] = state.asleep[0] = -1
    return state


@njit(cache=True, nogil=True)
def _walk(  # type: ignore[no-untyped-def]
    data, final, rate, samples, records, spans, damaged, skipped, length, sequence, told, asleep, idle, last,
    counts_CN, record_RK, idle_M2,
):  # fmt: skip
    """Read all whole records of `data`; gives how many bytes are done, or -1 where there is no room for more."""
    size = data.size
    running, is_ready = np.empty(size + 1, dtype=np.uint8), False
    at = 0
    while at < size:
        if skipped[0] > 0:
            if not is_ready:
                _run(data, running)
                is_ready = True
            found = _search(data, at, final, running)
            skipped[0] += found - at
            at = found
            if at == size:
                break
        elif data[at] == 0:
            stop = at
            while stop < size and data[stop] == 0:
                stop += 1
            if stop == size and not final and stop - at < PADDING:
                break
            skipped[0] += stop - at if stop - at >= PADDING else 0
            at = stop
            continue
        end = _end(data, at)
        if data[at] == SEPARATOR and end > size and not final:
            break
        if data[at] != SEPARATOR or end > size or _checksum(data[at : end - 1]) != data[end - 1]:
            skipped[0] += 1
            at += 1
            continue
        if skipped[0] > 0:
            _count_damage(damaged, skipped, sequence, length[0])
        kind, body, payload = data[at + 1], at + HEAD_BYTES, end - 1 - at - HEAD_BYTES
        second = np.int64(data[at + 2]) | data[at + 3] << 8 | data[at + 4] << 16 | np.int64(data[at + 5]) << 24
        if kind in (ACTIVITY, ACTIVITY2, ACTIVITY3) and payload > 1:
            count = payload // 6 if kind == ACTIVITY2 else payload * 2 // 9
            if rate // 2 <= count <= rate * 2:
                count = min(count, rate)
                first, k = samples[0], records[0]
                if first + count > counts_CN.shape[1] or k == record_RK.shape[1]:
                    return -1
                x, y, z = (counts_CN[0, first:], counts_CN[1, first:], counts_CN[2, first:])
                if kind == ACTIVITY:
                    unpack_12_bits(data[body:], count, x, y, z)
                elif kind == ACTIVITY3:
                    unpack_12_bits(data[body:], count, y, x, z)
                else:
                    unpack_int16(data[body:], count, x, y, z)
                if asleep[0] >= 0:
                    _wake(second, idle_M2, spans, told, asleep, idle)
                if k == 0 or second != record_RK[0, k - 1]:
                    sequence[0] += 1 + idle[0]
                record_RK[0, k], record_RK[1, k], record_RK[2, k], record_RK[3, k] = second, first, count, sequence[0]
                samples[0], records[0], idle[0] = first + count, k + 1, 0
                told[0], length[0] = second + 1, end - at
            else:
                damaged[0] += 1
        elif kind == EVENT and payload == 1:
            if data[body] == IDLE_BEGINS and asleep[0] < 0:
                asleep[0] = told[0] if told[0] >= 0 and 0 <= second - told[0] <= MOST_LATENESS_S else second
            elif data[body] == IDLE_ENDS and asleep[0] >= 0:
                _wake(second, idle_M2, spans, told, asleep, idle)
        last[0] = second
        at = end
    if final and skipped[0] > 0:
        _count_damage(damaged, skipped, sequence, length[0])
    if final and asleep[0] >= 0:
        _wake(last[0], idle_M2, spans, told, asleep, idle)
    return at


@njit(cache=True, nogil=True)
def _count_damage(damaged, skipped, sequence, length):  # type: ignore[no-untyped-def]
    """A damaged stretch is over."""
    lost = skipped[0] // length if length > 0 else 0
    damaged[0] += max(1, lost)
    sequence[0] += lost
    skipped[0] = 0


@njit(cache=True, nogil=True)
def _wake(second, idle_M2, spans, told, asleep, idle):  # type: ignore[no-untyped-def]
    """Idle sleep is over at a second."""
    if second > asleep[0]:
        if spans[0] < idle_M2.shape[0]:
            idle_M2[spans[0], 0], idle_M2[spans[0], 1] = asleep[0], second
            spans[0] += 1
        idle[0] += second - asleep[0]
        told[0] = second
    asleep[0] = -1


@njit(cache=True, nogil=True)
def _checksum(data: NDArray[np.uint8]) -> int:
    """The complement of the exclusive or of some bytes; a loop that becomes vector code."""
    total = np.uint8(0)
    for i in range(data.size):
        total ^= data[i]
    return int(total) ^ 0xFF


@njit(cache=True, nogil=True)
def _end(data, at):  # type: ignore[no-untyped-def]
    """Where the record that begins at a place ends; beyond the data where they do not tell."""
    if at + HEAD_BYTES >= data.size:
        return data.size + 1
    return at + HEAD_BYTES + (np.int64(data[at + 6]) | np.int64(data[at + 7]) << 8) + 1


@njit(cache=True, nogil=True)
def _search(data, at, final, running):  # type: ignore[no-untyped-def]
    """The next place where a good record begins, or one that may be good and goes beyond the data; else their end."""
    size = data.size
    while at < size:
        if data[at] == SEPARATOR:
            end = _end(data, at)
            if end > size:
                if not final:
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
def _run(data, running):  # type: ignore[no-untyped-def]
    """Write the exclusive or of all bytes before each one."""
    total = np.uint8(0)
    for i in range(data.size):
        running[i] = total
        total ^= data[i]
    running[data.size] = total
