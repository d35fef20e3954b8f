"""Unpack the samples of an ActiGraph in compiled code; and read activity.bin, which holds nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.devices.io.archive import DamagedMember
from pipeline.errors import UserError
from pipeline.numerics.jit import njit

MAX_SAMPLES = 170_000_000
"""19 days at 100 Hz or 65 at 30 Hz; 1 GB, the most memory that a recording gets by what its headers claim."""
LONG_SAMPLES = 520_000_000
"""60 days at 100 Hz; 3.1 GB, for recordings that are as long as they claim."""
LONG_SAMPLES_PER_BYTE = 4
"""Real movement cannot be compressed to so few bytes (measured: about one sample a byte)."""


def read_packed(pieces: Iterable[Any], max_bytes: int, stored_bytes: int) -> tuple[NDArray[np.int16], int]:
    """Return the samples (3, N) of an activity.bin of at most `max_bytes` bytes, and 1 if it is damaged, else 0.

    stored_bytes: its bytes in the archive, which show whether a long recording can be one. Raises UserError when it
    holds too many samples.
    """
    limit = max(MAX_SAMPLES, min(LONG_SAMPLES, LONG_SAMPLES_PER_BYTE * stored_bytes))
    room = min(limit, max_bytes // 4 + 2)
    counts_CN = np.empty((3, room), dtype=np.int16)
    samples, rest, cut = 0, b"", 0
    try:
        for piece in pieces:
            data = b"".join((rest, piece))
            complete = len(data) // 9 * 9
            samples += _unpack(data[:complete], counts_CN[:, samples:], limit)
            rest = data[complete:]
    except DamagedMember:
        cut = 1
    samples += _unpack(rest, counts_CN[:, samples:], limit)
    return counts_CN[:, :samples], cut


def _unpack(data: bytes, into_CN: NDArray[np.int16], limit: int) -> int:
    count = len(data) * 2 // 9
    if count > into_CN.shape[1]:
        raise too_many_samples(limit)
    unpack_12_bits(np.frombuffer(data, dtype=np.uint8), count, *into_CN)
    return count


def too_many_samples(limit: int) -> UserError:
    """Return the error for an archive with more samples than any recording has."""
    return UserError(
        f"expected at most {limit:,} samples, found more: the archive is damaged or malicious. Leave it out, or "
        "export a shorter span with the vendor's software."
    )


@njit(cache=True, nogil=True)
def unpack_12_bits(  # type: ignore[no-untyped-def]
    data: NDArray[np.uint8], count: int, x, y, z
) -> None:
    """Write `count` samples of 12 bits per axis, in the order y, x, z, the highest bits first."""
    for i in range(count // 2):
        y[2 * i] = _upper(data, 9 * i)
        x[2 * i] = _lower(data, 9 * i + 1)
        z[2 * i] = _upper(data, 9 * i + 3)
        y[2 * i + 1] = _lower(data, 9 * i + 4)
        x[2 * i + 1] = _upper(data, 9 * i + 6)
        z[2 * i + 1] = _lower(data, 9 * i + 7)
    if count % 2:
        y[count - 1] = _upper(data, 9 * (count // 2))
        x[count - 1] = _lower(data, 9 * (count // 2) + 1)
        z[count - 1] = _upper(data, 9 * (count // 2) + 3)


@njit(cache=True, inline="always")
def _upper(data, at):  # type: ignore[no-untyped-def]
    """The signed upper 12 bits of two bytes; in 16-bit arithmetic, which the compiler vectorises."""
    return np.int16(np.uint16(data[at]) << np.uint16(8) | np.uint16(data[at + 1])) >> np.int16(4)


@njit(cache=True, inline="always")
def _lower(data, at):  # type: ignore[no-untyped-def]
    """The signed lower 12 bits of two bytes."""
    return np.int16(np.uint16(data[at]) << np.uint16(12) | np.uint16(data[at + 1]) << np.uint16(4)) >> np.int16(4)


@njit(cache=True, inline="always")
def _word(data, at):  # type: ignore[no-untyped-def]
    return np.int16(np.uint16(data[at]) | np.uint16(data[at + 1]) << np.uint16(8))


@njit(cache=True, nogil=True)
def unpack_int16(data: NDArray[np.uint8], count: int, x, y, z) -> None:  # type: ignore[no-untyped-def]
    """Write `count` samples of int16, in the order x, y, z."""
    for i in range(count):
        x[i] = _word(data, 6 * i)
        y[i] = _word(data, 6 * i + 2)
        z[i] = _word(data, 6 * i + 4)
