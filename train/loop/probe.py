"""A linear probe during training: how useful the features are to somebody with a few labelled participants.

It computes the same measure as `persondays evaluate` (docs/evaluation.md), on the current network: frozen, with
multinomial logistic regression, cross-validated by participant. The probe at 0 windows shows random weights, with which
all later ones should be compared.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from train.evaluate.dataset import LabelledSet
from train.evaluate.folds import assign_folds
from train.evaluate.rows.features import extract
from train.evaluate.rows.linear import predict_fold
from train.evaluate.scores.metrics import confusion, kappa, macro_f1
from train.evaluate.workers import workers
from train.networks import Encoder

FOLDS = 5
SEED = 0


def probe(network: Encoder, data: LabelledSet) -> dict[str, Any]:
    """Return macro F1 and Cohen's kappa (None if nobody has two classes), as means over participants, and the counts.

    Keeps the network's mode and draws no random numbers, so that a run is the same with and without a probe.
    """
    training, people = network.training, len(data.people)
    fold_N = assign_folds(data.y_N, data.person_N, min(FOLDS, people), SEED)
    predicted_N = np.empty_like(data.y_N)
    with workers() as pool:
        features_NF = extract(network, data.x_NCT, pool)
        tests = [np.flatnonzero(fold_N == fold) for fold in range(fold_N.max() + 1)]
        for test, (predicted, _) in zip(
            tests, pool.map(lambda test: predict_fold([features_NF], data, test, SEED), tests), strict=True
        ):
            predicted_N[test] = predicted
    network.train(training)
    tables = [
        confusion(data.y_N[own], predicted_N[own], len(data.classes))
        for own in (np.flatnonzero(data.person_N == person) for person in range(people))
    ]
    kappas = [value for value in map(kappa, tables) if np.isfinite(value)]
    return {
        "macro_f1": float(np.mean([macro_f1(table) for table in tables])),
        "kappa": float(np.mean(kappas)) if kappas else None,
        "people": people,
        "windows": len(data.y_N),
    }
