"""ActiGraph GT3X+, wGT3X-BT, GT9X Link and others of their kind: .gt3x files (`actigraph_format` has the format).

A record is one second. One that fails its checksum is left out and counted; of an archive that is cut off, what is
there is read. Idle sleep is no sample, it becomes spans. The archive is unpacked in pieces that are read at once,
so that memory holds the samples and nothing else.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.devices.actigraph import format as gt3x
from ingest.devices.actigraph.info import Info, read_info
from ingest.devices.actigraph.log import log_span, read_log
from ingest.devices.actigraph.samples import read_packed
from ingest.devices.io.archive import DEFLATED, Cut, Member, Read, members, unpacked, walked
from ingest.devices.io.ends import Ends
from ingest.recording import Probe, Recording
from pipeline.errors import UserError

INFO, LOG, SAMPLES = "info.txt", "log.bin", "activity.bin"
OURS = {LOG, SAMPLES, "gt3xplus.ico"}
"""Members that no other archive has; one of them begins in the first 64 KB."""
HEAD = 1 << 16
"""Bytes of a member in which everything about the device stands."""
SLACK_US = 60_000_000
"""The clock of the software that told the end is off by less."""
MOST_COMPRESSION = 1_032
"""Deflate cannot shrink by more."""


def recognises(head: bytes) -> bool:
    """Whether a file that begins so is an ActiGraph's: a zip archive with a member that only theirs have."""
    with suppress(UserError):
        return not OURS.isdisjoint(walked(lambda begin, end: head[begin:end], len(head)))
    return False


def probe(ends: Ends) -> Probe:
    """What info.txt and the archive's directory tell; raises UserError for what is no .gt3x recording.

    Where they do not tell the span, as in an archive that is cut off, all of it is read, a piece at a time.
    """
    found = _members(ends.read, ends.size)
    info = _info(ends.read, found)
    if info.start_us is None or info.end_us is None:
        return _probe_whole(ends.read, found, info)
    end_us = info.end_us + SLACK_US
    return Probe(
        device=info.device,
        serial=info.serial,
        start=np.datetime64(info.start_us, "us"),
        end=np.datetime64(end_us, "us"),
        nominal_rate_hz=float(info.rate_hz),
        samples=(end_us - info.start_us) * info.rate_hz // 1_000_000,
        location=info.location,
        clock=info.clock,
    )


def decode(data: Any) -> Recording:
    """The recording in a whole .gt3x file (bytes, a memory map, any buffer); raises UserError when it holds none."""
    view = memoryview(data)

    def read(begin: int, end: int) -> bytes:
        return bytes(view[begin:end])

    def look(begin: int, end: int) -> memoryview:
        return view[begin:end]

    found = _members(read, len(view))
    info = _info(read, found)
    if LOG in found:
        member = found[LOG]
        log = read_log(unpacked(look, member), _most_bytes(member, len(view)), info.rate_hz)
        return _recording(
            info, log.counts_CN, log.first_K, log.count_K, log.sequence_K, log.second_K * 1_000_000,
            log.idle_M2 * 1_000_000, log.damaged,
        )  # fmt: skip
    start_us = _start_us(info)
    member = found[SAMPLES]
    counts_CN, cut = read_packed(unpacked(look, member), _most_bytes(member, len(view)))
    one = np.array([counts_CN.shape[1]]) if counts_CN.size else np.empty(0, dtype=np.int64)
    none = np.zeros_like(one)
    return _recording(info, counts_CN, none, one, none, none + start_us, np.empty((0, 2), dtype=np.int64), cut)


def _recording(
    info: Info,
    counts_CN: NDArray[np.int16],
    first_K: NDArray[np.int64],
    count_K: NDArray[np.int64],
    sequence_K: NDArray[np.int64],
    stamp_us_K: NDArray[np.int64],
    idle_spans_us: NDArray[np.int64],
    damaged: int,
) -> Recording:
    if not first_K.size:
        raise UserError(_EMPTY)
    full = round(info.range_g * info.counts_per_g)
    limit = min(max(full, gt3x.TWELVE_BITS), 32768)
    return Recording(
        device=info.device,
        serial=info.serial,
        location=info.location,
        nominal_rate_hz=float(info.rate_hz),
        counts_CN=counts_CN,
        g_per_count_C=np.full(3, 1 / info.counts_per_g),
        offset_g_C=np.zeros(3),
        rail_counts=min(full, limit - 1),
        limit_counts=limit,
        first_K=first_K,
        count_K=count_K,
        sequence_K=sequence_K,
        stamp_sample_K=first_K,
        stamp_us_K=stamp_us_K,
        stamped_K=np.ones(first_K.size, dtype=np.bool_),
        celsius_K=np.full(first_K.size, np.nan, dtype=np.float32),
        damaged_blocks=damaged,
        idle_spans_us=idle_spans_us,
        firmware=info.firmware,
        clock=info.clock,
    )


_EMPTY = (
    "a recording has at least one undamaged record of samples; found none. The device recorded nothing, or the copy is "
    "damaged: copy it again or leave it out."
)


def _start_us(info: Info) -> int:
    """When an activity.bin begins; raises UserError where info.txt does not tell it."""
    if info.start_us is None:
        raise UserError("info.txt tells no Start Date, and an activity.bin has no other time. Copy the file again.")
    return info.start_us


def _members(read: Read, size: int) -> dict[str, Member]:
    """The archive's members, one of which holds samples."""
    found = members(read, size)
    if LOG not in found and SAMPLES not in found:
        raise UserError(
            f"an ActiGraph's recording is a zip archive that holds {LOG} or {SAMPLES}; found "
            f"{f'an archive of {len(found)} other files' if found else 'no archive'}. Leave it out, give it its true "
            "suffix, or copy it again."
        )
    return found


def _info(read: Read, found: dict[str, Member]) -> Info:
    return read_info(_beginning(read, found.get(INFO)), _beginning(read, found.get(LOG)))


def _beginning(read: Read, member: Member | None) -> bytes:
    """The first bytes of a member, as far as they are there."""
    if member is None:
        return b""
    with suppress(Cut):
        for piece in unpacked(read, Member(member.begin, min(member.end, member.begin + HEAD), member.method, None)):
            return bytes(piece[:HEAD])
    return b""


def _most_bytes(member: Member, size: int) -> int:
    """No more bytes come out of a member of an archive of `size` bytes."""
    return max(0, min(member.end, size) - member.begin) * (MOST_COMPRESSION if member.method == DEFLATED else 1)


def _probe_whole(read: Read, found: dict[str, Member], info: Info) -> Probe:
    """The span of what can be read."""
    if LOG in found:
        span = log_span(unpacked(read, found[LOG]), info.rate_hz)
        if span is None:
            raise UserError(_EMPTY)
        start, end, samples = span
        start_us, end_us = start * 1_000_000, end * 1_000_000
    else:
        size = 0
        with suppress(Cut):
            for piece in unpacked(read, found[SAMPLES]):
                size += len(piece)
        start_us, samples = _start_us(info), size * 2 // 9
        end_us = start_us + samples * 1_000_000 // info.rate_hz
    return Probe(
        device=info.device,
        serial=info.serial,
        start=np.datetime64(start_us, "us"),
        end=np.datetime64(end_us, "us"),
        nominal_rate_hz=float(info.rate_hz),
        samples=samples,
        location=info.location,
        clock=info.clock,
    )
