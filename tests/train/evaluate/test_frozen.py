"""Frozen features and the linear head against references."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from train.evaluate.folds import held_out
from train.evaluate.rows.context import random_network
from train.evaluate.rows.features import estimate_statistics, extract, features_of
from train.evaluate.rows.head import DEFAULT_C, PENALTIES, choose, fit_head, objective
from train.evaluate.workers import workers
from train.networks.harnet import Harnet


def test_head_is_at_the_optimum_that_scikit_learn_finds() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 7)).astype(np.float32) * 5 + 3
    x[:, 4] = 2.5  # never varies
    y = (x[:, 0] + rng.normal(size=200) > 3).astype(np.int64) + (x[:, 1] > 5)
    head = fit_head(x, y, 3, c=0.5)
    assert head.converged
    z = (x.astype(np.float64) - x.mean(0)) / np.where(x.std(0) > 0, x.std(0), 1)
    z[:, 4] = 0
    np.testing.assert_allclose(head.logits(x), z @ head.weight_FK + head.bias_K, atol=1e-4)

    reference = LogisticRegression(C=0.5, tol=1e-8, max_iter=10_000).fit(z, y)
    ours, theirs = (
        logits - logits.mean(1, keepdims=True) for logits in (head.logits(x), reference.decision_function(z))
    )
    np.testing.assert_allclose(ours, theirs, atol=0.01)

    parts = (head.weight_FK, head.bias_K, reference.coef_.T, reference.intercept_)
    weight, bias, best_weight, best_bias = (torch.tensor(part, dtype=torch.float64) for part in parts)
    data = torch.from_numpy(z), torch.from_numpy(y)
    loss = objective(*data, weight.requires_grad_(), bias.requires_grad_(), 0.5)
    loss.backward()
    assert loss.item() == pytest.approx(objective(*data, best_weight, best_bias, 0.5).item(), abs=1e-6)
    for parameter in (weight, bias):
        assert parameter.grad is not None
        assert parameter.grad.abs().max() < 2e-4  # strictly convex: a zero gradient is the optimum
    near = fit_head(x, y, 3, c=0.5, start=fit_head(x, y, 3, c=0.01))
    np.testing.assert_allclose(near.weight_FK, head.weight_FK, atol=0.01)


def test_penalty_and_view_are_chosen_by_people_held_out() -> None:
    rng = np.random.default_rng(3)
    person = np.repeat(np.arange(8), 30)
    y = rng.integers(0, 2, 240)
    signal = (y[:, None] + rng.normal(size=(240, 3))).astype(np.float32)
    # a view that identifies the windows of training people, and carries no information about anyone else
    own = (np.eye(8)[person][:, :, None] * rng.normal(size=(240, 1, 20))).reshape(240, -1).astype(np.float32)
    view, c, head = choose([own, np.hstack((signal, own))], y, held_out(y, person, seed=0), 2)
    assert view == 1
    assert c < max(PENALTIES)  # so many features that say nothing want a strong penalty
    assert head is not None
    assert head.c == c
    alone = held_out(y[:30], person[:30], seed=0)
    assert not alone.any()
    assert choose([own, signal], y[:30], alone, 2) == (0, DEFAULT_C, None)


def test_estimated_statistics_are_those_of_the_windows() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(0.5, 2.0, size=(32, 3, 150)).astype(np.float32)
    network = random_network(cast(Any, Harnet("harnet5", 0.125)), 0)
    estimate_statistics(network, x, 0)
    assert not network.training
    first = network.get_submodule("layer1.0")
    with torch.no_grad():
        inner = first(torch.from_numpy(x))
    norm = network.get_submodule("layer1.1.bn1")
    assert isinstance(norm, torch.nn.BatchNorm1d)
    assert norm.momentum == 0.1
    torch.testing.assert_close(norm.running_mean, inner.mean((0, 2)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.running_var, inner.var((0, 2)), rtol=1e-4, atol=1e-5)


def test_random_networks_follow_the_seed_and_leave_the_generator_alone() -> None:
    like: Any = Harnet("harnet5", 0.125)
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    a, b, c = (random_network(like, seed).state_dict()["layer1.0.weight"] for seed in (0, 0, 1))
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_features_do_not_depend_on_the_batch() -> None:
    network: Any = Harnet("harnet5", 0.125)
    x = np.random.default_rng(0).normal(size=(300, 3, 150)).astype(np.float32)
    with workers() as pool:
        features, last = extract(network, x, pool), extract(network, x[256:], pool)
    assert features.shape == (300, 64)
    np.testing.assert_allclose(features[256:], last, atol=1e-5)
    assert np.array_equal(features, features_of(network, x))
