"""SimCLR and the multi-task pretext together: the views, losses and scores that each has alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pipeline.errors import UserError
from pipeline.settings import build
from tests.train.plain import movement, randoms
from train.objectives import ObjectiveSettings, make_objective
from train.objectives.joint import Joint, JointSettings
from train.objectives.multitask import Multitask, MultitaskSettings
from train.objectives.simclr import Simclr, SimclrSettings

WINDOWS = 24


def joint(weight: float = 0.5) -> Joint:
    return Joint(JointSettings(weight), SimclrSettings(projection=8), MultitaskSettings())


def outputs(objective: Joint, windows: int) -> dict[str, Tensor]:
    features = torch.randn(3 * windows, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.manual_seed(1)
    return {name: head.double()(features).detach() for name, head in objective.heads(16).items()}


def test_views_are_those_of_each_objective_alone() -> None:
    x, random, objective = movement(WINDOWS, 300), randoms(WINDOWS), joint()
    seen, targets = objective.views(x, random)
    pairs, slots = Simclr(SimclrSettings()).views(x, random)
    changed, labels = Multitask(MultitaskSettings()).views(x, random)
    three = seen.unflatten(0, (WINDOWS, 3))
    assert torch.equal(three[:, :2].flatten(0, 1), pairs)
    assert torch.equal(three[:, 2], changed)
    assert torch.equal(targets[:, 0].repeat_interleave(2), slots)
    assert torch.equal(targets[:, 1:], labels)


def test_loss_is_the_weighted_sum_and_keeps_the_figures_of_both() -> None:
    objective = joint(0.5)
    found = outputs(objective, WINDOWS)
    targets = torch.cat((torch.arange(WINDOWS)[:, None] // 4, torch.randint(0, 2, (WINDOWS, 3))), 1)
    loss, figures = objective.loss(found, targets)
    three = {name: output.unflatten(0, (WINDOWS, 3)) for name, output in found.items()}
    pairs = {"projection": three["projection"][:, :2].flatten(0, 1)}
    contrast, alone = objective.simclr.loss(pairs, targets[:, 0].repeat_interleave(2))
    pretext, tasks = objective.multitask.loss({name: output[:, 2] for name, output in three.items()}, targets[:, 1:])
    torch.testing.assert_close(loss, contrast + 0.5 * pretext, rtol=1e-12, atol=0)
    assert float(figures["loss_sum"]) == pytest.approx(float(loss) * WINDOWS, rel=1e-9)
    for name in ("contrast/correct", "reversal/correct", "warp/loss_sum"):
        assert torch.equal(figures[name], (alone | tasks)[name])


def test_score_adds_up_over_days_and_leaves_out_days_of_one_window() -> None:
    objective = joint()
    found = outputs(objective, WINDOWS)
    slots = torch.tensor([0] * 10 + [1] + [2] * 13)
    targets = torch.cat((slots[:, None], torch.randint(0, 2, (WINDOWS, 3))), 1)
    whole = objective.score(found, targets)
    parts = []
    for slot in (0, 1, 2):
        rows = slots == slot
        own = {name: output.unflatten(0, (WINDOWS, 3))[rows].flatten(0, 1) for name, output in found.items()}
        parts.append(objective.score(own, targets[rows]))
    assert float(whole["count"]) == 23
    for name, value in whole.items():
        torch.testing.assert_close(value, sum((part[name] for part in parts), torch.zeros(())).double())


def test_a_step_trains_the_network_by_both() -> None:
    objective = make_objective(ObjectiveSettings("joint"))
    x, random = movement(WINDOWS, 300), randoms(WINDOWS)
    views, targets = objective.views(x, random)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(900, 16))
    heads = objective.heads(16)
    features = network(views)
    loss, _ = objective.loss({name: head(features) for name, head in heads.items()}, targets)
    loss.backward()
    for name, head in heads.items():
        trained = [parameter.grad is not None for parameter in head.parameters()]
        assert all(trained) if name != "scale_h" else not any(trained)


def test_a_weight_of_zero_is_refused() -> None:
    with pytest.raises(UserError, match="multitask: expected a weight above 0, found 0"):
        build(ObjectiveSettings, {"name": "joint", "joint": {"multitask": 0.0}}, "recipe")
