"""What the writers of all formats share: a file is opened with its header, then filled with pieces.

A piece is the unit that damage destroys: a block, a record or a page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

NO_NUMBER = -1
"""The number of pieces without samples."""


@dataclass(frozen=True)
class Pieces:
    """Pieces in the order of the file: number as the device counts them, second of the first sample, bytes."""

    number_K: NDArray[np.int64]
    second_K: NDArray[np.float64]
    bytes_K: list[bytes]

    @classmethod
    def of(cls, pieces: Iterable[tuple[int, float, bytes]]) -> Pieces:
        """Build from tuples of number, second and bytes."""
        number_K, second_K, bytes_K = zip(*pieces, strict=True) if (pieces := list(pieces)) else ((), (), ())
        return cls(np.array(number_K, dtype=np.int64), np.array(second_K, dtype=np.float64), list(bytes_K))


class FileWriter(Protocol):
    """Turns a stream of samples into the pieces of one file; the rest of the samples waits for the next call."""

    samples: int
    """Number of samples in a piece."""

    def opened(self, file: BinaryIO) -> AbstractContextManager[Callable[[bytes], object]]:
        """Write the header, yield a function that writes pieces, and finish the file on exit."""

    def add(self, counts: NDArray[np.int16], celsius: NDArray[np.float32], light: float) -> Pieces:
        """Return the pieces that `counts` (n, 3), of 256 counts per g, complete."""
