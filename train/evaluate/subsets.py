"""Fewer labels, or fewer labelled people: parts of a split's training windows, drawn at random, the test unchanged.

Parts of one repeat are nested: a larger part contains the smaller ones, so that a curve compares like with like.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from train.evaluate.dataset import LabelledSet
from train.evaluate.folds import held_out
from train.evaluate.protocols import Split


def fewer_labels(data: LabelledSet, split: Split, percent: float, seed: int) -> Split:
    """Return the split with `percent` of the training windows of each class, rounded, at least one."""
    order = np.random.default_rng(seed).permutation(split.train_N)
    y_N = data.y_N[order]
    kept = []
    for label in np.unique(y_N):
        own = order[y_N == label]
        kept.append(own[: max(1, round(percent / 100 * len(own)))])
    return _part(data, split, np.sort(np.concatenate(kept)), seed)


def fewer_people(data: LabelledSet, split: Split, people: int, seed: int) -> Split:
    """Return the split with `people` of its training people, or all if there are fewer."""
    chosen = np.random.default_rng(seed).permutation(np.unique(data.person_N[split.train_N]))[:people]
    return _part(data, split, split.train_N[np.isin(data.person_N[split.train_N], chosen)], seed)


def _part(data: LabelledSet, split: Split, train_N: NDArray[np.int64], seed: int) -> Split:
    return Split(train_N, split.test_N, held_out(data.y_N[train_N], data.person_N[train_N], seed), split.domain)
