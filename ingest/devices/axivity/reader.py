"""Read .cwa files of the Axivity AX3 and the accelerometer of the AX6, packed or unpacked (see `cwa_format`).

Every block is checked (checksum, magic, length, format, sample count). A block that fails is left out and counted, and
nothing is filled in. Decoding is one pass over the file, in compiled code, into int16: a week at 100 Hz takes 363 MB.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

import numpy as np
from numpy.typing import NDArray

from ingest.devices.axivity import cwa_format as cwa
from ingest.devices.axivity.full_seconds import from_full_seconds
from ingest.devices.io.ends import Ends, is_near_median
from ingest.devices.io.mapped import release_pages
from ingest.devices.location import place
from ingest.recording import Probe, Recording
from pipeline.errors import UserError
from pipeline.numerics.jit import njit

PACKED_CAPACITY = 120
"""Samples of three axes that a packed block holds."""
PAYLOAD_BYTES = 480
CHUNK_BLOCKS = 1 << 17
"""Blocks unpacked at a time; then the memory of a mapped file is released."""
MIN_RATE = 0.95
"""No device runs slower than this times its nominal rate. Bounds the span when the end is unreadable."""

_BEGINNING = cwa.HEADER_MAGIC + cwa.HEADER_LENGTH.to_bytes(2, "little")


def recognises(head: bytes) -> bool:
    """Return whether a file with this head is a .cwa recording."""
    return head.startswith(_BEGINNING)


def probe(ends: Ends) -> Probe:
    """Return what the header and the first and last blocks show; raises UserError where neither end has a time."""
    header = _header(ends.head)
    head, tail = _blocks(ends.head[cwa.HEADER.itemsize :]), _blocks(ends.tail)
    blocks = max(0, (ends.size - cwa.HEADER.itemsize) // cwa.BLOCK.itemsize)
    some = next((part for part in (head, tail) if len(part) and _plausible(part).any()), head)
    first = some[_first_good(some)]
    rate_hz = _rate_hz(first)
    samples = blocks * _capacity(int(first["format"]))
    longest_us = round(samples * 1e6 / (MIN_RATE * rate_hz))
    begin, last = _span(head, rate_hz), _span(tail, rate_hz)
    if begin is None and last is None:
        raise UserError(
            "expected a calendar time in the first or last blocks, found none: the clock was never set, or these "
            "blocks are damaged. Leave the recording out, or repair it with the vendor's software."
        )
    start_us = begin[0] if begin else last[1] - longest_us if last else 0
    end_us = last[1] if last else start_us + longest_us
    return Probe(
        device=_device(header),
        serial=_serial(header),
        start=np.datetime64(start_us, "us"),
        end=np.datetime64(max(start_us, end_us), "us"),
        nominal_rate_hz=rate_hz,
        samples=samples,
        location=_location(header),
    )


def _span(blocks: NDArray[np.void], rate_hz: float) -> tuple[int, int] | None:
    """Return when the good blocks at an end of a recording begin and end, in microseconds; stray stamps are ignored."""
    good = blocks[_plausible(blocks)]
    stamp_us, offset, stamped = _stamps(good, rate_hz)
    near = np.flatnonzero(stamped)[is_near_median(stamp_us[stamped])]
    if not near.size:
        return None
    first, last = near[0], near[-1]
    after = int(good["sample_count"][last:].sum()) - int(offset[last])
    return int(stamp_us[first] - round(offset[first] * 1e6 / rate_hz)), int(
        stamp_us[last] + round(after * 1e6 / rate_hz)
    )


def decode(data: Any) -> Recording:
    """Return the recording in a complete .cwa file (bytes, memory map, any buffer); raises UserError."""
    header = _header(bytes(memoryview(data)[: cwa.HEADER.itemsize]))
    blocks = _blocks(memoryview(data)[cwa.HEADER.itemsize :])
    first = blocks[_first_good(blocks)]
    rate_code, format_ = int(first["rate_code"]), int(first["format"])
    rate_hz, axes, capacity = _rate_hz(first), format_ >> 4, _capacity(format_)
    packed = format_ & 0xF == cwa.PACKED
    words_BW = np.frombuffer(blocks, dtype="<u2").reshape(len(blocks), -1)
    counts_CN = np.empty((3, len(blocks) * capacity), dtype=np.int16)
    good_B = np.empty(len(blocks), dtype=np.bool_)
    expected = (int.from_bytes(cwa.BLOCK_MAGIC, "little"), cwa.BLOCK_LENGTH, rate_code | format_ << 8, capacity)
    samples, heads = 0, []
    for begin in range(0, len(blocks), CHUNK_BLOCKS):
        words, good = words_BW[begin : begin + CHUNK_BLOCKS], good_B[begin : begin + CHUNK_BLOCKS]
        samples = _unpack(words, packed, 0 if axes == 3 else 3, axes, expected, samples, counts_CN, good)
        heads.append(np.ascontiguousarray(words[:, : cwa.PAYLOAD_OFFSET // 2])[good])
        release_pages(data, begin * cwa.BLOCK.itemsize, (begin + CHUNK_BLOCKS) * cwa.BLOCK.itemsize)
    kept = np.concatenate(heads).view(cwa.BLOCK_HEAD)[:, 0]
    stamp_us, offset, stamped = _stamps(kept, rate_hz)
    count_K = kept["sample_count"].astype(np.int64)
    first_K = np.cumsum(count_K) - count_K
    if _is_oldest(kept).all():
        stamp_us = from_full_seconds(stamp_us, first_K, kept["sequence_id"].astype(np.int64), stamped, rate_hz)
    per_g = cwa.COUNTS_PER_G if packed else cwa.COUNTS_PER_G << (int(first["light"]) >> 13)
    limit = min(cwa.range_g(rate_code) * per_g, 32768)
    quantum = cwa.range_g(rate_code) // 2 if packed else 1
    remainder = (len(memoryview(data)) - cwa.HEADER.itemsize) % cwa.BLOCK.itemsize
    return Recording(
        device=_device(header),
        serial=_serial(header),
        location=_location(header),
        nominal_rate_hz=rate_hz,
        counts_CN=counts_CN[:, :samples],
        g_per_count_C=np.full(3, 1 / per_g),
        offset_g_C=np.zeros(3),
        rail_counts=limit - quantum,
        limit_counts=limit,
        first_K=first_K,
        count_K=count_K,
        sequence_K=kept["sequence_id"].astype(np.int64),
        stamp_sample_K=first_K + offset,
        stamp_us_K=stamp_us,
        stamped_K=stamped,
        celsius_K=cwa.celsius(kept["temperature"]),
        resumed_K=_resumed(kept),
        damaged_blocks=int((~good_B).sum()) + (remainder > 0),
        firmware=str(int(header["firmware"])),
    )


def _header(head: bytes) -> NDArray[np.void]:
    """The header as a structured scalar."""
    if len(head) < cwa.HEADER.itemsize:
        raise UserError(
            f"expected a .cwa header of {cwa.HEADER.itemsize} bytes, found {len(head)} bytes in all. The file is empty "
            "or its copy was cut off: copy it again."
        )
    header: NDArray[np.void] = np.frombuffer(head, dtype=cwa.HEADER, count=1)[0]
    if header["magic"] != cwa.HEADER_MAGIC or header["length"] != cwa.HEADER_LENGTH:
        raise UserError(
            "expected an Axivity recording, which begins with 'MD' and the length 1020; found "
            f"{head[:4].hex(' ')}. This is not an Axivity recording: leave it out, or correct its suffix."
        )
    if int(header["hardware"]) not in (*cwa.AX3_HARDWARE, *cwa.AX6_HARDWARE):
        raise UserError(
            f"expected the hardware type of an AX3 or AX6, found 0x{int(header['hardware']):02x}. "
            "Leave the recording out."
        )
    return header


def _device(header: NDArray[np.void]) -> str:
    return "AX6" if int(header["hardware"]) in cwa.AX6_HARDWARE else "AX3"


def _serial(header: NDArray[np.void]) -> str:
    upper = int(header["device_id_upper"])
    return str(int(header["device_id"]) | (0 if upper == 0xFFFF else upper << 16))


def _location(header: NDArray[np.void]) -> str | None:
    """Return where the device was worn, from the annotation."""
    text = bytes(header["annotation"]).rstrip(b"\x20\x00\xff").decode("utf-8", "replace")
    return place(parse_qs(text).get("_p", [""])[0])


def _blocks(data: Any) -> NDArray[np.void]:
    """Return the complete blocks in a buffer that begins with one."""
    return np.frombuffer(data, dtype=cwa.BLOCK, count=len(data) // cwa.BLOCK.itemsize)


def _capacity(format_: int) -> int:
    """Samples in a full block."""
    return PACKED_CAPACITY if format_ & 0xF == cwa.PACKED else PAYLOAD_BYTES // (2 * (format_ >> 4))


def _plausible(blocks: NDArray[np.void]) -> NDArray[np.bool_]:
    """Return which blocks have the right magic, length and checksum, and a format that can be read."""
    sums = np.frombuffer(blocks, dtype="<u2").reshape(len(blocks), -1).sum(axis=1, dtype=np.uint16)
    plausible = (sums == 0) & (blocks["magic"] == cwa.BLOCK_MAGIC) & (blocks["length"] == cwa.BLOCK_LENGTH)
    return plausible & np.isin(blocks["format"], (0x30, 0x32, 0x62, 0x92)) & (blocks["sample_count"] > 0)


def _first_good(blocks: NDArray[np.void]) -> int:
    """Return the index of the first plausible block; raises UserError when there is none."""
    chunk = 4096
    for start in range(0, len(blocks), chunk):
        good = np.flatnonzero(_plausible(blocks[start : start + chunk]))
        if good.size:
            return start + int(good[0])
    raise UserError(
        f"expected at least one undamaged block of samples, found {len(blocks)} damaged ones. The device recorded "
        "nothing, or the copy is damaged: copy it again or leave it out."
    )


def _is_oldest(blocks: NDArray[np.void]) -> Any:
    """Return which blocks are of the oldest firmware, with the rate in Hz in place of the offset of the stamp."""
    return (blocks["rate_code"] == 0) & ((blocks["device_fractional"] & cwa.FRACTION_FLAG) == 0)


def _rate_hz(block: NDArray[np.void]) -> float:
    """Return the nominal rate of a block."""
    stated = int(block["timestamp_offset"])
    return (
        float(stated) if _is_oldest(block) and stated in cwa.OLDEST_RATES_HZ else cwa.rate_hz(int(block["rate_code"]))
    )


def _stamps(blocks: NDArray[np.void], rate_hz: float) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Return the stamps: microseconds since 1970, their sample in the block, and whether they exist."""
    time = cwa.unpack_timestamp(blocks["timestamp"])
    stamped = ~np.isnat(time)
    word = blocks["device_fractional"].astype(np.int64)
    fraction = np.where(word & cwa.FRACTION_FLAG, word & ~cwa.FRACTION_FLAG, 0)
    stated = np.where(_is_oldest(blocks), 0, blocks["timestamp_offset"]).astype(np.int64)
    offset = stated + np.floor(fraction * (rate_hz / 32768)).astype(np.int64)
    seconds = np.where(stamped, time, np.datetime64(0, "s")).astype(np.int64)
    return seconds * 1_000_000 + np.round(fraction * (1e6 / 32768)).astype(np.int64), offset, stamped


def _resumed(blocks: NDArray[np.void]) -> NDArray[np.bool_]:
    """Return the blocks before which the device stopped and was started again, as on USB: it then counts from 0."""
    sequence = blocks["sequence_id"].astype(np.int64)
    resumed = (blocks["events"] & cwa.RESUMED) != 0
    resumed[1:] |= sequence[1:] < sequence[:-1]
    return resumed


@njit(cache=True, nogil=True)
def _unpack(
    words_BW: NDArray[np.uint16],
    packed: bool,
    axis: int,
    axes: int,
    expected: tuple[int, int, int, int],
    before: int,
    counts_CN: NDArray[np.int16],
    good_B: NDArray[np.bool_],
) -> int:
    """Check every block, and write the samples of good ones after the first `before`; returns how many there are.

    `axis` is the first accelerometer axis of `axes` in an unpacked block. `expected` holds the words of magic, length,
    and rate code with format, and the capacity of a block.
    """
    magic, length, kind, capacity = expected
    x, y, z = counts_CN[0], counts_CN[1], counts_CN[2]
    one = np.uint64(1)  # numba vectorises unsigned positions only
    first, at = np.uint64(axis + cwa.PAYLOAD_OFFSET // 2), np.uint64(before)
    for b in range(words_BW.shape[0]):
        words = words_BW[b]
        total = np.uint16(0)
        for w in range(256):
            total = np.uint16(total + words[w])
        n = np.int64(words[14])
        good_B[b] = total == 0 and words[0] == magic and words[1] == length and words[12] == kind and 0 < n <= capacity
        if not good_B[b]:
            continue
        if packed:
            for i in range(np.uint64(n)):
                k = first + i + i
                low, high = np.int32(words[k]), np.int32(words[k + one])
                value = np.int32(low | np.int32(high << 16))
                shift = np.int32(high >> 14)
                x[at + i] = np.int32(np.int32(np.int32(value << 22) >> 22) << shift)
                y[at + i] = np.int32(np.int32(np.int32(value << 12) >> 22) << shift)
                z[at + i] = np.int32(np.int32(np.int32(value << 2) >> 22) << shift)
        else:
            for i in range(np.uint64(n)):
                k = first + np.uint64(axes) * i
                x[at + i] = np.int16(words[k])
                y[at + i] = np.int16(words[k + one])
                z[at + i] = np.int16(words[k + one + one])
        at += np.uint64(n)
    return int(at)
