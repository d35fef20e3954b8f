"""A linear probe beside training: what the features are worth, so far, to somebody with a few labelled people.

The same measure as `persondays evaluate` has (docs/evaluation.md), of the network as it stands: frozen, under
multinomial logistic regression, cross-validated by person. At 0 windows it is the network with random weights, which
is what all later points are to be held against.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from train.evaluate.compare import predict_fold
from train.evaluate.dataset import Labelled
from train.evaluate.features import extract
from train.evaluate.folds import assign_folds
from train.evaluate.metrics import confusion, kappa, macro_f1
from train.evaluate.workers import workers
from train.networks import Encoder

FOLDS = 5
SEED = 0


def probe(network: Encoder, data: Labelled) -> dict[str, Any]:
    """Mean over people of macro F1 and of Cohen's kappa (None where nobody has two classes), and of how many.

    The network is left in the mode that it was in, and nothing random is drawn: a run is the same with and without.
    """
    training, people = network.training, len(data.people)
    fold_N = assign_folds(data.y_N, data.person_N, min(FOLDS, people), SEED)
    said_N = np.empty_like(data.y_N)
    with workers() as pool:
        features_NF = extract(network, data.x_NCT, pool)
        tests = [np.flatnonzero(fold_N == fold) for fold in range(fold_N.max() + 1)]
        for test, (said, _) in zip(
            tests, pool.map(lambda test: predict_fold([features_NF], data, test, SEED), tests), strict=True
        ):
            said_N[test] = said
    network.train(training)
    tables = [
        confusion(data.y_N[own], said_N[own], len(data.classes))
        for own in (np.flatnonzero(data.person_N == person) for person in range(people))
    ]
    kappas = [value for value in map(kappa, tables) if np.isfinite(value)]
    return {
        "macro_f1": float(np.mean([macro_f1(table) for table in tables])),
        "kappa": float(np.mean(kappas)) if kappas else None,
        "people": people,
        "windows": len(data.y_N),
    }
