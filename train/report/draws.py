"""The windows that a run drew from one of its days, compared with the probabilities that the weights give.

The draw is repeated from facts in the log (table version, held-out participants, lanes, seed), so these are the windows
that the run saw in its first round. Drawing is without replacement, so a start of weight w is drawn with probability
1 - exp(-w t), where t makes these probabilities sum to the quota: the exponential race stopped at a fixed time (Rosén
1972, doi:10.1214/aoms/1177692541; exact as the quota grows).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.identity import SHORT_ID
from pipeline.settings import build
from pipeline.store.person_day import PersonDay
from pipeline.store.store import Store
from train.objectives import ObjectiveSettings, make_objective
from train.random import round_key
from train.report.history import History
from train.tracking.log import Z_99
from train.windows.companions.kind import AnchorDay, bind
from train.windows.draw import draw_by_weight
from train.windows.members import select
from train.windows.plan import make_plan
from train.windows.pool import OpenDays
from train.windows.settings import DataSettings

Float = NDArray[np.float64]

DECILES = 10


@dataclass(frozen=True)
class Draws:
    """A day's eligible starts, and which of them a run drew in round 0.

    start_N, weight_N (g): every eligible start second and its weight; drawn_N: whether it was drawn; expected_N: the
    probability of being drawn.
    """

    slot: int
    participant: str
    recording: str
    day_index: int | None
    seconds: int
    lane: int
    day: PersonDay
    start_N: NDArray[np.int64]
    weight_N: Float
    expected_N: Float
    drawn_N: NDArray[np.bool_]


def draws_of(run: History, store: Store) -> Draws:
    """Return the draws of a run's first round from the training day with the most eligible starts.

    Raises UserError when the log is of another store, or the day is gone.
    """
    attributes = store.attributes
    if run.start["store"] != {"fingerprint": attributes.fingerprint, "key_check": attributes.key_check}:
        raise UserError(f"{store.folder.url}: the run of this log used another store. Give that store as --store.")
    data = build(DataSettings, run.settings["data"], "settings in the log: data")
    seed, facts = int(run.settings["seed"]), run.start["stream"]
    store.person_days = store.person_days.at(facts["table_version"])
    everyone = select(store, data.seconds, data.min_wear_hours, data.where)
    everyone = everyone.without_slots(run.start.get("validation_slots_withdrawn", []))
    companions = make_objective(build(ObjectiveSettings, run.settings["objective"], "settings in the log")).companions
    bound = bind(companions, everyone, store, data, facts.get("companions", {}))
    held_out, lanes = run.start["validation_participants"], facts["lanes"]
    plan = make_plan(bound.members, held_out, data, seed, lanes, bound.people_share_pools)
    members, quota = plan.members, plan.quotas
    there = np.isin(members.slots, members.without_participants(store.withdrawals.participants()).slots)
    chosen = int(np.argmax(np.where(there, members.starts, -1)))
    slot = int(members.slots[chosen])
    lane = next(lane.number for lane in plan.lanes if slot in lane.slots)
    day = store.read_day(slot)
    first, second = (int(word) for word in round_key(seed, lane, 0))
    opened = OpenDays(store.days, data.seconds, data.weighting)
    anchor = AnchorDay(slot, (first, second), data.seconds, (slot,), frozenset(), opened.weights)
    weight_S = bound.chooser.weights(anchor)
    drawn = draw_by_weight(weight_S, int(quota[chosen]), (first, second), slot, spacing=data.min_spacing_s)
    start_N = np.flatnonzero(weight_S > 0)
    weight_N = weight_S[start_N]
    row = store.person_days.query(f"slot = {slot}", ["recording", "participant", "day_index"]).to_pylist()[0]
    return Draws(
        slot=slot,
        participant=row["participant"][:SHORT_ID],
        recording=row["recording"][:SHORT_ID],
        day_index=row["day_index"],
        seconds=data.seconds,
        lane=lane,
        day=day,
        start_N=start_N,
        weight_N=weight_N,
        expected_N=inclusion(weight_N, drawn.size),
        drawn_N=np.isin(start_N, drawn),
    )


def inclusion(weight_N: Float, quota: int) -> Float:
    """Return each start's probability of being among `quota` drawn without replacement, by weights above 0."""
    if quota >= weight_N.size:
        return np.ones(weight_N.size)
    low, high = 0.0, quota / weight_N.sum()
    while -np.expm1(-weight_N * high).sum() < quota:
        low, high = high, 2 * high
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if -np.expm1(-weight_N * middle).sum() < quota else (low, middle)
    return np.asarray(-np.expm1(-weight_N * high))


def deciles(draws: Draws) -> list[dict[str, float]]:
    """Return ten groups of starts by weight, lightest first: share of the drawn windows, and the expected share.

    `low` and `high` are the 99% range of the share under chance (normal approximation).
    """
    quota = int(draws.drawn_N.sum())
    groups = np.array_split(np.argsort(draws.weight_N, kind="stable"), min(DECILES, draws.weight_N.size))
    result = []
    for group in groups:
        chance_N = draws.expected_N[group]
        expected, spread = chance_N.sum(), Z_99 * np.sqrt((chance_N * (1 - chance_N)).sum())
        result.append(
            {
                "lightest_g": float(draws.weight_N[group].min()),
                "heaviest_g": float(draws.weight_N[group].max()),
                "starts": int(group.size),
                "drawn": int(draws.drawn_N[group].sum()),
                "share": float(draws.drawn_N[group].sum() / quota),
                "expected": float(expected / quota),
                "low": float(max(expected - spread, 0) / quota),
                "high": float((expected + spread) / quota),
            }
        )
    return result


def summary(draws: Draws) -> dict[str, Any]:
    """Return the draws as JSON-ready numbers, with short ids."""
    return {
        "slot": draws.slot,
        "participant": draws.participant,
        "recording": draws.recording,
        "lane": draws.lane,
        "round": 0,
        "seconds_a_window": draws.seconds,
        "eligible_starts": int(draws.start_N.size),
        "drawn": int(draws.drawn_N.sum()),
        "median_weight_g": {
            "eligible": float(np.median(draws.weight_N)),
            "drawn": float(np.median(draws.weight_N[draws.drawn_N])),
        },
        "deciles": deciles(draws),
    }
