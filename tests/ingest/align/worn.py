"""Stores of made person-days: devices that record the same made movement, each by a wrong clock of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import grid
from pipeline.identity import Key
from pipeline.store.day_figures import day_figures
from pipeline.store.person_day import PersonDay, motion
from pipeline.store.states import MEASURED
from pipeline.store.store import Store

KEY = Key(bytes(32))
DAY_0 = 19_786
"""The first day, counted from 1970-01-01."""
START_S, HOURS = 8 * 3600, 3
MARGIN = 3 * grid.TICKS_PER_HOUR


@dataclass(frozen=True)
class Worn:
    """A recording: whose, of which movement, from when to when by true time, and how wrong its clock is."""

    person: str
    movement: int = 0
    place: str | None = "left wrist"
    serial: str | None = None
    first_s: int = START_S
    """True seconds from midnight of the first day."""
    hours: float = HOURS
    offset_ticks: float = 0.0
    drift_ppm: float = 0.0
    repeats_s: int = 0
    """The movement repeats after this many seconds, or never."""
    noise: int = 0
    """Seed of what only this device sees."""

    def shown(self, true_tick: NDArray[np.float64] | float) -> Any:
        """What the clock shows at a true tick."""
        return true_tick + self.offset_ticks + self.drift_ppm / 1e6 * (true_tick - START_S * 30)


@cache
def movement(seed: int, repeats_s: int = 0) -> NDArray[np.float32]:
    """Acceleration in g at 30 Hz, from three hours before midnight to the end of two days: bouts of smooth noise."""
    random = np.random.default_rng(seed)
    ticks = 2 * grid.TICKS_PER_DAY + MARGIN
    length = random.integers(3 * 30, 90 * 30, ticks // 1000)
    height = np.exp(random.normal(-2.5, 1.2, length.size))
    height_T = np.resize(np.repeat(height, length), ticks)
    move_T = np.convolve(random.normal(0, 1, ticks), np.hanning(7), "same").astype(np.float32) * height_T
    period = repeats_s * 30
    return np.resize(move_T[:period], ticks).astype(np.float32) if period else move_T.astype(np.float32)


def days_of(worn: Worn) -> dict[int, PersonDay]:
    """The person-days of a recording, by day."""
    begin, end = (worn.shown((worn.first_s + seconds) * 30.0) for seconds in (0, worn.hours * 3600))
    tick_N = np.arange(int(np.ceil(begin)), int(np.floor(end)))
    true_N = START_S * 30 + (tick_N - worn.offset_ticks - START_S * 30) / (1 + worn.drift_ppm / 1e6)
    random = np.random.default_rng((worn.noise, 7))
    move_T = movement(worn.movement, worn.repeats_s)
    seen_N = np.interp(true_N + MARGIN, np.arange(move_T.size), move_T)
    axes_CN = np.stack((0.3 * seen_N, 0.2 * seen_N, 1 + seen_N)) + random.normal(0, 0.004, (3, seen_N.size))
    days = {}
    for day in range(tick_N[0] // grid.TICKS_PER_DAY, tick_N[-1] // grid.TICKS_PER_DAY + 1):
        inside = tick_N // grid.TICKS_PER_DAY == day
        signal_CT = np.full((3, grid.TICKS_PER_DAY), grid.FILL, np.int16)
        signal_CT[:, tick_N[inside] % grid.TICKS_PER_DAY] = np.rint(axes_CN[:, inside] * grid.COUNTS_PER_G)
        measured_S = (signal_CT[0] != grid.FILL).reshape(-1, 30).all(1)
        state_S = np.where(measured_S, MEASURED, 0).astype(np.uint8)
        days[DAY_0 + day] = PersonDay(signal_CT, motion(signal_CT, state_S), state_S)
    return days


def write(url: str, *recordings: Worn, people: Any = "named", relative_dates: bool = False) -> Store:
    """Write a store of these recordings, in their order."""
    store = Store.create(url, KEY, {"relative_dates": relative_dates}, people=people)
    return add(store, *recordings, relative_dates=relative_dates)


def add(store: Store, *recordings: Worn, relative_dates: bool = False) -> Store:
    """Add recordings to a store."""
    for worn in recordings:
        days, first = days_of(worn), store.length
        name = KEY.recording(f"{worn}{first}")
        of = {"recording": name, "participant": KEY.participant(worn.person)}
        store.plan.append([of | {"source": "1", "first_slot": first, "slots": len(days)}])
        store.grow(first + len(days))
        rows = []
        for index, (day, made) in enumerate(days.items()):
            store.write_day(first + index, made)
            when = None if relative_dates else np.datetime64(day, "D").astype(object)
            more = {"slot": first + index, "day": when, "day_index": index}
            serial = KEY.device(worn.serial) if worn.serial else None
            more |= {"location": worn.place, "serial": serial}
            rows.append(of | more | day_figures(made, grid.COUNTS_PER_G))
        store.person_days.append(rows)
        store.recordings.append([of | {"source": "1", "status": "done", "person_days": len(rows)}])
    return store


def pair(person: str = "Ann", **other: Any) -> tuple[Worn, Worn]:
    """Two devices of one person that were worn at the same time; `other` changes the second."""
    first = Worn(person, noise=1)
    return first, replace(first, place="right hip", noise=2, **{"offset_ticks": 77.4, "drift_ppm": 11.0} | other)
