"""Smoothing over time: a hidden Markov model whose states are the activities, decoded by Viterbi (1967).

Activities last, so a window's neighbours say something about it. Transitions come from the bouts of the labelled set:
their mean lengths and what follows what; where it has no order, from one mean length for all. What a window says is its
calibrated probabilities divided by how frequent the classifier takes the activities to be, which is proportional to the
likelihood (Bourlard and Morgan 1994, doi:10.1007/978-1-4615-3210-1). A pause, or midnight, ends a sequence.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.numerics.jit import njit

USUAL_BOUT_S = 60.0
"""Mean length of a bout, of all activities, where nothing is known."""
UNSEEN = 0.5
"""Added to the count of every succession, so that none is impossible."""
LEAST_STAY = 0.5
"""Chance that an activity continues in the next window, at least: shorter bouts look like errors of single windows."""
LABELLED, ASSUMED = "the bouts of the labelled set", "one mean length for all activities"

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Smoothing:
    """Mean seconds of a bout of each class, and the chance of each class after another (rows add up to 1)."""

    bout_s_K: Array
    next_KK: Array
    source: str

    def to_json(self) -> dict[str, Any]:
        """Return the values for config.json."""
        return {"from": self.source, "bout_seconds": self.bout_s_K.tolist(), "next": self.next_KK.tolist()}

    @staticmethod
    def of_json(values: Mapping[str, Any] | None) -> Smoothing | None:
        """Return what `to_json` gave, or None."""
        if values is None:
            return None
        return Smoothing(np.array(values["bout_seconds"]), np.array(values["next"]), values["from"])

    def transitions(self, step_s: float) -> Array:
        """Return the chance of each class a step after another, (classes, classes)."""
        stay_K = np.maximum(1 - step_s / self.bout_s_K, LEAST_STAY)
        return np.diag(stay_K) + (1 - stay_K)[:, None] * self.next_KK

    def decode(self, log_NK: Array, prior_K: Array, number_N: NDArray[np.int64], step_s: float) -> NDArray[np.int64]:
        """Return the most likely sequence of classes, int64 (windows,).

        `log_NK` are logarithms of the windows' probabilities, for activities as frequent as in `prior_K`; `number_N`
        are the numbers of their steps: where one is missing, a new sequence begins.
        """
        if not len(log_NK):
            return np.zeros(0, np.int64)
        step_KK = self.transitions(step_s)
        first_N = np.diff(number_N, prepend=number_N[0] - 2) != 1
        emission_NK = log_NK - np.log(prior_K)
        classes_N: NDArray[np.int64] = viterbi(emission_NK, first_N, np.log(stationary(step_KK)), np.log(step_KK))
        return classes_N


def stationary(step_KK: Array) -> Array:
    """Return the shares of time in the long run of a chain in which every state can follow every other."""
    classes = len(step_KK)
    system = np.vstack([step_KK.T - np.eye(classes), np.ones(classes)])
    found: Array = np.linalg.lstsq(system, np.append(np.zeros(classes), 1.0), rcond=None)[0]
    return np.maximum(found, 1e-12) / np.maximum(found, 1e-12).sum()


@njit(cache=True)
def viterbi(emission_NK: Array, first_N: NDArray[np.bool_], start_K: Array, step_KK: Array) -> NDArray[np.int64]:
    """Return the most likely states of sequences that lie one after the other; everything is logarithms.

    `first_N` is True where a sequence begins. Of equally likely states, the first is taken.
    """
    windows, classes = emission_NK.shape
    came_NK = np.zeros((windows, classes), np.int64)
    best_K, next_K = np.empty(classes), np.empty(classes)
    states_N = np.empty(windows, np.int64)
    for window in range(windows):
        if first_N[window]:
            if window > 0:
                states_N[window - 1] = np.argmax(best_K)
            for state in range(classes):
                best_K[state] = start_K[state] + emission_NK[window, state]
            continue
        for state in range(classes):
            came, most = 0, best_K[0] + step_KK[0, state]
            for other in range(1, classes):
                score = best_K[other] + step_KK[other, state]
                if score > most:
                    came, most = other, score
            came_NK[window, state] = came
            next_K[state] = most + emission_NK[window, state]
        best_K[:] = next_K
    states_N[windows - 1] = np.argmax(best_K)
    for window in range(windows - 2, -1, -1):
        if not first_N[window + 1]:
            states_N[window] = came_NK[window + 1, states_N[window + 1]]
    return states_N


def learn_smoothing(labelled: Path, classes: Sequence[str], bout_s: float | None = None) -> Smoothing:
    """Return the model from the bouts in a labelled set's info.json; with `bout_s`, or without bouts, from one length.

    A mean of no length (every bout is a single sample) says nothing, and is replaced by the usual length. Raises
    UserError for bouts that are not those of these classes.
    """
    uniform_KK = (1 - np.eye(len(classes))) / (len(classes) - 1)
    bouts = None if bout_s is not None else _bouts(labelled / "info.json")
    if bouts is None:
        return Smoothing(np.full(len(classes), bout_s or USUAL_BOUT_S), uniform_KK, ASSUMED)
    number = {name: place for place, name in enumerate(classes)}
    count_KK = UNSEEN * (1 - np.eye(len(classes)))
    found = "other values"
    try:
        mean_s = bouts["mean_seconds"]
        if missing := [name for name in classes if name not in mean_s]:
            found = f"no mean seconds of {', '.join(missing)}"
        mean_K = np.array([float(mean_s[name]) or USUAL_BOUT_S for name in classes])
        for one, other, count in bouts["next"]:
            if one in number and other in number:
                count_KK[number[one], number[other]] += count
        plausible = bool((mean_K > 0).all()) and bool((count_KK >= 0).all())
    except (KeyError, TypeError, ValueError):
        plausible = False
    if not plausible:
        raise UserError(
            f"{labelled / 'info.json'}: expected `bouts` with the mean seconds of every activity in Y.npy and "
            f"successions, found {found}. Give --bout-seconds, or make the set again."
        )
    return Smoothing(mean_K, count_KK / count_KK.sum(1, keepdims=True), LABELLED)


def _bouts(info: Path) -> Mapping[str, Any] | None:
    try:
        found: Any = json.loads(info.read_text(encoding="utf-8")).get("bouts")
    except (OSError, ValueError, AttributeError):
        return None
    return found if isinstance(found, Mapping) else None
