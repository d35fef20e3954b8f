"""Agreement of predictions with labels, person by person, and the paired difference of two networks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95


def confusion(truth_N: NDArray[np.int64], predicted_N: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Counts (classes, classes): rows are the truth, columns the prediction."""
    return np.bincount(truth_N * classes + predicted_N, minlength=classes * classes).reshape(classes, classes)


def macro_f1(confusion_KK: NDArray[np.int64]) -> float:
    """Mean F1 over the classes that occur in the truth; NaN without any.

    A class that this person never did has no F1 of its own; predicting it lowers the recall of
    what the person did instead.
    """
    hits, truth, predicted = np.diag(confusion_KK), confusion_KK.sum(1), confusion_KK.sum(0)
    present = truth > 0
    return float(np.mean(2 * hits[present] / (truth + predicted)[present])) if present.any() else float("nan")


def kappa(confusion_KK: NDArray[np.int64]) -> float:
    """Cohen's kappa (1960, doi:10.1177/001316446002000104); NaN where the truth has fewer than two classes.

    With one true class observed and chance agreement are equal whatever is predicted: kappa says nothing.
    """
    total = confusion_KK.sum()
    truth, predicted = confusion_KK.sum(1), confusion_KK.sum(0)
    if np.count_nonzero(truth) < 2:
        return float("nan")
    observed, chance = np.trace(confusion_KK) / total, float(truth @ predicted) / float(total) ** 2
    return float((observed - chance) / (1 - chance))


@dataclass(frozen=True)
class Paired:
    """Two scores of the same people: each one's mean and SD, and the mean difference with its 95% interval."""

    people: int
    mean: tuple[float, float]
    sd: tuple[float, float]
    difference: float
    difference_sd: float
    low: float
    high: float


def paired(first_S: NDArray[np.float64], second_S: NDArray[np.float64]) -> Paired:
    """Compare scores person by person, first minus second; people with a NaN in either are left out.

    The interval is Student's t over people (n - 1 degrees of freedom). SDs have n - 1 in the
    denominator. With fewer than two people what needs two is NaN.
    """
    from scipy.stats import t

    kept = np.isfinite(first_S) & np.isfinite(second_S)
    first, second = first_S[kept], second_S[kept]
    people = int(kept.sum())

    def mean(values: NDArray[np.float64]) -> float:
        return float(values.mean()) if people else float("nan")

    def sd(values: NDArray[np.float64]) -> float:
        return float(values.std(ddof=1)) if people > 1 else float("nan")

    difference = first - second
    half = t.ppf((1 + CONFIDENCE) / 2, people - 1) * sd(difference) / np.sqrt(people) if people > 1 else float("nan")
    return Paired(
        people=people,
        mean=(mean(first), mean(second)),
        sd=(sd(first), sd(second)),
        difference=mean(difference),
        difference_sd=sd(difference),
        low=float(mean(difference) - half),
        high=float(mean(difference) + half),
    )
