"""Who trains, who tests and who is held out, in every protocol."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import GroupShuffleSplit

from pipeline.errors import UserError
from train.evaluate.dataset import LabelledSet
from train.evaluate.folds import assign_folds
from train.evaluate.protocols import PROTOCOLS, splits_of


@given(
    st.lists(st.tuples(st.integers(0, 11), st.integers(0, 4)), min_size=2, max_size=200),
    st.integers(1, 12),
    st.integers(0, 3),
)
def test_folds_never_split_a_person(rows: list[tuple[int, int]], folds: int, seed: int) -> None:
    people, person = np.unique([person for person, _ in rows], return_inverse=True)
    y = np.array([label for _, label in rows])
    if folds > len(people):
        with pytest.raises(ValueError, match="folds"):
            assign_folds(y, person, folds, seed)
        return
    fold = assign_folds(y, person, folds, seed)
    assert all(len(set(fold[person == p].tolist())) == 1 for p in range(len(people)))
    assert set(fold.tolist()) == set(range(folds))
    assert (fold == assign_folds(y, person, folds, seed)).all()


def test_folds_spread_classes() -> None:
    # 10 people do class 0 only, 10 do class 1 only: every one of 5 folds can have two of each
    person = np.repeat(np.arange(20), 10)
    y = (person >= 10).astype(np.int64)
    fold = assign_folds(y, person, 5, 0)
    for f in range(5):
        assert [int((y[fold == f] == k).sum()) for k in (0, 1)] == [20, 20]


def people_and_labels(people: int, each: int = 20, classes: int = 3) -> LabelledSet:
    """Windows without content: only people and labels matter."""
    person = np.repeat(np.arange(people), each)
    y = np.tile(np.arange(each) % classes, people)
    names = tuple(f"p{number}" for number in range(people))
    return LabelledSet(np.zeros((len(y), 3, 1), np.float32), y, person, tuple("abcdef"[:classes]), names, ())


@pytest.mark.parametrize(
    ("protocol", "people"),
    [(name, people) for name in PROTOCOLS for people in (2, 3, 7, 24) if name != "fixed" or people > 2],
)
def test_nobody_trains_and_tests_and_people_held_out_are_training_people(protocol: str, people: int) -> None:
    data = people_and_labels(people)
    tested = ("p0", "p1") if protocol == "fixed" else ()
    for split in splits_of(protocol, data, min(5, people), 0, tested):
        train, test = (set(data.person_N[windows].tolist()) for windows in (split.train_N, split.test_N))
        held_out = set(data.person_N[split.train_N[split.held_out_N]].tolist())
        chosen_with = set(data.person_N[split.train_N[~split.held_out_N]].tolist())
        assert train | test == set(range(people))
        assert train & test == held_out & chosen_with == set()
        assert bool(held_out) == (len(train) > 1)
        assert test
        assert chosen_with


def test_named_people_are_tested_and_all_others_train() -> None:
    data = people_and_labels(12)
    (split,) = splits_of("fixed", data, 5, 0, ("p3", "p11"))
    assert np.array_equal(split.test_N, np.flatnonzero(np.isin(data.person_N, [3, 11])))
    assert np.array_equal(split.train_N, np.flatnonzero(~np.isin(data.person_N, [3, 11])))
    assert len(np.unique(data.person_N[split.train_N[split.held_out_N]])) == 3  # a quarter of ten, rounded up


@pytest.mark.parametrize(
    ("people", "message"),
    [
        (("p1", "Zoe", "Ann"), "ids of the 4 participants of this labelled set, found 2 others among 3"),
        (("p1",), "at least two participants.*; found 1 of the 4"),
        (("p0", "p1", "p2", "p3"), "at least one left to train on; found 4 of the 4"),
    ],
)
def test_people_who_cannot_be_the_test_are_counted_and_not_named(people: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message) as refused:
        splits_of("fixed", people_and_labels(4), 5, 0, people)
    assert not any(name in str(refused.value) for name in people)


def test_folds_and_leaving_one_out_test_everybody_once() -> None:
    data = people_and_labels(7)
    for protocol, count in (("folds", 5), ("loso", 7)):
        splits = splits_of(protocol, data, 5, seed=0)
        assert len(splits) == count
        assert sorted(np.concatenate([split.test_N for split in splits]).tolist()) == list(range(len(data.y_N)))
    assert all(len(np.unique(data.person_N[split.test_N])) == 1 for split in splits)


@pytest.mark.parametrize("people", [5, 24, 46])
def test_the_splits_of_ssl_wearables_are_those_of_its_public_code(people: int) -> None:
    data = people_and_labels(people)
    outer = GroupShuffleSplit(5, test_size=0.2, random_state=42).split(data.y_N, data.y_N, data.person_N)
    splits = splits_of("harnet", data, 5, seed=0)
    assert len(splits) == 5
    for split, (train, test) in zip(splits, outer, strict=True):
        assert np.array_equal(split.train_N, train)
        assert np.array_equal(split.test_N, test)
        inner = GroupShuffleSplit(1, test_size=0.125, random_state=41)
        ((_, held_out),) = inner.split(train, data.y_N[train], data.person_N[train])
        assert np.array_equal(np.flatnonzero(split.held_out_N), held_out)
