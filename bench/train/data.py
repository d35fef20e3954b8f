"""Person-days in memory and the stream over them, so that a step can be measured without a store."""

from __future__ import annotations

from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from pipeline.grid import AXES, SECONDS_PER_DAY, TICKS_PER_DAY, TICKS_PER_SECOND
from pipeline.store.states import MEASURED
from train.windows.lanes import deal, lane_count, per_step, quotas
from train.windows.settings import DataSettings
from train.windows.stream import Stream

COUNTS_PER_G = 1024.0
DAYS = 16
APART_S = 4_111
"""Seconds by which each day lags the one before."""


class MadeDays:
    """Days of one wrist: gravity that turns slowly, bouts of movement at 1 to 3 Hz, sensor noise; measured throughout.

    Only one day is simulated. The others are copies of it, shifted by hours, because a draw from a copy takes as long.
    """

    @cached_property
    def first(self) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
        """Signal (3, ticks of a day) in counts, and the motion of each second in g."""
        random = np.random.default_rng(0)
        second_S = np.arange(SECONDS_PER_DAY)
        size_S = np.where(random.random(SECONDS_PER_DAY // 60).repeat(60) < 0.3, random.gamma(2, 0.1, second_S.size), 0)
        time_T = np.arange(TICKS_PER_DAY, dtype=np.float32) / TICKS_PER_SECOND
        signal_CT = np.empty((AXES, TICKS_PER_DAY), np.int16)
        variance_S = np.zeros(SECONDS_PER_DAY)
        for axis in range(AXES):
            g_T = np.sin(time_T / (60 + 17 * axis) + axis) / 1.5
            g_T += size_S.repeat(TICKS_PER_SECOND) * np.sin(2 * np.pi * (1.1 + 0.6 * axis) * time_T)
            g_T += random.normal(0, 0.004, TICKS_PER_DAY)
            signal_CT[axis] = np.rint(COUNTS_PER_G * g_T)
            variance_S += (signal_CT[axis].reshape(-1, TICKS_PER_SECOND) / COUNTS_PER_G).var(1)
        return signal_CT, np.sqrt(variance_S).astype(np.float32)

    def open_day(self, slot: int) -> MadeDay:
        """The day of a slot."""
        return MadeDay(self, slot * APART_S)


class MadeDay:
    """A day in memory, as the stream reads one (`train.windows.pool.Day`)."""

    def __init__(self, days: MadeDays, later_s: int) -> None:
        self.days, self.later_s = days, later_s

    def states(self) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Motion and state of each second."""
        return np.roll(self.days.first[1], self.later_s), np.full(SECONDS_PER_DAY, MEASURED, np.uint8)

    def windows(self, tick_N: NDArray[np.int64], place_N: NDArray[np.int64], out_BCT: NDArray[np.int16]) -> None:
        """Put the windows that begin at these ticks into their places."""
        signal_CT, ticks = self.days.first[0], out_BCT.shape[2]
        for tick, place in zip(tick_N.tolist(), place_N.tolist(), strict=True):
            first = (tick - self.later_s * TICKS_PER_SECOND) % (TICKS_PER_DAY - ticks)
            out_BCT[place] = signal_CT[:, first : first + ticks]


@cache
def made_days() -> MadeDays:
    """The days, made once in a process."""
    return MadeDays()


def made_stream(data: DataSettings, batch: int, threads: int) -> Stream:
    """The stream of one process over 16 made days."""
    slots = np.arange(DAYS)
    quota = quotas(np.full(DAYS, SECONDS_PER_DAY - data.seconds + 1), data.quota)
    lanes = deal(slots, quota, lane_count(DAYS, data.lanes), 0, data.days_per_pool)
    return Stream(made_days(), lanes, per_step(batch, len(lanes), 1), data.seconds, threads=threads)
