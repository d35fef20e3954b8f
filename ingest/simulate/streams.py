"""Random streams by purpose, so that a recording depends neither on the others nor on the order of work."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class StreamPurpose(IntEnum):
    """What a stream is for. The values determine the bytes of every simulated file: append, never renumber."""

    COHORT = 0
    PERSON = 1
    DEVICE = 2
    DIARY = 3
    MOVEMENT = 4
    NOISE = 5
    FAULT = 6
    MODEL = 7
    CLOCK = 8


def stream(seed: int, participant: int, purpose: StreamPurpose, index: int = 0) -> np.random.Generator:
    """Return the generator of (seed, participant, purpose, index); streams are independent."""
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence((seed, participant, purpose, index))))


def number_of_device(participant: int, device: int) -> int:
    """Return the number that streams of a participant's device (from 0) use in place of the participant's."""
    return participant + (device << 32)


def is_one_in(every: int, seed: int, participant: int, trait: int) -> bool:
    """Return whether `participant` is the one in `every` consecutive participants with a trait.

    So even a small population has each trait, and adding participants changes nobody.
    """
    offset = int(stream(seed, 0, StreamPurpose.COHORT, trait).integers(every))
    return (participant + offset) % every == 0
