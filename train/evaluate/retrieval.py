"""Retrieval: how well nearest neighbours of other people name an activity, without training.

Each feature is standardised over all windows (which needs no labels) and windows are compared by cosine. For each
window, its nearest windows of other people vote.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.evaluate.dataset import LabelledSet
from train.evaluate.results.summary import interval_of
from train.evaluate.rows import RANDOM_NETWORKS, Context
from train.evaluate.scores.metrics import confusion, macro_f1

NEIGHBOURS = (1, 5, 20)
CHUNK = 1_024


def retrieve(context: Context, tested_P: NDArray[np.int64] | None = None) -> dict[str, Any]:
    """Return scores of the backbone, random networks, hand-made features and both, JSON-ready.

    With `tested_P` (person numbers), windows of these people are compared with those of all others only.

    `macro_f1` at k: of a vote of the k nearest, mean over people. `recall` at k: the share of windows that have one of
    the same activity among the k nearest. Both have 95% intervals.
    """
    data = context.data
    found = {"backbone": [neighbours(data, context.backbone.set_N, tested_P)]}
    for draw in range(RANDOM_NETWORKS):
        initial, estimated = context.random(draw)
        for name, inputs in (("random", initial), ("random, estimated statistics", estimated)):
            found.setdefault(name, []).append(neighbours(data, inputs.set_N, tested_P))
    found["hand-made"] = [neighbours(data, context.handmade.set_N, tested_P)]
    found["backbone and hand-made"] = [neighbours(data, context.both.set_N, tested_P)]
    return {
        "neighbours": list(NEIGHBOURS),
        "spaces": {name: _scores(data, near_RNK, tested_P) for name, near_RNK in found.items()},
    }


def neighbours(
    data: LabelledSet, features_NF: NDArray[np.float32], tested_P: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Return the classes of the nearest windows of other people, nearest first, int64 (windows, most neighbours).

    With `tested_P`, the windows of these people have neighbours among people who are not tested; windows of others
    have none. What is missing is -1.
    """
    unit_NF = unit(features_NF)
    most = max(NEIGHBOURS)
    near_NK = np.full((len(unit_NF), most), -1, np.int64)
    for person in range(len(data.people)) if tested_P is None else tested_P:
        own = np.flatnonzero(data.person_N == person)
        others = np.flatnonzero(~np.isin(data.person_N, person if tested_P is None else tested_P))
        count = min(most, len(others))
        for start in range(0, len(own), CHUNK):
            queries = own[start : start + CHUNK]
            similarity = unit_NF[queries] @ unit_NF[others].T
            nearest = np.argpartition(-similarity, count - 1, axis=1)[:, :count]
            order = np.argsort(-np.take_along_axis(similarity, nearest, 1), axis=1, kind="stable")
            near_NK[queries, :count] = data.y_N[others[np.take_along_axis(nearest, order, 1)]]
    return near_NK


def unit(features_NF: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return features standardised over these windows, each window then scaled to length 1; constant features are 0."""
    mean_F, sd_F = features_NF.mean(0), features_NF.std(0)
    scale_F = np.where(sd_F > 1e-6 * np.abs(mean_F), sd_F, np.inf)
    standard_NF = (features_NF - mean_F) / scale_F
    length_N1 = np.linalg.norm(standard_NF, axis=1, keepdims=True)
    return (standard_NF / np.where(length_N1 > 0, length_N1, 1)).astype(np.float32)


def vote(near_NK: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Return the most frequent class among neighbours (windows, k), nearest first; of equal ones the nearest's."""
    k = near_NK.shape[1]
    votes_NC = np.zeros((len(near_NK), classes))
    for rank in range(k):
        known = near_NK[:, rank] >= 0
        votes_NC[np.flatnonzero(known), near_NK[known, rank]] += 1 + 2.0 ** -(rank + 2)
    return votes_NC.argmax(1)


def _scores(
    data: LabelledSet, near_RNK: list[NDArray[np.int64]], tested_P: NDArray[np.int64] | None
) -> Mapping[str, Any]:
    tested = range(len(data.people)) if tested_P is None else tested_P
    persons = [np.flatnonzero(data.person_N == person) for person in tested]
    scores: dict[str, list[dict[str, float | None]]] = {"macro_f1": [], "recall": []}
    for k in NEIGHBOURS:
        f1_RP, recall_RP = np.empty((len(near_RNK), len(persons))), np.empty((len(near_RNK), len(persons)))
        for draw, near_NK in enumerate(near_RNK):
            voted_N = vote(near_NK[:, :k], len(data.classes))
            hit_N = (near_NK[:, :k] == data.y_N[:, None]).any(1)
            for person, own in enumerate(persons):
                f1_RP[draw, person] = macro_f1(confusion(data.y_N[own], voted_N[own], len(data.classes)))
                recall_RP[draw, person] = hit_N[own].mean()
        for name, scores_RP in (("macro_f1", f1_RP), ("recall", recall_RP)):
            scores[name].append(interval_of(scores_RP))
    return scores
