"""Read .gt3x files of ActiGraph GT3X+, wGT3X-BT, GT9X Link and relatives (see `gt3x_format`).

A record is one second. A record with a wrong checksum is left out and counted, and a truncated archive is read as far
as it goes. Idle sleep becomes spans, not samples. The archive is unpacked piece by piece, and each piece is read at
once, so that memory holds only the samples.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.devices.actigraph import gt3x_format as gt3x
from ingest.devices.actigraph.device_info import DeviceInfo, read_info
from ingest.devices.actigraph.log_records import LogRecords, log_span, read_log
from ingest.devices.actigraph.unpack_samples import read_packed
from ingest.devices.io.archive import DEFLATED, DamagedMember, Member, Read, members, unpacked, walk_members
from ingest.devices.io.ends import Ends
from ingest.recording import Probe, Recording
from pipeline.errors import UserError

INFO, LOG, ACTIVITY = "info.txt", "log.bin", "activity.bin"
OWN_MEMBERS = {LOG, ACTIVITY, "gt3xplus.ico"}
"""Members that only ActiGraph archives have; one of them begins in the first 64 KB."""
HEAD_BYTES = 1 << 16
"""Bytes at the beginning of a member that hold everything about the device."""
SLACK_US = 60_000_000
"""Upper bound of the error of the computer clock that stated the end."""
MAX_DEFLATE_RATIO = 1_032
"""Deflate cannot compress better."""


def recognises(head: bytes) -> bool:
    """Return whether a file with this head is a zip archive with a member that only ActiGraph archives have."""
    with suppress(UserError):
        return not OWN_MEMBERS.isdisjoint(walk_members(lambda begin, end: head[begin:end], len(head)))
    return False


def probe(ends: Ends) -> Probe:
    """Return what info.txt and the first records state; raises UserError for a file that is not a .gt3x recording.

    Where they do not state the span, as in a truncated archive, the complete file is read, a piece at a time.
    """
    found = _members(ends.read, ends.size)
    info = _info(ends.read, found)
    if info.start_us is None or info.end_us is None:
        return _probe_all(ends.read, found, info)
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
    """Return the recording in a complete .gt3x file (bytes, memory map, any buffer); raises UserError."""
    view = memoryview(data)

    def read(begin: int, end: int) -> bytes:
        return bytes(view[begin:end])

    def view_of(begin: int, end: int) -> memoryview:
        return view[begin:end]

    found = _members(read, len(view))
    info = _info(read, found)
    if LOG in found:
        member = found[LOG]
        log = read_log(unpacked(view_of, member), _max_bytes(member, len(view)), info.rate_hz)
        return _recording(info, log, log.second_K * 1_000_000)
    start_us = _start_us(info)
    member = found[ACTIVITY]
    counts_CN, damaged = read_packed(
        unpacked(view_of, member), _max_bytes(member, len(view)), _stored_bytes(member, len(view))
    )
    count_K = np.array([counts_CN.shape[1]]) if counts_CN.size else np.empty(0, dtype=np.int64)
    zero_K = np.zeros_like(count_K)
    stamp_us_K = zero_K + start_us
    no_idle_M2 = np.empty((0, 2), dtype=np.int64)
    log = LogRecords(counts_CN, stamp_us_K // 1_000_000, zero_K, count_K, zero_K, no_idle_M2, damaged)
    return _recording(info, log, stamp_us_K)


def _recording(info: DeviceInfo, log: LogRecords, stamp_us_K: NDArray[np.int64]) -> Recording:
    if not log.first_K.size:
        raise UserError(_EMPTY)
    full = round(info.range_g * info.counts_per_g)
    limit = min(max(full, gt3x.TWELVE_BITS), 32768)
    return Recording(
        device=info.device,
        serial=info.serial,
        location=info.location,
        nominal_rate_hz=float(info.rate_hz),
        counts_CN=log.counts_CN,
        g_per_count_C=np.full(3, 1 / info.counts_per_g),
        offset_g_C=np.zeros(3),
        rail_counts=min(full, limit - 1),
        limit_counts=limit,
        first_K=log.first_K,
        count_K=log.count_K,
        sequence_K=log.sequence_K,
        stamp_sample_K=log.first_K,
        stamp_us_K=stamp_us_K,
        stamped_K=np.ones(log.first_K.size, dtype=np.bool_),
        celsius_K=np.full(log.first_K.size, np.nan, dtype=np.float32),
        damaged_blocks=log.damaged,
        idle_spans_us=log.idle_M2 * 1_000_000,
        is_counted=False,
        firmware=info.firmware,
        clock=info.clock,
    )


_EMPTY = (
    "expected at least one undamaged record of samples, found none. The device recorded nothing, or the copy is "
    "damaged: copy it again or leave it out."
)


def _start_us(info: DeviceInfo) -> int:
    """Return when an activity.bin begins; raises UserError where info.txt does not state it."""
    if info.start_us is None:
        raise UserError(
            "expected a Start Date in info.txt, found none; an activity.bin has no other time. Copy the file again."
        )
    return info.start_us


def _members(read: Read, size: int) -> dict[str, Member]:
    """Return the archive's members, one of which holds samples; raises UserError."""
    found = members(read, size)
    if LOG not in found and ACTIVITY not in found:
        raise UserError(
            f"expected an ActiGraph recording, a zip archive with {LOG} or {ACTIVITY}; found "
            f"{f'an archive with {len(found)} other files' if found else 'no archive'}. Leave it out, correct its "
            "suffix, or copy it again."
        )
    return found


def _info(read: Read, found: dict[str, Member]) -> DeviceInfo:
    return read_info(_beginning(read, found.get(INFO)), _beginning(read, found.get(LOG)))


def _beginning(read: Read, member: Member | None) -> bytes:
    """Return the first bytes of a member, as far as they can be read."""
    if member is None:
        return b""
    with suppress(DamagedMember):
        for piece in unpacked(
            read, Member(member.begin, min(member.end, member.begin + HEAD_BYTES), member.method, None)
        ):
            return bytes(piece[:HEAD_BYTES])
    return b""


def _max_bytes(member: Member, size: int) -> int:
    """Return an upper bound of the unpacked bytes of a member, in an archive of `size` bytes."""
    return _stored_bytes(member, size) * (MAX_DEFLATE_RATIO if member.method == DEFLATED else 1)


def _stored_bytes(member: Member, size: int) -> int:
    """Return the bytes of a member in an archive of `size` bytes."""
    return max(0, min(member.end, size) - member.begin)


def _probe_all(read: Read, found: dict[str, Member], info: DeviceInfo) -> Probe:
    """Return the span of everything that can be read."""
    if LOG in found:
        span = log_span(unpacked(read, found[LOG]), info.rate_hz)
        if span is None:
            raise UserError(_EMPTY)
        start, end, samples = span
        start_us, end_us = start * 1_000_000, end * 1_000_000
    else:
        size = 0
        with suppress(DamagedMember):
            for piece in unpacked(read, found[ACTIVITY]):
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
