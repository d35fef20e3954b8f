"""Agreement of predictions with labels for each person, and the paired difference between networks.

The scores equal scikit-learn's (tested), which takes 90 times as long for them and over a second to import
(docs/decisions/0011-library-or-ours.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95


def confusion(truth_N: NDArray[np.int64], predicted_N: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Return counts (classes, classes): rows are the truth, columns the prediction."""
    return np.bincount(truth_N * classes + predicted_N, minlength=classes * classes).reshape(classes, classes)


def macro_f1(confusion_KK: NDArray[np.int64]) -> float:
    """Return the mean F1 over the classes that occur in the truth; NaN if there are none.

    A class that is not in a person's truth has no F1 of its own; predicting it lowers the recall of the true classes.
    """
    hits, truth, predicted = np.diag(confusion_KK), confusion_KK.sum(1), confusion_KK.sum(0)
    present = truth > 0
    return float(np.mean(2 * hits[present] / (truth + predicted)[present])) if present.any() else float("nan")


def kappa(confusion_KK: NDArray[np.int64]) -> float:
    """Return Cohen's kappa (1960, doi:10.1177/001316446002000104); NaN if the truth has fewer than two classes.

    With one true class, observed and chance agreement are equal whatever the prediction, so kappa carries no
    information.
    """
    total = confusion_KK.sum()
    truth, predicted = confusion_KK.sum(1), confusion_KK.sum(0)
    if np.count_nonzero(truth) < 2:
        return float("nan")
    observed, chance = np.trace(confusion_KK) / total, float(truth @ predicted) / float(total) ** 2
    return float((observed - chance) / (1 - chance))


@dataclass(frozen=True)
class Paired:
    """One network's scores compared with the mean scores of several others on the same people.

    `mean` and `sd` are over people, for the one network and for the mean of the others; `low` and `high` are the ends
    of the 95% interval of the mean difference. A value that needs more people than there are is NaN.
    """

    people: int
    mean: tuple[float, float]
    sd: tuple[float, float]
    difference: float
    difference_sd: float
    low: float
    high: float


def paired(one_P: NDArray[np.float64], others_RP: NDArray[np.float64]) -> Paired:
    """Compare one network with the mean of others, person by person; people with a NaN score are left out.

    The interval covers two sources of variation, the choice of people and the choice of the other networks: the
    squared standard errors over people and over networks add up, and Student's t has Satterthwaite's degrees of
    freedom (1946, doi:10.2307/3002019). With one other network it covers people only.
    """
    from scipy.stats import t

    kept = np.isfinite(one_P) & np.isfinite(others_RP).all(0)
    one, others = one_P[kept], others_RP[:, kept]
    other = others.mean(0)
    difference = one - other
    people, networks = int(kept.sum()), len(others)
    squared_errors = [difference.var(ddof=1) / people] if people > 1 else []
    freedom = [people - 1]
    if squared_errors and networks > 1:
        squared_errors.append(others.mean(1).var(ddof=1) / networks)
        freedom.append(networks - 1)
    total = sum(squared_errors)
    half = float("nan")
    if squared_errors:
        degrees = total**2 / sum(e**2 / f for e, f in zip(squared_errors, freedom, strict=True)) if total else 1
        half = float(t.ppf((1 + CONFIDENCE) / 2, degrees) * np.sqrt(total))

    def mean(values: NDArray[np.float64]) -> float:
        return float(values.mean()) if people else float("nan")

    def sd(values: NDArray[np.float64]) -> float:
        return float(values.std(ddof=1)) if people > 1 else float("nan")

    return Paired(
        people=people,
        mean=(mean(one), mean(other)),
        sd=(sd(one), sd(other)),
        difference=mean(difference),
        difference_sd=sd(difference),
        low=mean(difference) - half,
        high=mean(difference) + half,
    )
