"""Person-days made in memory, and stores of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from pipeline import grid
from pipeline.identity import Key
from pipeline.store.person_day import PersonDay, motion
from pipeline.store.states import MEASURED, NONWEAR
from pipeline.store.store import Store


class MadeDay:
    """A day in memory that can be read like a stored one."""

    def __init__(self, day: PersonDay) -> None:
        self.day = day

    def states(self) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Motion and state of each second."""
        return self.day.motion_S, self.day.state_S

    def windows(self, tick_N: NDArray[np.int64], place_N: NDArray[np.int64], out_BCT: NDArray[np.int16]) -> None:
        """Copy the windows that start at these ticks to their places."""
        for first, place in zip(tick_N.tolist(), place_N.tolist(), strict=True):
            out_BCT[place] = self.day.signal_CT[:, first : first + out_BCT.shape[2]]


class MadeDays:
    """Days that are a function of their slot: a few minutes measured, with one interval of non-wear.

    Each tick shows where it is from: axis 0 holds the slot, axes 1 and 2 the second and the tick in it.
    """

    def __init__(self, seconds: int = 900) -> None:
        self.seconds = seconds

    @cache  # noqa: B019 (made once a test module)
    def read_day(self, slot: int) -> PersonDay:
        """The day of a slot."""
        random = np.random.default_rng(slot)
        first = int(random.integers(0, grid.SECONDS_PER_DAY - self.seconds))
        state = np.zeros(grid.SECONDS_PER_DAY, np.uint8)
        state[first : first + self.seconds] = MEASURED
        state[first + 300 : first + 400] |= NONWEAR
        signal = np.full((3, grid.TICKS_PER_DAY), grid.FILL, np.int16)
        ticks = np.arange(first * 30, (first + self.seconds) * 30)
        signal[0, ticks] = slot
        signal[1, ticks] = ticks // 30 % 30_000
        signal[2, ticks] = ticks % 30 * random.integers(1, 40, self.seconds).repeat(30)
        return PersonDay(signal, motion(signal, state), state)

    def open_day(self, slot: int) -> MadeDay:
        """Open the day of a slot, as a reader does."""
        return MadeDay(self.read_day(slot))

    def starts(self, slot: int, window_seconds: int) -> int:
        """Eligible starts of a day, counted one by one."""
        state = self.read_day(slot).state_S
        good = (state & MEASURED != 0) & (state & NONWEAR == 0)
        return sum(
            bool(good[s : s + window_seconds].all()) for s in np.flatnonzero(good) if s + window_seconds <= good.size
        )


class NoiseDays(MadeDays):
    """Such days with noise as their signal; the other days are constant for whole seconds."""

    @cache  # noqa: B019 (made once a test module)
    def read_day(self, slot: int) -> PersonDay:
        """The day of a slot."""
        day = super().read_day(slot)
        noise = np.random.default_rng(slot).normal(0, 800, day.signal_CT.shape)
        signal = np.where(day.signal_CT == grid.FILL, grid.FILL, noise).astype(np.int16)
        return PersonDay(signal, motion(signal, day.state_S), day.state_S)


def write_store(
    url: str,
    people: int,
    days: int,
    seconds: int = 900,
    made: MadeDays | None = None,
    locations: Sequence[str] | None = None,
) -> Store:
    """Write a store of made days: slot p * days + d is day d of participant p; `locations` take turns over slots."""
    store = Store.create(url, Key(bytes(32)), {"made": "for tests"})
    store.grow(people * days)
    made = made or MadeDays(seconds)
    rows = []
    for slot in range(people * days):
        day = made.read_day(slot)
        store.write_day(slot, day)
        wear = int(((day.state_S & MEASURED != 0) & (day.state_S & NONWEAR == 0)).sum())
        counts = {f"eligible_{length}s": made.starts(slot, length) for length in (5, 10, 30)}
        person = f"{slot // days:064x}"
        row = {"slot": slot, "participant": person, "recording": person, "wear_seconds": wear, **counts}
        rows.append(row | ({"location": locations[slot % len(locations)]} if locations else {}))
    store.person_days.append(rows)
    return store
