"""Random numbers by what they are for, so that a recording never depends on the others or on the order of work."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What a stream is for. Values are part of every simulated file: append, never renumber."""

    COHORT = 0
    PERSON = 1
    DEVICE = 2
    DIARY = 3
    MOVEMENT = 4
    NOISE = 5
    FAULT = 6
    MODEL = 7


def stream(seed: int, participant: int, purpose: Purpose, index: int = 0) -> np.random.Generator:
    """The generator of (seed, participant, purpose, index); streams share nothing."""
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence((seed, participant, purpose, index))))


def is_one_in(every: int, seed: int, participant: int, trait: int) -> bool:
    """Whether `participant` is the one in `every` consecutive participants that carries a trait.

    Even a small population so has each trait, and adding participants changes nobody.
    """
    offset = int(stream(seed, 0, Purpose.COHORT, trait).integers(every))
    return (participant + offset) % every == 0
