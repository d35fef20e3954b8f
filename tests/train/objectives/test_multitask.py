"""The multi-task objective: its labels, views, loss and figures, and their independence of the batch."""

from __future__ import annotations

import math
import shutil
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chi2

from pipeline.errors import UserError
from pipeline.settings import build
from tests.train import plain
from tests.train.plain import at, impacts, movement, randoms
from train.networks.model import Model
from train.objectives import ObjectiveSettings, make_objective
from train.objectives.multitask import TASKS, Multitask, MultitaskSettings
from train.random import Purpose, WindowRandom
from train.transforms.parts import PART

PLAIN: dict[str, Any] = {"axis_permutation": False, "rotation": False}
ALL_TASKS = MultitaskSettings(scaling=1.0)


def noise(count: int, ticks: int = 300) -> torch.Tensor:
    return torch.randn(count, 3, ticks, generator=torch.Generator().manual_seed(2))


def test_labels_are_fair_and_independent_of_each_other_and_of_the_draws() -> None:
    """All 16 combinations are equally frequent, in each quarter of a transform's first draw; 1 in 1,000 would fail."""
    count = 16_000
    random = randoms(count)
    _, labels = Multitask(ALL_TASKS).views(noise(count, 44), random)
    assert labels.dtype == torch.int64
    assert sorted(labels.unique(dim=0).tolist()) == [list(answer) for answer in product((0, 1), repeat=4)]
    code = (labels * torch.tensor([8, 4, 2, 1])).sum(1)
    assert chi_square(code, 16) < chi2.ppf(0.999, 15)
    for purpose in (Purpose.SCALING, Purpose.PERMUTATION, Purpose.WARP, Purpose.AXES, Purpose.ROTATION):
        quarter = (random.uniform(purpose, 1)[:, 0] * 4).long()
        assert chi_square(4 * code + quarter, 64) < chi2.ppf(0.999, 63)


@pytest.mark.parametrize("part", ["lane", "round", "slot", "start"])
def test_labels_are_fair_and_independent_from_one_window_to_the_next(part: str) -> None:
    """Along each part of a window's key: 64 combinations of two neighbours and three tasks."""
    count = 12_800
    index, same = torch.arange(count), torch.full((count,), 3)
    random = WindowRandom.of(0, *(index if name == part else same for name in ("lane", "round", "slot", "start")))
    labels = random.coins([Purpose.REVERSAL, Purpose.PERMUTATION, Purpose.WARP]).long()
    code = (labels * torch.tensor([4, 2, 1])).sum(1)
    assert chi_square(8 * code[::2] + code[1::2], 64) < chi2.ppf(0.999, 63)


def chi_square(code: torch.Tensor, classes: int) -> float:
    """Return the chi-square statistic of the class frequencies against equal frequencies."""
    expected = len(code) / classes
    return float(((torch.bincount(code, minlength=classes) - expected) ** 2 / expected).sum())


@pytest.mark.parametrize("ticks", [150, 300, 900])
@pytest.mark.parametrize("windows", [movement, impacts])
def test_views_equal_numpy(windows: Any, ticks: int) -> None:
    x, random = windows(120, ticks), randoms(120)
    seen, labels = Multitask(MultitaskSettings(scaling=1.0, jitter_g=0.008)).views(x, random)
    expected = plain.views(x, random, labels.bool().numpy(), 0.008)
    np.testing.assert_allclose(seen, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_label_says_whether_the_window_was_transformed(task: Any) -> None:
    weights: dict[str, Any] = {other.name: float(other is task) for other in TASKS}
    x, random = noise(400), randoms(400)
    seen, labels = Multitask(MultitaskSettings(**weights, **PLAIN)).views(x, random)
    changed = (seen != x).flatten(1).any(1)
    assert torch.equal(changed, labels[:, 0].bool())
    assert torch.equal(seen, task.transform(x, random, labels[:, 0].bool()))


def test_transforms_come_in_the_order_reversal_scaling_permutation_warp() -> None:
    x, random = noise(200), randoms(200)
    seen, labels = Multitask(MultitaskSettings(scaling=1.0, **PLAIN)).views(x, random)
    expected = x
    for column, task in enumerate(TASKS):
        expected = task.transform(expected, random, labels[:, column].bool())
    assert [task.name for task in TASKS] == ["reversal", "scaling", "permutation", "warp"]
    assert torch.equal(seen, expected)
    assert labels.all(1).any()


def test_a_large_batch_is_the_same_as_its_parts() -> None:
    objective, x, random = Multitask(MultitaskSettings(jitter_g=0.008)), noise(2 * PART + 5, 60), randoms(2 * PART + 5)
    seen, labels = objective.views(x, random)
    assert len(seen) == len(labels) == len(x)
    for first in (0, PART - 3, PART, 2 * PART):
        chosen = torch.arange(first, min(first + 40, len(x)))
        part, part_labels = objective.views(x[chosen], at(random, chosen))
        torch.testing.assert_close(part, seen[chosen], rtol=0, atol=1e-6)
        assert torch.equal(part_labels, labels[chosen])


def test_axes_rotation_and_jitter_do_not_change_labels() -> None:
    x, random = noise(300), randoms(300)
    plain, labels = Multitask(MultitaskSettings(**PLAIN)).views(x, random)
    turned, same = Multitask(MultitaskSettings()).views(x, random)
    assert torch.equal(labels, same)
    torch.testing.assert_close(turned.norm(dim=1), plain.norm(dim=1), atol=1e-5, rtol=1e-5)
    assert not torch.equal(turned, plain)
    jittered, same = Multitask(MultitaskSettings(jitter_g=0.01)).views(x, random)
    assert torch.equal(labels, same)
    assert abs((jittered - turned).std() - 0.01) < 1e-4


@pytest.mark.parametrize("settings", [MultitaskSettings(), MultitaskSettings(scaling=1.0, jitter_g=0.008)])
def test_a_window_does_not_depend_on_its_batch(settings: MultitaskSettings) -> None:
    objective, x, random = Multitask(settings), noise(97), randoms(97)
    seen, labels = objective.views(x, random)
    order = torch.randperm(97, generator=torch.Generator().manual_seed(1))
    for chosen in (order, *order.split(30)):
        part, part_labels = objective.views(x[chosen], at(random, chosen))
        assert torch.equal(part_labels, labels[chosen])
        torch.testing.assert_close(part, seen[chosen], rtol=0, atol=1e-6)


def test_autocast_does_not_round_the_windows() -> None:
    x, random = noise(20), randoms(20)
    expected, _ = Multitask(MultitaskSettings()).views(x, random)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        seen, _ = Multitask(MultitaskSettings()).views(x, random)
    assert torch.equal(seen, expected)


def test_views_compile_without_a_graph_break() -> None:
    views = Multitask(MultitaskSettings(jitter_g=0.008)).views
    x, random = noise(8), randoms(8)
    compiled = torch.compile(views, backend="eager", fullgraph=True)
    for got, expected in zip(compiled(x, random), views(x, random), strict=True):
        assert torch.equal(got, expected)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch compiles for a CPU with g++")
@pytest.mark.timeout(600)
def test_compiled_views_equal_eager_ones() -> None:
    views = Multitask(MultitaskSettings(scaling=1.0, jitter_g=0.008)).views
    x, random = movement(200, 300), randoms(200)
    compiled = torch.compile(views, fullgraph=True, dynamic=False)
    for got, expected in zip(compiled(x, random), views(x, random), strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)


def logits_for(targets: torch.Tensor, tasks: list[str], right: float) -> dict[str, torch.Tensor]:
    heads = {task.name: task.head for task in TASKS}
    sign = torch.nn.functional.one_hot(targets, 2).float() * right
    return {heads[name]: sign[:, column] for column, name in enumerate(tasks)}


def test_loss_is_the_weighted_mean_of_the_active_cross_entropies() -> None:
    objective = Multitask(MultitaskSettings(reversal=1.0, permutation=2.0, warp=0.0))
    targets = torch.tensor([[0, 1], [1, 1], [1, 0]])
    outputs = logits_for(targets, ["reversal", "permutation"], 1.0)
    outputs["permute_h"] = -outputs["permute_h"]
    loss, figures = objective.loss(outputs | {"scale_h": torch.full((3, 2), math.nan)}, targets)
    right, wrong = math.log1p(math.exp(-1)), math.log1p(math.e)
    assert loss.item() == pytest.approx((right + 2 * wrong) / 3)
    values = {name: figure.item() for name, figure in figures.items()}
    assert values == pytest.approx(
        {
            "reversal/loss_sum": 3 * right,
            "reversal/correct": 3,
            "reversal/count": 3,
            "permutation/loss_sum": 3 * wrong,
            "permutation/correct": 0,
            "permutation/count": 3,
            "loss_sum": right + 2 * wrong,
            "count": 3,
        }
    )
    assert all(figure.dtype == torch.float64 and not figure.requires_grad for figure in figures.values())


def test_figures_of_parts_add_up() -> None:
    objective = Multitask(MultitaskSettings())
    model = small_model(objective)
    x, targets = objective.views(noise(50), randoms(50))
    whole = objective.loss(model(x), targets)[1]
    parts = [objective.loss(model(x[part]), targets[part])[1] for part in torch.arange(50).split(17)]
    for name, figure in whole.items():
        assert sum(part[name].item() for part in parts) == pytest.approx(figure.item(), rel=1e-6)


def small_model(objective: Multitask) -> Model:
    torch.manual_seed(0)
    extractor: Any = torch.nn.Sequential(torch.nn.Conv1d(3, 8, 5), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool1d(1))
    return Model(extractor, objective.heads(8))


def test_every_active_head_learns_and_the_others_are_left_alone() -> None:
    objective = Multitask(MultitaskSettings())
    model = small_model(objective)
    x, targets = objective.views(noise(16), randoms(16))
    objective.loss(model(x), targets)[0].backward()
    without = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert without == {"scale_h.linear1.weight", "scale_h.linear1.bias"}
    assert without == {name for name, parameter in model.named_parameters() if not parameter.requires_grad}


def test_training_starts_at_chance() -> None:
    torch.manual_seed(0)
    objective = Multitask(MultitaskSettings())
    features = torch.randn(4096, 256).relu()
    outputs = {name: head(features) for name, head in objective.heads(256).items()}
    loss, _ = objective.loss(outputs, torch.randint(0, 2, (4096, 3)))
    assert abs(loss.item() - math.log(2)) < 0.15


def test_settings_are_checked() -> None:
    built = build(ObjectiveSettings, {"multitask": {"scaling": 1, "rotation": False}}, "objective")
    assert [task.name for task in make_objective(built).tasks] == ["reversal", "scaling", "permutation", "warp"]  # type: ignore[attr-defined]
    for table, message in (
        ({"reversal": 0, "permutation": 0, "warp": 0}, "at least one above 0"),
        ({"warp": -1.0}, "warp = -1.0"),
        ({"jitter_g": -0.1}, "jitter_g"),
        ({"jitter_g": math.nan}, "jitter_g"),
        ({"revesal": 1.0}, "reversal"),
    ):
        with pytest.raises(UserError, match=message):
            build(ObjectiveSettings, {"multitask": table}, "objective")
