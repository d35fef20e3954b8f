"""A run's stream as it follows from the tables, the settings and a seed: who is drawn from, in which lanes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from train.windows.lanes import Lane, deal, lane_count, quotas
from train.windows.members import Members
from train.windows.settings import DataSettings


@dataclass(frozen=True)
class Plan:
    """Members with what each gives to a round, and their lanes."""

    members: Members
    quotas: np.ndarray[tuple[int], np.dtype[np.int64]]
    lanes: list[Lane]
    epoch_windows: int
    """Windows of a round of all lanes; of one in the mean, where it visits one day of every person."""


def make_plan(
    everyone: Members, held: Collection[str], data: DataSettings, seed: int, most_lanes: int | None = None
) -> Plan:
    """The plan for all but the people held out; `most_lanes` of a run that goes on are those it had.

    Raises UserError where nobody is left.
    """
    members = everyone.of(held, kept=False).some(data.max_participants)
    quota = quotas(members.starts, data.quota, data.min_spacing_s)
    person_M = members.person_M if data.one_day_per_participant else None
    dealt = members.slots.size if person_M is None else len(members.people)
    lanes = deal(members.slots, quota, lane_count(dealt, most_lanes or data.lanes), seed, data.days_per_pool, person_M)
    windows = int(quota.sum())
    if person_M is not None:
        days = np.bincount(person_M)
        windows = round(float((np.bincount(person_M, quota)[days > 0] / days[days > 0]).sum()))
    return Plan(members, quota, lanes, windows)
