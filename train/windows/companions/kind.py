"""The interface of a kind of companions: which windows come with every drawn window, the anchor.

An objective names the kind that it needs. At the start of a run, the kind is bound to the run's person-days: it keeps
those that can have companions, and returns a chooser. In every pool, the chooser chooses the companions of the anchors
that the pool has drawn. What it returns depends on nothing but the tables, the stored states and the numbers of the
anchor, so the sampling law stays as it is: the same at any world size, and exact to resume.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.grid import TICKS_PER_SECOND
from train.random import Purpose
from train.windows.draw import Float, Int, own_numbers
from train.windows.members import Members
from train.windows.settings import DataSettings

if TYPE_CHECKING:
    from pipeline.store.store import Store


@dataclass(frozen=True)
class AnchorDay:
    """A day that a pool draws anchors from, with what a chooser may use."""

    slot: int
    key: tuple[int, int]
    """The generator's key for seed, lane and round."""
    seconds: int
    """Length of a window."""
    pooled: tuple[int, ...]
    """Slots of all days that the pool draws anchors from, which it reads in any case."""
    gone: frozenset[int]
    """Slots that cannot be read any more."""
    weights_of: Callable[[int], Float]
    """The weight of every start second of a day, by slot (`draw.weights`): 0 if the start is not eligible."""

    def numbers(self, start_N: Int, companion: int = 0) -> Float:
        """Return a number of each anchor's own, uniform in [0, 1), for its companion of this number."""
        return self._uniform(start_N, Purpose.COMPANION + (companion << 16))

    def number(self) -> float:
        """Return one number for all anchors of the day in this round, uniform in [0, 1)."""
        return float(self._uniform(np.zeros(1, np.int64), Purpose.COMPANION_DAY)[0])

    def _uniform(self, start_N: Int, purpose: int) -> Float:
        bits = own_numbers(*self.key, np.full(start_N.size, self.slot, np.int64), start_N, purpose)
        return np.asarray((bits >> 10) * 2.0**-53)

    def itself(self, start_N: Int) -> Int:
        """Return slot and first tick of each anchor (N, 2): it stands in for a companion that does not exist."""
        return np.stack((np.full_like(start_N, self.slot), start_N * TICKS_PER_SECOND), 1)


class Chooser(Protocol):
    """Chooses companions. Threads share it, so it keeps no state."""

    count: int
    """Companions of an anchor."""
    features: int = 0
    """Numbers in the vector that an anchor brings besides its companions (`vectors`)."""

    def days_of(self, anchor: AnchorDay) -> Sequence[int]:
        """Return the slots that companions of this day's anchors may come from, apart from the day itself."""
        return ()

    def weights(self, anchor: AnchorDay) -> Float:
        """Return the weight of every start second as an anchor; 0 where it cannot be one. By default the day's own."""
        return anchor.weights_of(anchor.slot)

    def choose(self, anchor: AnchorDay, start_N: Int) -> Int:
        """Return slot and first tick of the companions of these anchors, int64 (N, count, 2).

        The windows must be inside their days and eligible.
        """
        ...

    def vectors(self, anchor: AnchorDay, start_N: Int) -> NDArray[np.float32]:
        """Return a vector of each of these anchors, float32 (N, features), for the objective; by default without any
        numbers."""
        return np.zeros((start_N.size, self.features), np.float32)


class NoCompanions(Chooser):
    """The chooser of a stream without companions."""

    count = 0

    def choose(self, anchor: AnchorDay, start_N: Int) -> Int:
        """See `Chooser`."""
        return np.zeros((start_N.size, 0, 2), np.int64)


NO_COMPANIONS = NoCompanions()


@dataclass(frozen=True)
class Bound:
    """A kind of companions on the person-days of a run."""

    members: Members
    """The days that anchors may come from; `starts` counts only the starts that can have companions."""
    chooser: Chooser
    people_share_pools: bool = False
    """Whether a pool should hold several days of the same participant, because companions come from them."""


class Companions(Protocol):
    """A kind of companions, with its settings."""

    def facts(self, store: Store) -> dict[str, Any]:
        """Return what decides the companions of a new run besides the person-days, as JSON. Its checkpoints keep it."""
        return {}

    def bind(self, members: Members, store: Store, data: DataSettings, facts: Mapping[str, Any]) -> Bound:
        """Bind the kind to the person-days of a run, with the facts of its beginning.

        All processes call it. Raises UserError if the store does not have what the kind needs.
        """
        ...

    def check_round(self, windows: int) -> None:
        """Raise UserError if a new run draws too few windows in a round, of the people that it trains on."""
        return


def bind(
    companions: Companions | None,
    members: Members,
    store: Store,
    data: DataSettings,
    facts: Mapping[str, Any],
) -> Bound:
    """Bind a kind of companions, or none, to the person-days of a run (see `Companions.bind`)."""
    return companions.bind(members, store, data, facts) if companions else Bound(members, NO_COMPANIONS)
