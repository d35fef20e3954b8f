"""Folds by person: nobody is in training and test at once, and every fold has a similar share of each class.

scikit-learn's StratifiedGroupKFold is as even but gives other folds, and so other scores than those published
(docs/decisions/0011-library-or-ours.md).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

HELD_OUT_FOLDS = 4


def assign_folds(y_N: NDArray[np.int64], person_N: NDArray[np.int64], folds: int, seed: int) -> NDArray[np.int64]:
    """Return the fold of every window, int64 (windows,) in 0 .. folds - 1; all windows of a person are in one fold.

    Greedy: people are taken by their number of windows, most first (ties in an order by `seed`), and each goes into
    the fold whose classes overlap least with theirs. Overlap is measured in shares of each class's windows, so every
    step adds as little as possible to the sum of squared shares. No fold is empty. Raises ValueError for more folds
    than people.
    """
    people, classes = int(person_N.max()) + 1, int(y_N.max()) + 1
    if not 1 <= folds <= people:
        raise ValueError(f"expected 1 to {people} folds for {people} people, found {folds}")
    counts_PK = np.bincount(person_N * classes + y_N, minlength=people * classes).reshape(people, classes)
    shares_PK = counts_PK / np.maximum(counts_PK.sum(0), 1)
    order = np.random.default_rng(seed).permutation(people)
    order = order[np.argsort(-counts_PK.sum(1)[order], kind="stable")]

    fold_P = np.empty(people, np.int64)
    taken_FK, windows_F = np.zeros((folds, classes)), np.zeros(folds, np.int64)
    for person in order:
        overlap_F = taken_FK @ shares_PK[person]
        fold = int(np.lexsort((windows_F, overlap_F))[0])
        fold_P[person] = fold
        taken_FK[fold] += shares_PK[person]
        windows_F[fold] += counts_PK[person].sum()
    return fold_P[person_N]


def held_out(y_N: NDArray[np.int64], person_N: NDArray[np.int64], seed: int) -> NDArray[np.bool_]:
    """Return which of these windows belong to the quarter of their people on whom settings are chosen.

    With one person there is nobody to choose on, and no window is held out.
    """
    people, inner_N = np.unique(person_N, return_inverse=True)
    if len(people) < 2:
        return np.zeros(len(y_N), bool)
    return assign_folds(y_N, inner_N, min(HELD_OUT_FOLDS, len(people)), seed) == 0
