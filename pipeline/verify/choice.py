"""Which person-days are read."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Int = NDArray[np.int64]
Choice = Callable[[Int], Int]
"""Chooses among the slots that have all their objects."""


def all_slots(slots: Int) -> Int:
    """Choose all."""
    return slots


def no_slots(slots: Int) -> Int:
    """Choose none: only names are compared."""
    return slots[:0]


def random_slots(count: int) -> Choice:
    """Choose `count` at random, different ones each time, so that repeated runs cover the store."""
    return lambda slots: np.sort(np.random.default_rng().choice(slots, min(count, slots.size), replace=False))
