"""The sampling law as a pure function: the tables and a seed decide which windows each step gets.

The members (person-days) are dealt to L lanes. A lane visits each of its days once, in its own order, before it visits
any again: this is a round. It takes a few days at a time (a pool) and gives b windows to each step. So every position
of a lane's endless stream is known without reading a sample: position p is in round p // (windows of a round), and
there the prefix sums of the quotas give the pool. Rank r of W owns the lanes r, r + W, ..., so the global batch is the
same at every W.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from pipeline.errors import UserError
from pipeline.grid import SECONDS_PER_DAY
from train.random import Purpose, round_key
from train.windows.draw import Int, own_numbers


def quotas(eligible_starts: Int, windows_per_day: int, spacing: int = 1) -> Int:
    """Return the windows that each day gives to a round: its share of `windows_per_day` by eligible starts, at least 1.

    Never more than it has starts, or than certainly fit when starts are `spacing` seconds apart: each drawn start
    excludes `spacing - 1` others on both sides. 0 for a day without eligible starts.
    """
    share = np.rint(windows_per_day * eligible_starts / SECONDS_PER_DAY).astype(np.int64)
    return np.minimum(np.maximum(share, 1), -(-eligible_starts // (2 * spacing - 1)))


def lane_count(members: int, lanes: int) -> int:
    """Return the number of lanes: as set, or the largest power of two not above a smaller number of members."""
    if members < 1:
        raise UserError(
            "no person-day is left to draw from: widen data.where, lower data.min_wear_hours, or ingest more."
        )
    return lanes if lanes <= members else 1 << (members.bit_length() - 1)


def per_step(batch: int, lanes: int, world_size: int) -> int:
    """Return the number of windows that a lane gives to each step.

    Raises UserError, with the nearest valid values, if batch, lanes and processes do not divide.
    """
    if lanes % world_size:
        valid = [count for count in range(1, lanes + 1) if lanes % count == 0]
        raise UserError(
            f"{world_size} processes cannot share {lanes} lanes evenly: run {nearest(world_size, valid)} processes."
        )
    if batch < 1 or batch % lanes:
        below = batch // lanes * lanes
        near = " or ".join(str(value) for value in (below, below + lanes) if value > 0)
        raise UserError(f"a batch of {batch} windows cannot be shared by {lanes} lanes evenly: make it {near}.")
    return batch // lanes


def nearest(value: int, valid: list[int]) -> str:
    """Return the valid numbers next to a value, as text."""
    below = max((count for count in valid if count < value), default=None)
    above = min((count for count in valid if count > value), default=None)
    return " or ".join(str(count) for count in (below, above) if count is not None)


def _order(slots: Int, lane_key: tuple[int, int], purpose: Purpose) -> Int:
    """Return a random order of slots, decided by each slot's own number."""
    return np.argsort(own_numbers(*lane_key, slots, np.zeros_like(slots), int(purpose)), kind="stable")


@dataclass(frozen=True)
class Pool:
    """The days that a lane draws from at one time, and the position of their windows in the lane's stream."""

    lane: int
    round: int
    index: int
    slots: Int
    quotas: Int
    first: int
    """Position of the pool's first window in the lane's stream."""

    @property
    def size(self) -> int:
        """Windows in the pool."""
        return int(self.quotas.sum())


@dataclass(frozen=True)
class Round:
    """One visit of a lane to each of its days. `slots` and `ends` are in the order of the visit."""

    slots: Int
    quotas: Int
    firsts: Int
    """Windows in this round before each pool, and in all of it."""
    cuts: Int
    """Index of the first day of each pool, and the number of days."""


@dataclass(frozen=True, eq=False)
class Lane:
    """One lane's endless stream. `slots` and `quotas` are those of its members, sorted by slot.

    With `participant_M` (the participant of each day), a round visits one day of each participant, chosen per round;
    or, if `together`, all days, at least two of a participant's in a pool with each other.
    """

    number: int
    seed: int
    days_per_pool: int
    slots: Int
    quotas: Int
    participant_M: Int | None = None
    together: bool = False
    _ends: list[int] = field(default_factory=lambda: [0])

    @property
    def largest_pool(self) -> int:
        """Upper bound on the windows of a pool."""
        days = max(self.days_per_pool, 3) if self.together else self.days_per_pool
        return int(np.sort(self.quotas)[-days:].sum())

    @property
    def _visits_all(self) -> bool:
        return self.participant_M is None or self.together

    def round(self, number: int) -> Round:
        """Return a round. Its first pool is shorter by the lane's number, so that lanes do not all read at once."""
        return _round(self, number)

    def windows_in(self, number: int) -> int:
        """Return the windows of a round: always the same, unless it visits one day of each participant."""
        return int(self.quotas[self._visited(number)].sum())

    def begin(self, number: int) -> int:
        """Return the position of a round's first window."""
        if self._visits_all:
            return number * int(self.quotas.sum())
        while len(self._ends) <= number:
            self._ends.append(self._ends[-1] + self.windows_in(len(self._ends) - 1))
        return self._ends[number]

    def _round_of(self, position: int) -> int:
        if self._visits_all:
            return position // int(self.quotas.sum())
        while self._ends[-1] <= position:
            self.begin(len(self._ends))
        return bisect_right(self._ends, position) - 1

    def _visited(self, number: int) -> Int:
        """Return the indices in `slots` of the days of a round."""
        if self.participant_M is None or self.together:
            return np.arange(self.slots.size)
        key = _key(self, number)
        chance = own_numbers(*key, self.slots, np.zeros_like(self.slots), int(Purpose.DAY_CHOICE))
        order = np.lexsort((chance, self.participant_M))
        first = np.diff(self.participant_M[order], prepend=-1) != 0
        return np.sort(order[first])

    def pool_at(self, position: int) -> Pool:
        """Return the pool that contains a position of the stream, by arithmetic and prefix sums."""
        number = self._round_of(position)
        begin, visit = self.begin(number), self.round(number)
        index = int(np.searchsorted(visit.firsts, position - begin, side="right")) - 1
        days = slice(visit.cuts[index], visit.cuts[index + 1])
        first = begin + int(visit.firsts[index])
        return Pool(self.number, number, index, visit.slots[days], visit.quotas[days], first)

    def after(self, pool: Pool) -> Pool:
        """Return the pool that follows."""
        return self.pool_at(pool.first + pool.size)


def _key(lane: Lane, number: int) -> tuple[int, int]:
    first, second = round_key(lane.seed, lane.number, number)
    return int(first), int(second)


@lru_cache(maxsize=256)
def _round(lane: Lane, number: int) -> Round:
    visited = lane._visited(number)
    visited = visited[_order(lane.slots[visited], _key(lane, number), Purpose.DAY_ORDER)]
    first_days = 1 + lane.number % lane.days_per_pool
    if lane.together and lane.participant_M is not None:
        order, groups = grouped(lane.participant_M[visited], lane.days_per_pool)
        visited, cuts = visited[order], packed(groups, first_days, lane.days_per_pool)
    else:
        cuts = np.unique(np.array([0, *range(first_days, visited.size, lane.days_per_pool), visited.size]))
    slots, sizes = lane.slots[visited], lane.quotas[visited]
    return Round(slots, sizes, np.concatenate(([0], np.cumsum(sizes)))[cuts], cuts)


def grouped(participant_M: Int, days_per_pool: int) -> tuple[Int, Int]:
    """Put days of a participant next to each other, in groups of 2 to `days_per_pool` (or 3, if that is less).

    Groups are as large as possible, and of almost the same size. They stay in the order of their first days. Returns
    the new order of the days, and the size of each group.
    """
    rank_M = np.arange(participant_M.size)
    by_person = np.argsort(participant_M, kind="stable")
    _, first, days = np.unique(participant_M[by_person], return_index=True, return_counts=True)
    groups = np.maximum(np.minimum(-(-days // days_per_pool), days // 2), 1)
    place = rank_M - np.repeat(first, days)
    begins = np.diff(place * np.repeat(groups, days) // np.repeat(days, days), prepend=-1) != 0
    begins[first] = True
    starts = np.flatnonzero(begins)
    sizes = np.diff(starts, append=participant_M.size)
    order = np.lexsort((by_person, np.repeat(by_person[starts], sizes)))
    return by_person[order], sizes[np.argsort(by_person[starts])]


def packed(groups: Int, first_days: int, days_per_pool: int) -> Int:
    """Cut consecutive groups of days into pools of at most `days_per_pool` days, or of one larger group.

    The first pool has at most `first_days`, or one group. Returns the cuts, as `Round.cuts`.
    """
    cuts, limit = [0], first_days
    for end, size in zip(np.cumsum(groups).tolist(), groups.tolist(), strict=True):
        if end - cuts[-1] > limit and end - size > cuts[-1]:
            cuts.append(end - size)
            limit = days_per_pool
    return np.array([*cuts, int(groups.sum())])


def deal(
    slots: Int,
    quotas_: Int,
    lanes: int,
    seed: int,
    days_per_pool: int,
    participant_M: Int | None = None,
    together: bool = False,
) -> list[Lane]:
    """Deal members to lanes like cards: one at a time in turn, in an order that the seed decides.

    Only slots matter, so the result does not depend on the order of the rows. With `participant_M`, participants are
    dealt (by their lowest slot), and all days of a participant go to one lane (see `Lane` for `together`).
    """
    first, second = round_key(seed, 0, 0)
    order = np.argsort(slots, kind="stable")
    slots, quotas_ = slots[order], quotas_[order]
    cards, card_M = slots, np.arange(slots.size)
    if participant_M is not None:
        _, lowest, card_M = np.unique(participant_M[order], return_index=True, return_inverse=True)
        cards = slots[lowest]
    place = np.empty(cards.size, np.int64)
    place[_order(cards, (int(first), int(second)), Purpose.LANE_DEAL)] = np.arange(cards.size)
    lane_M = (place[card_M] % lanes).astype(np.uint16)  # NumPy sorts 700,000 of these in milliseconds
    mine = np.split(np.argsort(lane_M, kind="stable"), np.cumsum(np.bincount(lane_M, minlength=lanes))[:-1])
    return [
        Lane(
            number=number,
            seed=seed,
            days_per_pool=days_per_pool,
            slots=slots[days],
            quotas=quotas_[days],
            participant_M=None if participant_M is None else card_M[days],
            together=together,
        )
        for number, days in enumerate(mine)
    ]


def owned(lanes: list[Lane], rank: int, world_size: int) -> list[Lane]:
    """Return the lanes of a rank."""
    return lanes[rank::world_size]
