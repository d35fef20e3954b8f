"""The plan of a run's stream: its members, their quotas and lanes, from the tables, the settings and a seed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from train.windows.lanes import Lane, deal, lane_count, quotas
from train.windows.members import Members
from train.windows.settings import DataSettings


@dataclass(frozen=True)
class Plan:
    """Members, the quota of each in a round, and the lanes that they are dealt to."""

    members: Members
    quotas: np.ndarray[tuple[int], np.dtype[np.int64]]
    lanes: list[Lane]
    epoch_windows: int
    """Windows in a round of all lanes; the mean, if a round visits one day of every participant."""


def make_plan(
    everyone: Members,
    held_out: Collection[str],
    data: DataSettings,
    seed: int,
    max_lanes: int | None = None,
    people_share_pools: bool = False,
) -> Plan:
    """Plan the stream for everyone but the held-out participants.

    A resumed run passes its number of lanes as `max_lanes`. `people_share_pools` is that of the run's companions
    (`companions.kind.Bound`). Raises UserError if no day is left.
    """
    members = everyone.without_participants(held_out).limited_to(data.max_participants)
    quota = quotas(members.starts, data.quota, data.min_spacing_s)
    together = people_share_pools and not data.one_day_per_participant
    participant_M = members.participant_M if data.one_day_per_participant or together else None
    dealt = members.slots.size if participant_M is None else len(members.participants)
    count = lane_count(dealt, max_lanes or data.lanes)
    lanes = deal(members.slots, quota, count, seed, data.days_per_pool, participant_M, together)
    windows = int(quota.sum())
    if participant_M is not None and not together:
        days = np.bincount(participant_M)
        windows = round(float((np.bincount(participant_M, quota)[days > 0] / days[days > 0]).sum()))
    return Plan(members, quota, lanes, windows)
