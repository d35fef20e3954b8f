"""Scores of people from the predictions of splits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from train.evaluate.dataset import LabelledSet
from train.evaluate.protocols import Split
from train.evaluate.scores.metrics import confusion

Metric = Callable[[NDArray[np.int64]], float]


def score_tests(
    metric: Metric, data: LabelledSet, splits: Sequence[Split], predicted_SN: Sequence[NDArray[np.int64]]
) -> NDArray[np.float64]:
    """Return a metric of every person in every split, (splits, people): NaN where the split does not test the person.

    predicted_SN has the classes of each split's test windows.
    """
    scores_SP = np.full((len(splits), len(data.people)), np.nan)
    for number, (split, predicted_N) in enumerate(zip(splits, predicted_SN, strict=True)):
        person_N = data.person_N[split.test_N]
        for person in np.unique(person_N):
            own = person_N == person
            table = confusion(data.y_N[split.test_N][own], predicted_N[own], len(data.classes))
            scores_SP[number, person] = metric(table)
    return scores_SP


def over_splits(scores_SP: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each person's mean over the splits that score them, (people,); NaN for people without a score."""
    counted_SP = np.isfinite(scores_SP)
    count_P = counted_SP.sum(0)
    total_P = np.where(counted_SP, scores_SP, 0.0).sum(0)
    return np.where(count_P > 0, total_P / np.maximum(count_P, 1), np.nan)
