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


def macro_f1_union(confusion_KK: NDArray[np.int64]) -> float:
    """Return the mean F1 over the classes that occur in the truth or in the prediction; NaN if there are none.

    A class that is predicted and not true counts with an F1 of 0. This is what ssl-wearables reports, and
    scikit-learn's default.
    """
    hits, both = np.diag(confusion_KK), confusion_KK.sum(0) + confusion_KK.sum(1)
    return float(np.mean(2 * hits[both > 0] / both[both > 0])) if both.any() else float("nan")


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


METRICS = {"macro_f1": macro_f1, "kappa": kappa, "macro_f1_union": macro_f1_union}


@dataclass(frozen=True)
class Paired:
    """Scores of two rows on the same people, each the mean over its random draws.

    `mean` and `sd` are over people, for the two rows; `low` and `high` are the ends of the 95% interval of the mean
    difference. A value that needs more people than there are is NaN.
    """

    people: int
    mean: tuple[float, float]
    sd: tuple[float, float]
    difference: float
    difference_sd: float
    low: float
    high: float


def paired(one_RP: NDArray[np.float64], others_RP: NDArray[np.float64]) -> Paired:
    """Compare two rows person by person; people with a NaN score are left out.

    Each has scores (draws, people), or (people,) for a single draw. The interval covers the choice of people and the
    random draws (`half_width`). A row with one draw adds nothing to it, so its other draws might differ by more.
    """
    one_RP = np.atleast_2d(one_RP)
    kept = np.isfinite(one_RP).all(0) & np.isfinite(others_RP).all(0)
    one_RP, others_RP = one_RP[:, kept], others_RP[:, kept]
    one, other = one_RP.mean(0), others_RP.mean(0)
    difference = one - other
    people = int(kept.sum())
    half = half_width(difference, one_RP.mean(1), others_RP.mean(1)) if people else float("nan")
    return Paired(
        people=people,
        mean=(_mean(one), _mean(other)),
        sd=(_sd(one), _sd(other)),
        difference=_mean(difference),
        difference_sd=_sd(difference),
        low=_mean(difference) - half,
        high=_mean(difference) + half,
    )


def interval(scores_RP: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the mean over people of the mean over draws, and the ends of its 95% interval (`half_width`).

    Scores are (draws, people); people with a NaN score are left out.
    """
    kept_RP = scores_RP[:, np.isfinite(scores_RP).all(0)]
    if not kept_RP.size:
        return (float("nan"),) * 3
    mean, half = float(kept_RP.mean()), half_width(kept_RP.mean(0), kept_RP.mean(1))
    return mean, mean - half, mean + half


def half_width(of_people: NDArray[np.float64], *of_draws: NDArray[np.float64]) -> float:
    """Return half the width of the 95% interval of a mean over people and over one or more sets of random draws.

    The squared standard errors over people and over draws add up, and Student's t has Satterthwaite's degrees of
    freedom (1946, doi:10.2307/3002019). A set of one draw is left out. NaN for fewer than two people.
    """
    from scipy.stats import t

    if len(of_people) < 2:
        return float("nan")
    sources = [of_people, *(draws for draws in of_draws if len(draws) > 1)]
    errors = [source.var(ddof=1) / len(source) for source in sources]
    total = sum(errors)
    degrees = total**2 / sum(e**2 / (len(s) - 1) for e, s in zip(errors, sources, strict=True)) if total else 1
    return float(t.ppf((1 + CONFIDENCE) / 2, degrees) * np.sqrt(total))


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _sd(values: NDArray[np.float64]) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else float("nan")
