"""Samples of an ActiGraph out of their bytes, in compiled code; and files of old devices, which hold nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.devices.io.archive import Cut
from pipeline.errors import UserError
from pipeline.numerics.jit import njit

MOST_SAMPLES = 170_000_000
"""19 days at 100 Hz, 65 at 30 Hz, 1 GB: more memory a recording does not get."""


def read_packed(pieces: Iterable[Any], size: int) -> tuple[NDArray[np.int16], int]:
    """Samples (3, N) of an activity.bin of at most `size` bytes, and whether it was cut off (1) or not (0).

    Raises UserError when it holds too many samples.
    """
    room = min(MOST_SAMPLES, size // 4 + 2)
    counts_CN = np.empty((3, room), dtype=np.int16)
    samples, rest, cut = 0, b"", 0
    try:
        for piece in pieces:
            data = b"".join((rest, piece))
            whole = len(data) // 9 * 9
            samples += _unpack(data[:whole], counts_CN[:, samples:])
            rest = data[whole:]
    except Cut:
        cut = 1
    samples += _unpack(rest, counts_CN[:, samples:])
    return counts_CN[:, :samples], cut


def _unpack(data: bytes, into_CN: NDArray[np.int16]) -> int:
    count = len(data) * 2 // 9
    if count > into_CN.shape[1]:
        raise too_many()
    unpack_12_bits(np.frombuffer(data, dtype=np.uint8), count, *into_CN)
    return count


def too_many() -> UserError:
    """The error of an archive that holds more samples than any recording."""
    return UserError(
        f"the archive unpacks to more than {MOST_SAMPLES:,} samples, of which no memory is given: it is damaged or "
        "made to do harm. Leave it out, or export a shorter span with the vendor's software."
    )


@njit(cache=True, nogil=True)
def unpack_12_bits(  # type: ignore[no-untyped-def]
    data: NDArray[np.uint8], count: int, x, y, z
) -> None:
    """Write `count` samples of 12 bits an axis, in the order y, x, z, the highest bits first."""
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
    """The signed upper 12 bits of two bytes; 16-bit arithmetic throughout, which becomes vector code."""
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
