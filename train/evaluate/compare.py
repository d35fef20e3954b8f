"""The protocol: folds by person, a head for each fold and network, scores by person, the paired difference.

All networks are frozen and get the same folds, standardisation and kind of head. The backbone is compared with the
same architecture at random weights, treated as well as possible: the mean of several networks, each with the better of
two sets of BatchNorm statistics. Neither set is always better (docs/evaluation.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from train.evaluate.dataset import LabelledSet
from train.evaluate.features import estimate_statistics, extract
from train.evaluate.folds import assign_folds
from train.evaluate.head import PENALTIES, LinearHead, choose, fit_head
from train.evaluate.metrics import confusion, kappa, macro_f1, paired
from train.evaluate.workers import workers
from train.networks import Encoder, NetworkSettings, make_network

RANDOM_NETWORKS = 5
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
    "interval": "95%, of the paired difference pretrained - random: Student's t, squared errors over people and over "
    "random networks added",
    "beaten": "random networks whose mean over people is below the pretrained one's",
}


@dataclass(frozen=True)
class Predictions:
    """The prediction of each network for every window, made when the window's person was in the test fold.

    predicted_RN: by kind, class numbers (networks, windows). c_RF: by kind, the chosen C (networks, folds).
    """

    fold_N: NDArray[np.int64]
    predicted_RN: dict[str, NDArray[np.int64]]
    c_RF: dict[str, NDArray[np.float64]]
    converged: bool


def random_network(like: Encoder, seed: int) -> Encoder:
    """Return a network of the same shape with random weights; torch's global generator is left unchanged."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make_network(NetworkSettings(like.preset, like.width))


def predict(
    network: Encoder, data: LabelledSet, folds: int, seed: int, progress: Callable[[float], None] = lambda share: None
) -> Predictions:
    """Return cross-validated predictions of all networks; `progress` receives the share that is done."""
    fold_N = assign_folds(data.y_N, data.person_N, folds, seed)
    networks = [network, *(random_network(network, seed + number) for number in range(RANDOM_NETWORKS))]
    predicted_RN = np.empty((len(networks), len(data.y_N)), np.int64)
    c_RF = np.empty((len(networks), folds))
    converged = True
    with workers() as pool:
        for number, each in enumerate(networks):
            features_VNF = [extract(each, data.x_NCT, pool)]
            if number:
                estimate_statistics(each, data.x_NCT, seed)
                features_VNF.append(extract(each, data.x_NCT, pool))
            tests = [np.flatnonzero(fold_N == fold) for fold in range(folds)]
            done = pool.map(lambda test, features_VNF=features_VNF: predict_fold(features_VNF, data, test, seed), tests)
            for fold, (predicted_N, head) in enumerate(done):
                predicted_RN[number, tests[fold]] = predicted_N
                c_RF[number, fold] = head.c
                converged &= head.converged
                progress((number + (fold + 1) / folds) / len(networks))
    return Predictions(
        fold_N=fold_N,
        predicted_RN={"pretrained": predicted_RN[:1], "random": predicted_RN[1:]},
        c_RF={"pretrained": c_RF[:1], "random": c_RF[1:]},
        converged=converged,
    )


def predict_fold(
    features_VNF: list[NDArray[np.float32]], data: LabelledSet, test: NDArray[np.int64], seed: int
) -> tuple[NDArray[np.int64], LinearHead]:
    """Return the classes of the windows `test`, by a head fitted to all others, and the head.

    The head uses the feature set that does best among the other windows' people.
    """
    train = np.setdiff1d(np.arange(len(data.y_N)), test, assume_unique=True)
    training = [features_NF[train] for features_NF in features_VNF]
    best, c, start = choose(training, data.y_N[train], data.person_N[train], len(data.classes), seed)
    head = fit_head(training[best], data.y_N[train], len(data.classes), c, start)
    return head.predict(features_VNF[best][test]), head


def summarise(data: LabelledSet, predictions: Predictions) -> dict[str, Any]:
    """Return the scores of every person and their summary, JSON-ready; a score that is not defined is None."""
    persons = [np.flatnonzero(data.person_N == number) for number in range(len(data.people))]
    scores = {
        (kind, metric): np.array([[score(function, data, own, class_N) for own in persons] for class_N in class_RN])
        for kind, class_RN in predictions.predicted_RN.items()
        for metric, function in METRICS.items()
    }
    subjects = [
        {
            "subject": person,
            "fold": int(predictions.fold_N[own[0]]),
            "windows": len(own),
            "classes": len(np.unique(data.y_N[own])),
            **{kind: {metric: _number(scores[kind, metric][:, number].mean()) for metric in METRICS} for kind in KINDS},
        }
        for number, (person, own) in enumerate(zip(data.people, persons, strict=True))
    ]
    return {
        "summary": {metric: _summary(scores["pretrained", metric], scores["random", metric]) for metric in METRICS},
        "subjects": subjects,
        "classes": list(data.classes),
        "confusion": confusion(data.y_N, predictions.predicted_RN["pretrained"][0], len(data.classes)).tolist(),
        "c": {kind: predictions.c_RF[kind].tolist() for kind in KINDS},
    }


def score(
    function: Callable[[NDArray[np.int64]], float],
    data: LabelledSet,
    own: NDArray[np.int64],
    class_N: NDArray[np.int64],
) -> float:
    """Return a metric of one person's windows `own`."""
    return function(confusion(data.y_N[own], class_N[own], len(data.classes)))


def _summary(pretrained_1P: NDArray[np.float64], random_RP: NDArray[np.float64]) -> dict[str, Any]:
    """Return mean and SD over people of both kinds, their paired difference, and the mean of each random network."""
    result = paired(pretrained_1P[0], random_RP)
    scored = np.isfinite(pretrained_1P[0])
    draws = [float(draw_P[scored].mean()) for draw_P in random_RP] if scored.any() else []
    return {
        "people": result.people,
        **{kind: {"mean": _number(result.mean[i]), "sd": _number(result.sd[i])} for i, kind in enumerate(KINDS)},
        "difference": {
            "mean": _number(result.difference),
            "sd": _number(result.difference_sd),
            "low": _number(result.low),
            "high": _number(result.high),
        },
        "random_networks": draws,
        "beaten": sum(draw < result.mean[0] for draw in draws),
    }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
