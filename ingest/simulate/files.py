"""What the formats of recordings have in common for a writer: a file that is begun, and pieces that fill it.

A piece is what is lost together when a file is damaged: a block, a record, a page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

NO_NUMBER = -1
"""Of pieces that hold no samples."""


@dataclass(frozen=True)
class Pieces:
    """Pieces in the order of the file: number of each as the device counts, second of its first sample, bytes."""

    number_K: NDArray[np.int64]
    second_K: NDArray[np.float64]
    bytes_K: list[bytes]

    @classmethod
    def of(cls, pieces: Iterable[tuple[int, float, bytes]]) -> Pieces:
        """From tuples of number, second and bytes."""
        number_K, second_K, bytes_K = zip(*pieces, strict=True) if (pieces := list(pieces)) else ((), (), ())
        return cls(np.array(number_K, dtype=np.int64), np.array(second_K, dtype=np.float64), list(bytes_K))


class FileMaker(Protocol):
    """Turns a stream of samples into the pieces of one file; what does not fill one waits for the next call."""

    samples: int
    """In a piece."""

    def begun(self, file: BinaryIO) -> AbstractContextManager[Callable[[bytes], object]]:
        """Write what stands before the pieces, and give the place to write them; on leaving, what stands after."""

    def add(self, counts: NDArray[np.int16], celsius: NDArray[np.float32], light: float) -> Pieces:
        """The pieces that `counts` (n, 3) complete, of 256 counts a g."""
