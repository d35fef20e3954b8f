"""The bytes of a person-day's objects in Zarr v3 (docs/store.md), encoded and decoded without zarr.

zarr passes the 24 chunks of a shard one by one through an event loop, and queries the storage before it writes. Here
a day is compressed in one pass on the caller's thread, and single hours are read. Tests show that zarr writes the
same bytes and reads the same values.
"""

from __future__ import annotations

import struct
from typing import Any

import google_crc32c
import numcodecs
import numpy as np
from numpy.typing import NDArray

from pipeline.grid import AXES, FILL, TICKS_PER_DAY, TICKS_PER_HOUR

HOURS = TICKS_PER_DAY // TICKS_PER_HOUR
INDEX_BYTES = HOURS * 16 + 4
NO_CHUNK = np.uint64(2**64 - 1)
"""Offset and length, in a shard's index, of a chunk that is not stored because it holds nothing but fill."""
HOUR_BYTES = AXES * TICKS_PER_HOUR * 2
BLOSC_HEADER = 16
MAX_CHUNK_BYTES = HOUR_BYTES + BLOSC_HEADER + 4
"""Blosc stores data that do not shrink as they are."""
_FLAGS, _STORED, _BIT_SHUFFLED = 2, 0x2, 0x4
_BLOSC = struct.Struct("<2xBxII4x")
_CHECKSUM = struct.Struct("<I")

Bytes = bytes | memoryview | NDArray[np.uint8]

numcodecs.blosc.use_threads = False  # one task uses one core: tasks run in parallel


def blosc(codec: str) -> numcodecs.Blosc:
    """The compressor for a store's codec (lz4 or zstd)."""
    return numcodecs.Blosc(codec, clevel=5 if codec == "lz4" else 1, shuffle=numcodecs.Blosc.BITSHUFFLE)


def encode_signal(signal_CT: NDArray[np.int16], compressor: numcodecs.Blosc) -> bytes:
    """A shard: the compressed hours that hold a value, then the index of all 24 with its checksum.

    Source: the sharding codec of the Zarr v3 specification, with its index at the end.
    """
    chunks, index = [], np.full((HOURS, 2), NO_CHUNK, "<u8")
    end = 0
    for hour in range(HOURS):
        values_CT = signal_CT[:, hour * TICKS_PER_HOUR : (hour + 1) * TICKS_PER_HOUR]
        if (values_CT != FILL).any():
            chunk = encode_plain(values_CT.astype("<i2"), compressor)
            index[hour] = end, len(chunk)
            chunks.append(chunk)
            end += len(chunk)
    return b"".join([*chunks, _with_checksum(index.tobytes())])


def encode_plain(values: NDArray[Any], compressor: numcodecs.Blosc) -> bytes:
    """A single chunk: little-endian values in C order, compressed, and the checksum."""
    return _with_checksum(bytes(compressor.encode(np.ascontiguousarray(values, values.dtype.newbyteorder("<")))))


def _with_checksum(data: bytes) -> bytes:
    return data + int(google_crc32c.value(data)).to_bytes(4, "little")


class DamagedData(ValueError):
    """Bytes that differ from what was written."""


def read_index(tail: bytes) -> NDArray[np.uint64]:
    """Offset and length of each hour's chunk, (24, 2), from the last INDEX_BYTES bytes of a shard.

    Raises DamagedData.
    """
    if len(tail) != INDEX_BYTES:
        raise DamagedData(f"a shard ends with an index of {INDEX_BYTES} bytes, found {len(tail)}")
    index = _checked(tail).view("<u8").reshape(HOURS, 2)
    if (index[:, 1] > MAX_CHUNK_BYTES)[index[:, 0] != NO_CHUNK].any():
        raise DamagedData(f"the index names a chunk of more than {MAX_CHUNK_BYTES} bytes")
    return index


def decode(chunk: Bytes, out: NDArray[Any]) -> None:
    """Decode a chunk's values into an array of their type and shape. Raises DamagedData."""
    data = _checked(chunk)
    _read_header(data, out.nbytes)
    _decompress(data, out)


def decode_shuffled(chunk: Bytes, out: NDArray[np.uint8]) -> int:
    """Decode an hour's values into HOUR_BYTES bytes, still bit-shuffled; returns how many were shuffled together.

    Returns 0 where they were not shuffled. numcodecs' blosc undoes the shuffle with the oldest instructions of a
    processor, and for all values, which costs more than the decompression (`pipeline.store.unshuffle` does better).
    So, once its checksum has been checked, the header is changed to say that there is no shuffle. Raises DamagedData.
    """
    data = _checked(chunk)
    flags, block_bytes = _read_header(data, out.nbytes)
    if flags & _STORED or not flags & _BIT_SHUFFLED:
        _decompress(data, out)
        return 0
    data = data if data.flags.writeable else data.copy()
    data[_FLAGS] = flags & ~_BIT_SHUFFLED
    _decompress(data, out)
    return block_bytes // 2


def _read_header(data: NDArray[np.uint8], expected: int) -> tuple[int, int]:
    """Flags and bytes per block of a chunk that should hold `expected` bytes."""
    if data.size >= BLOSC_HEADER:
        flags, found, block_bytes = _BLOSC.unpack_from(data.data)
        if found == expected:
            return flags, block_bytes
    raise DamagedData(f"expected a chunk of {expected} bytes")


def _decompress(data: NDArray[np.uint8], out: NDArray[Any]) -> None:
    try:
        numcodecs.blosc.decompress(data, out)
    except RuntimeError as error:
        raise DamagedData(str(error)) from None


def _checked(data: Bytes) -> NDArray[np.uint8]:
    """The bytes before the checksum at their end, if it matches."""
    found = np.frombuffer(data, np.uint8)
    if found.size < 4 or google_crc32c.value(found[:-4]) != _CHECKSUM.unpack_from(found.data, found.size - 4)[0]:
        raise DamagedData("a checksum (crc32c) does not match")
    return found[:-4]
