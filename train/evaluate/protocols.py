"""Protocols: which people train and which test. Nobody is in training and test at once, in any of them.

A protocol gives splits. Each split has its own people to choose settings on, taken from its training people, so that
nothing is chosen on test people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from train.evaluate.dataset import LabelledSet
from train.evaluate.folds import assign_folds, held_out

Integers = NDArray[np.int64]

HARNET_SPLITS, HARNET_TEST, HARNET_HELD_OUT = 5, 0.2, 0.125
HARNET_SEED, HARNET_HELD_OUT_SEED = 42, 41
"""Numbers of the public code of ssl-wearables: five random splits 80:20, then an eighth of the training people."""

PROTOCOLS = {
    "folds": "folds by person; nobody is in training and test at once",
    "harnet": "five random splits by person, 70:10:20, those of ssl-wearables (seeds 42 and 41); a person's score is "
    "the mean over the splits that test them",
    "loso": "leave one person out: every person is the test once, all others train",
    "fixed": "the people of --test-people are the test, all others train",
}


@dataclass(frozen=True)
class Split:
    """Numbers of training and test windows, and which of the training windows are held out to choose settings on.

    train_N, test_N int64; held_out_N bool (training windows,). `domain` is what is left out of training, if anything.
    """

    train_N: Integers
    test_N: Integers
    held_out_N: NDArray[np.bool_]
    domain: str = ""


def splits_of(protocol: str, data: LabelledSet, folds: int, seed: int, test_people: Sequence[str] = ()) -> list[Split]:
    """Return the splits of a protocol in `PROTOCOLS`; `folds` is for folds, `test_people` for fixed."""
    if protocol == "harnet":
        return harnet_splits(data)
    if protocol == "fixed":
        tested_N = np.isin(data.person_N, numbers_of(data, test_people))
        return [_split(data, ~tested_N, tested_N, seed)]
    count = folds if protocol == "folds" else len(data.people)
    return fold_splits(data, assign_folds(data.y_N, data.person_N, count, seed), seed)


def numbers_of(data: LabelledSet, test_people: Sequence[str]) -> Integers:
    """Return the person numbers of the people to test, given by their ids in pid.npy.

    Raises UserError for unknown ids, for fewer than two people, and if nobody is left to train on.
    """
    asked = set(test_people)
    unknown = len(asked - set(data.people))
    if unknown:
        raise UserError(
            f"--test-people: expected ids of the {len(data.people)} participants of this labelled set, found {unknown} "
            f"others among {len(asked)}. Give ids as they are in pid.npy."
        )
    if not 2 <= len(asked) < len(data.people):
        raise UserError(
            f"--test-people: expected at least two participants, and at least one left to train on; found {len(asked)} "
            f"of the {len(data.people)} in this labelled set."
        )
    return np.array([number for number, name in enumerate(data.people) if name in asked])


def fold_splits(data: LabelledSet, fold_N: Integers, seed: int) -> list[Split]:
    """Return a split for each fold, tested on it and trained on all others."""
    return [_split(data, fold_N != fold, fold_N == fold, seed) for fold in range(int(fold_N.max()) + 1)]


def harnet_splits(data: LabelledSet) -> list[Split]:
    """Return the splits of ssl-wearables: random shares of people, drawn as scikit-learn's GroupShuffleSplit does."""
    people = len(data.people)
    random = np.random.RandomState(HARNET_SEED)
    splits = []
    for _ in range(HARNET_SPLITS):
        test_P = random.permutation(people)[: _share(people, HARNET_TEST)]
        tested_N = np.isin(data.person_N, test_P)
        training = np.unique(data.person_N[~tested_N])
        held_P = training[_shuffled(len(training))[: _share(len(training), HARNET_HELD_OUT)]]
        held_out_N = (
            np.isin(data.person_N[~tested_N], held_P) if len(training) > 1 else np.zeros((~tested_N).sum(), bool)
        )
        splits.append(Split(np.flatnonzero(~tested_N), np.flatnonzero(tested_N), held_out_N))
    return splits


def _shuffled(people: int) -> Integers:
    return np.random.RandomState(HARNET_HELD_OUT_SEED).permutation(people)


def _share(people: int, share: float) -> int:
    return min(people - 1, int(np.ceil(share * people))) if people > 1 else 0


def domain_splits(
    data: LabelledSet, domain_N: NDArray[np.str_], folds: int, seed: int, test_people: Sequence[str] = ()
) -> list[Split]:
    """Return splits that leave out each domain in turn: trained on the others, tested on it, never on the same people.

    Where people have windows in several domains, each domain is tested in folds by person. With `test_people`, these
    are tested, in the domains that they have, and all others train. Raises UserError where nobody is left to train on.
    """
    splits = []
    tested_N = np.isin(data.person_N, numbers_of(data, test_people)) if test_people else np.zeros(len(domain_N), bool)
    for domain in np.unique(domain_N[tested_N] if test_people else domain_N):
        inside_N = domain_N == domain
        if test_people:
            splits.append(_domain_split(data, ~inside_N & ~tested_N, inside_N & tested_N, seed, str(domain)))
            continue
        people = np.unique(data.person_N[inside_N])
        shared = np.isin(data.person_N[~inside_N], people).any()
        count = min(folds, len(people)) if shared else 1
        fold_P = np.zeros(len(data.people), np.int64) - 1
        if count > 1:
            inner = np.unique(data.person_N[inside_N], return_inverse=True)[1]
            fold_P[data.person_N[inside_N]] = assign_folds(data.y_N[inside_N], inner, count, seed)
        else:
            fold_P[people] = 0
        for fold in range(count):
            here_N = fold_P[data.person_N] == fold
            splits.append(_domain_split(data, ~inside_N & ~here_N, inside_N & here_N, seed, str(domain)))
    return splits


def _domain_split(
    data: LabelledSet, train_N: NDArray[np.bool_], test_N: NDArray[np.bool_], seed: int, domain: str
) -> Split:
    if not train_N.any():
        raise UserError(
            f"--domain: expected people to train on with {domain!r} left out, found none: the other values have only "
            "windows of people who are tested. Choose a column whose values have more people."
        )
    return _split(data, train_N, test_N, seed, domain)


def _split(
    data: LabelledSet, train_N: NDArray[np.bool_], test_N: NDArray[np.bool_], seed: int, domain: str = ""
) -> Split:
    held_out_N = held_out(data.y_N[train_N], data.person_N[train_N], seed)
    return Split(np.flatnonzero(train_N), np.flatnonzero(test_N), held_out_N, domain)
