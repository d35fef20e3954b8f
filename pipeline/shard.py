"""The bytes of a person-day's objects, as Zarr v3 reads them (docs/store.md), made without going through zarr.

zarr hands 24 chunks of a shard one by one through an event loop and asks the storage before it writes; here a
day is compressed in one pass on the caller's thread, and put whole. What zarr reads back is tested to be the same.
"""

from __future__ import annotations

from typing import Any

import google_crc32c
import numcodecs
import numpy as np
from numpy.typing import NDArray

from pipeline.grid import FILL, TICKS_PER_DAY, TICKS_PER_HOUR

HOURS = TICKS_PER_DAY // TICKS_PER_HOUR
EMPTY = np.uint64(2**64 - 1)
"""Offset and length, in a shard's index, of a chunk that is not there because it holds nothing but fill."""

numcodecs.blosc.use_threads = False  # one task, one core: parallel are the tasks


def blosc(codec: str) -> numcodecs.Blosc:
    """The compressor of a store of this codec (lz4 or zstd)."""
    return numcodecs.Blosc(codec, clevel=5 if codec == "lz4" else 1, shuffle=numcodecs.Blosc.BITSHUFFLE)


def encode_signal(signal_CT: NDArray[np.int16], compressor: numcodecs.Blosc) -> bytes:
    """A shard: the compressed hours that hold a value, then the index of all 24 with its checksum.

    Source: the sharding codec of the Zarr v3 specification, its index at the end.
    """
    chunks, index = [], np.full((HOURS, 2), EMPTY, "<u8")
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
    """A chunk of its own: little-endian values in C order, compressed, and the checksum."""
    return _with_checksum(bytes(compressor.encode(np.ascontiguousarray(values, values.dtype.newbyteorder("<")))))


def _with_checksum(data: bytes) -> bytes:
    return data + int(google_crc32c.value(data)).to_bytes(4, "little")
