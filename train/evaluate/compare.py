"""The protocol: folds by person, one head a fold and network, scores by person, the paired difference.

All networks are frozen, get the same folds, the same standardisation and the same kind of head. The
opponent is the same architecture with random weights, as strong as it comes: the mean of several draws,
each with the better of two sets of BatchNorm statistics. Neither set is always the better one (docs/evaluation.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from train.evaluate.dataset import Labelled
from train.evaluate.features import estimate_statistics, extract
from train.evaluate.folds import assign_folds
from train.evaluate.head import PENALTIES, choose, fit_head
from train.evaluate.metrics import confusion, kappa, macro_f1, paired
from train.networks.harnet import Harnet

RANDOM_NETWORKS = 3
KINDS = ("pretrained", "random")
METRICS = {"macro_f1": macro_f1, "kappa": kappa}
PROTOCOL = {
    "split": "folds by person; nobody is in training and test at once",
    "head": "multinomial logistic regression on standardised features, L2, solved to its optimum",
    "penalty": f"C of {', '.join(f'{c:g}' for c in PENALTIES)}, for each network and fold by macro F1 on a quarter of "
    "the training people",
    "random": f"mean score of {RANDOM_NETWORKS} networks with random weights, each with BatchNorm statistics as "
    "initialised or of these windows without their labels, chosen like C",
    "macro_f1": "for each person, mean F1 over the classes in that person's truth",
    "kappa": "for each person, Cohen's kappa; people with one class in their truth are left out",
    "interval": "95%, Student's t over people, of the paired difference pretrained - random",
}


@dataclass(frozen=True)
class Predictions:
    """What each network said of every window when its person was in the test fold.

    predicted_RN: by kind, class numbers (networks, windows). c_RF: by kind, the penalty chosen (networks, folds).
    """

    fold_N: NDArray[np.int64]
    predicted_RN: dict[str, NDArray[np.int64]]
    c_RF: dict[str, NDArray[np.float64]]
    converged: bool


def random_network(like: Harnet, seed: int) -> Harnet:
    """A network of the same shape with random weights; torch's own generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Harnet(like.preset, like.width)


def predict(
    network: Harnet, data: Labelled, folds: int, seed: int, progress: Callable[[float], None] = lambda share: None
) -> Predictions:
    """Cross-validated predictions of all networks; `progress` hears the share that is done."""
    fold_N = assign_folds(data.y_N, data.person_N, folds, seed)
    rivals = {"pretrained": [network], "random": [random_network(network, seed + i) for i in range(RANDOM_NETWORKS)]}
    predicted_RN = {kind: np.empty((len(rivals[kind]), len(data.y_N)), np.int64) for kind in KINDS}
    c_RF = {kind: np.empty((len(rivals[kind]), folds)) for kind in KINDS}
    converged, done, total = True, 0, (1 + RANDOM_NETWORKS) * folds
    for kind in KINDS:
        for number, rival in enumerate(rivals[kind]):
            views = [extract(rival, data.x_NCT)]
            if kind == "random":
                estimate_statistics(rival, data.x_NCT, seed)
                views.append(extract(rival, data.x_NCT))
            for fold in range(folds):
                train, test = np.flatnonzero(fold_N != fold), np.flatnonzero(fold_N == fold)
                known = [view[train] for view in views]
                view, c = choose(known, data.y_N[train], data.person_N[train], len(data.classes), seed)
                head = fit_head(known[view], data.y_N[train], len(data.classes), c)
                predicted_RN[kind][number, test] = head.predict(views[view][test])
                c_RF[kind][number, fold] = c
                converged &= head.converged
                done += 1
                progress(done / total)
    return Predictions(fold_N, predicted_RN, c_RF, converged)


def summarise(data: Labelled, predictions: Predictions) -> dict[str, Any]:
    """Scores of every person and their summary, JSON-ready: what cannot be said of a person is None."""
    classes = len(data.classes)
    subjects, scores = [], {(kind, metric): np.empty(len(data.people)) for kind in KINDS for metric in METRICS}
    for number, person in enumerate(data.people):
        own = np.flatnonzero(data.person_N == number)
        row: dict[str, Any] = {
            "subject": person,
            "fold": int(predictions.fold_N[own[0]]),
            "windows": len(own),
            "classes": len(np.unique(data.y_N[own])),
        }
        for kind in KINDS:
            tables = [confusion(data.y_N[own], said_N[own], classes) for said_N in predictions.predicted_RN[kind]]
            for metric, function in METRICS.items():
                scores[kind, metric][number] = np.mean([function(table) for table in tables])
            row[kind] = {metric: _number(scores[kind, metric][number]) for metric in METRICS}
        subjects.append(row)
    summary = {metric: paired(scores["pretrained", metric], scores["random", metric]) for metric in METRICS}
    return {
        "summary": {metric: _summary(asdict(result)) for metric, result in summary.items()},
        "subjects": subjects,
        "classes": list(data.classes),
        "confusion": confusion(data.y_N, predictions.predicted_RN["pretrained"][0], classes).tolist(),
        "c": {kind: predictions.c_RF[kind].tolist() for kind in KINDS},
    }


def _summary(result: dict[str, Any]) -> dict[str, Any]:
    return {
        "people": result["people"],
        **{kind: {"mean": _number(result["mean"][i]), "sd": _number(result["sd"][i])} for i, kind in enumerate(KINDS)},
        "difference": {
            "mean": _number(result["difference"]),
            "sd": _number(result["difference_sd"]),
            "low": _number(result["low"]),
            "high": _number(result["high"]),
        },
    }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
