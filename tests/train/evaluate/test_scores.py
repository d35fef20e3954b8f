"""Metrics, intervals and paired differences against references."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import cohen_kappa_score, confusion_matrix, f1_score

from train.evaluate.scores.metrics import confusion, interval, kappa, macro_f1, macro_f1_union, paired

Ints = NDArray[np.int64]


def sklearn_f1(truth: Ints, predicted: Ints) -> float:
    return float(f1_score(truth, predicted, labels=np.unique(truth), average="macro", zero_division=0))


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60))
def test_metrics_agree_with_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    truth, predicted = np.array(pairs).T
    table = confusion(truth, predicted, 5)
    np.testing.assert_array_equal(table, confusion_matrix(truth, predicted, labels=range(5)))
    assert macro_f1(table) == pytest.approx(sklearn_f1(truth, predicted))
    assert macro_f1_union(table) == pytest.approx(f1_score(truth, predicted, average="macro", zero_division=0))
    if len(set(truth.tolist())) > 1:
        assert kappa(table) == pytest.approx(cohen_kappa_score(truth, predicted))
    else:
        assert np.isnan(kappa(table))


def test_metrics_by_hand() -> None:
    # truth: 3 of class 0 (2 right, 1 said to be class 2), 1 of class 1 (right); class 2 never happened
    table = confusion(np.array([0, 0, 0, 1]), np.array([0, 0, 2, 1]), 3)
    assert table.tolist() == [[2, 0, 1], [0, 1, 0], [0, 0, 0]]
    assert macro_f1(table) == pytest.approx((2 * 2 / (3 + 2) + 1) / 2)
    assert kappa(table) == pytest.approx((0.75 - (0.75 * 0.5 + 0.25 * 0.25)) / (1 - 0.4375))
    assert macro_f1_union(table) == pytest.approx((2 * 2 / (3 + 2) + 1 + 0) / 3)
    assert np.isnan(macro_f1(np.zeros((2, 2), np.int64)))
    assert np.isnan(macro_f1_union(np.zeros((2, 2), np.int64)))
    # example of a textbook: 20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no: kappa 0.4
    assert kappa(np.array([[20, 5], [10, 15]])) == pytest.approx(0.4)


def test_paired_interval_against_published_quantiles() -> None:
    first, second = np.array([3.0, 5.0, 4.0, 6.0, np.nan]), np.array([1.0, 4.0, 1.0, 2.0, 7.0])
    result = paired(first, second[None])
    sd = (sum((d - 2.5) ** 2 for d in (2.0, 1.0, 3.0, 4.0)) / 3) ** 0.5
    half = 3.182446 * sd / 2  # Student's t, 97.5%, 3 degrees of freedom
    assert result.people == 4
    assert (result.mean, result.difference) == ((4.5, 2.0), 2.5)
    assert (result.low, result.high) == pytest.approx((2.5 - half, 2.5 + half), rel=1e-6)

    # two others around the same mean: 1.9 and 2.1, so their standard error is 0.1 with 1 degree of freedom
    both = paired(first, np.stack((second - 0.1, second + 0.1)))
    errors = (sd**2 / 4, 0.1**2)
    degrees = sum(errors) ** 2 / (errors[0] ** 2 / 3 + errors[1] ** 2 / 1)
    assert both.difference == pytest.approx(2.5)
    assert both.high - 2.5 == pytest.approx(stats.t(degrees).ppf(0.975) * sum(errors) ** 0.5)

    alone = paired(np.array([1.0]), np.array([[0.5], [0.7]]))
    assert alone.difference == pytest.approx(0.4)
    assert np.isnan(alone.low)
    assert np.isnan(alone.sd[0])
    assert np.isnan(paired(np.array([np.nan]), np.array([[1.0]])).difference)
    same = paired(np.ones(4), np.ones((3, 4)))
    assert (same.low, same.difference, same.high) == (0, 0, 0)


def test_the_interval_covers_the_true_difference_95_times_in_100() -> None:
    """Networks of one kind on people of one kind: the true difference is 0 and lies inside about 95 times in 100."""
    rng = np.random.default_rng(8)
    inside = 0
    for _ in range(1_000):
        people, networks, noise = rng.normal(0, 0.15, 20), rng.normal(0, 0.03, 5), rng.normal(0, 0.03, (6, 20))
        result = paired(people + noise[0], people + networks[:, None] + noise[1:])
        inside += result.low <= 0 <= result.high
    assert 925 <= inside <= 985


def test_the_interval_covers_the_draws_of_both_rows() -> None:
    """Both rows are drawn at random, and the draws vary more than the people: 0 is inside about 95 times in 100."""
    rng = np.random.default_rng(3)
    inside = of_one = 0
    for _ in range(1_000):
        people, draws = rng.normal(0, 0.15, 20), rng.normal(0, 0.05, (2, 5, 1))
        one, other = people + draws + rng.normal(0, 0.02, (2, 5, 20))
        result = paired(one, other)
        inside += result.low <= 0 <= result.high
        mean, low, high = interval(one)
        of_one += low <= 0 <= high
        assert low < mean < high
    assert 925 <= inside <= 990
    assert 925 <= of_one <= 990


def test_intervals_by_hand() -> None:
    scores = np.array([[0.5, 0.7, np.nan], [0.7, 0.9, 0.1]])
    mean, low, high = interval(scores)
    assert mean == pytest.approx(0.7)
    # people 0.6 and 0.8, draws 0.6 and 0.8: each has a squared standard error of 0.01 with one degree of freedom
    assert high - mean == pytest.approx(stats.t(2).ppf(0.975) * 0.02**0.5)
    assert mean - low == pytest.approx(high - mean)
    assert interval(scores[:, :1])[0] == pytest.approx(0.6)
    assert np.isnan(interval(scores[:, :1])[1])
    assert np.isnan(interval(np.array([[np.nan]]))).all()


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_paired_difference_is_the_difference_of_means(seed: int) -> None:
    first, second = np.random.default_rng(seed).normal(size=(2, 9))
    result = paired(first, second[None])
    assert result.difference == pytest.approx(result.mean[0] - result.mean[1])
    assert result.low <= result.difference <= result.high
