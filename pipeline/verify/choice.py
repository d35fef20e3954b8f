"""Which person-days are read whole."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipeline.verify.listing import Int


def everything(slots: Int) -> Int:
    """All."""
    return slots


def nothing(slots: Int) -> Int:
    """None: names alone are compared."""
    return slots[:0]


def some(count: int) -> Callable[[Int], Int]:
    """So many, other ones each time, so that repeated looks come round."""
    return lambda slots: np.sort(np.random.default_rng().choice(slots, min(count, slots.size), replace=False))
