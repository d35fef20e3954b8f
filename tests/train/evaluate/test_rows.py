"""What each row learns: networks, two-layer heads and trees."""

from __future__ import annotations

from inspect import signature
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.train.evaluate.labelled_sets import as_data, walkers
from train.evaluate.command import evaluate
from train.evaluate.folds import held_out
from train.evaluate.rows import ROWS, Context, kept, random_network
from train.evaluate.rows import training as recipe
from train.evaluate.rows.calibrate import class_weights
from train.evaluate.rows.row import Fitted, Lesson
from train.evaluate.rows.training import shuffled_batches, train_network, turned, window_random
from train.evaluate.workers import workers
from train.networks.harnet import Harnet


def test_the_help_names_every_row() -> None:
    text = signature(evaluate).parameters["rows"].default.help
    listed = text.partition("`all`: ")[2].partition(". By default")[0]
    assert listed.split(", ") == list(ROWS)


@pytest.mark.parametrize("row", ROWS)
def test_a_row_learns_what_is_plain_and_predicts_windows_it_has_not_seen(
    row: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("TRAINING_BATCH", 16), ("RATE", 3e-3), ("PATIENCE", 20)):  # for so few windows
        monkeypatch.setattr(recipe, name, value)
    data, network = as_data(*walkers()), random_network(Harnet("harnet5", 0.125), 1)  # type: ignore[arg-type]
    train, test = np.flatnonzero(data.person_N < 4), np.flatnonzero(data.person_N >= 4)
    held_out_N = held_out(data.y_N[train], data.person_N[train], 0)
    with workers() as pool:
        context = Context(data, network, pool, seed=0, epochs=100)
        inputs, learn = ROWS[row].inputs(context, 0), ROWS[row].learner(context, 0)
        learned = learn(Lesson([each.set_N[train] for each in inputs], data.y_N[train], held_out_N, 3, seed=0))
        fitted = Fitted(learned, inputs[learned.view])
        predicted_N = fitted.of_set(test)
        assert np.array_equal(fitted.of(data.x_NCT[test]), predicted_N)
    # a network that is trained to ignore orientation confuses two postures
    least = 0.6 if row in ("finetuned", "scratch") else 0.9
    assert (predicted_N == data.y_N[test]).mean() > least
    assert all(parameter.requires_grad for parameter in network.parameters())


class Plain(nn.Module):
    """A linear map of windows, without BatchNorm: simple enough to train by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(9, 2)

    def forward(self, x_BCT: torch.Tensor) -> torch.Tensor:
        return self.linear(x_BCT.flatten(1))


def lesson(people: int = 4) -> Lesson:
    """Windows of three ticks of two unequal classes; the last person is held out."""
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(people), 30)
    y = (rng.uniform(size=len(person)) < 0.3).astype(np.int64)
    x = (rng.normal(size=(len(person), 3, 3)) + y[:, None, None]).astype(np.float32)
    return Lesson([x], y, person == people - 1, 2, seed=5)


def test_training_is_the_recipe_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two epochs against a loop written out, with the augmentation of each window."""
    monkeypatch.setattr(recipe, "TRAINING_BATCH", 30)
    given, start = lesson(), Plain()
    learned = train_network(start, given, turned, epochs=2)
    expected = Plain()
    expected.load_state_dict(start.state_dict())
    optimizer = torch.optim.Adam(expected.parameters(), lr=1e-4, amsgrad=True)
    train = np.flatnonzero(~given.held_out_N)
    y = torch.from_numpy(given.y_N)
    counts, states = torch.bincount(y[train]), []
    for epoch in (1, 2):
        batches = shuffled_batches(train, 5, epoch)
        assert sorted(np.concatenate(batches).tolist()) == train.tolist()
        assert {len(batch) for batch in batches} == {30}
        for batch in batches:
            x = turned(torch.from_numpy(given.inputs_VN[0][batch]), window_random(batch, 5, epoch))
            assert not torch.equal(x, torch.from_numpy(given.inputs_VN[0][batch]))
            weight = counts.sum() / counts[y[batch]]
            losses = F.cross_entropy(expected(x), y[batch], reduction="none")
            optimizer.zero_grad()
            ((losses * weight).sum() / weight.sum()).backward()
            optimizer.step()
        states.append({name: value.clone() for name, value in expected.state_dict().items()})
    head: Any = learned.head
    assert learned.facts["epochs"] == 2
    torch.testing.assert_close(head.network.state_dict(), states[learned.facts["best_epoch"] - 1])


def test_the_best_epoch_on_people_held_out_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    losses = iter([3.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 0.5])
    states = []

    def loss(network: nn.Module, *_rest: object) -> float:
        states.append({name: value.clone() for name, value in network.state_dict().items()})
        return next(losses)

    monkeypatch.setattr(recipe, "weighted_loss", loss)
    learned = train_network(Plain(), lesson(), None)
    assert learned.facts == {"epochs": 7, "best_epoch": 2}  # five epochs without a better one
    head: Any = learned.head
    assert all(torch.equal(value, states[1][name]) for name, value in head.network.state_dict().items())


def test_without_people_to_stop_on_training_has_a_fixed_length() -> None:
    alone = lesson(1)
    alone = Lesson(alone.inputs_VN, alone.y_N, np.zeros(30, bool), 2, 0)
    assert train_network(Plain(), alone, None).facts == {"epochs": 20, "best_epoch": 20}
    assert train_network(Plain(), alone, None, epochs=3).facts == {"epochs": 3, "best_epoch": 3}


def test_class_weights_are_inverse_frequencies() -> None:
    assert class_weights(np.array([0, 0, 0, 1]), 3).tolist() == pytest.approx([4 / 3, 4, 4])


def test_the_same_seed_trains_the_same_network_whatever_else_runs() -> None:
    data, network = as_data(*walkers(people=3)), random_network(Harnet("harnet5", 0.125), 1)  # type: ignore[arg-type]
    given = Lesson([data.x_NCT], data.y_N, data.person_N == 2, 3, seed=0)
    with workers() as pool:
        context = Context(data, network, pool, seed=0, epochs=2)
        torch.manual_seed(1)
        learn = ROWS["scratch"].learner(context, 0)
        first, second = pool.map(learn, [given, given])
        torch.manual_seed(2)
        other = ROWS["scratch"].learner(context, 1)(given)
        again = ROWS["scratch"].learner(context, 0)(given)
    states: list[Any] = [each.head.network.state_dict() for each in (first, second, again, other)]  # type: ignore[attr-defined]
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name])
        assert torch.equal(value, states[2][name])
    assert not torch.equal(states[0]["classifier.linear2.weight"], states[3]["classifier.linear2.weight"])


def test_tuning_is_its_recipe_step_by_step() -> None:
    """Two epochs against a loop written out: all windows, turned a little, the rate along a cosine to 0."""
    given, start = lesson(), Plain()
    tuned: Any = kept.train_for(start, given, 2).head
    expected = Plain()
    expected.load_state_dict(start.state_dict())
    optimizer = torch.optim.Adam(expected.parameters())
    y, everybody, step = torch.from_numpy(given.y_N), np.arange(len(given.y_N)), 0
    for epoch in (1, 2):
        batches = shuffled_batches(everybody, 5, epoch)
        for batch in batches:
            x = torch.from_numpy(given.inputs_VN[0][batch])
            turned_x = kept.slightly_turned(x, window_random(batch, 5, epoch))
            torch.testing.assert_close(turned_x.norm(dim=1), x.norm(dim=1), atol=1e-5, rtol=1e-5)
            optimizer.param_groups[0]["lr"] = 3e-4 * (1 + np.cos(np.pi * step / (2 * len(batches)))) / 2
            optimizer.zero_grad()
            F.cross_entropy(expected(turned_x), y[batch]).backward()
            optimizer.step()
            step += 1
    torch.testing.assert_close(tuned.network.state_dict(), expected.state_dict(), atol=1e-6, rtol=1e-5)


def test_tuning_takes_more_epochs_of_few_windows() -> None:
    few, many = lesson(), Lesson([], np.zeros(2_500, np.int64), np.zeros(2_500, bool), 2, 0)
    assert kept.epochs_of(few, 200) == 150  # two batches each
    assert kept.epochs_of(few, 9) == 9
    assert kept.epochs_of(many, 200) == 16
