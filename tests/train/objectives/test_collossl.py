"""Collaborative contrast against plain NumPy in float64 (MMD, devices, sampling, loss), its score, and a run of it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.errors import UserError
from pipeline.settings import build
from pipeline.store.alignments import write_alignments
from tests.train.days import write_store
from tests.train.plain import Array, movement, numbers, randoms
from tests.train.runs import alone, same_checkpoint
from tests.train.windows.companions.test_same_time import TwoDevices, rows_of
from train.checkpoint import format as ck
from train.objectives import ObjectiveSettings, make_objective
from train.objectives.collossl import LEAST_MMD, SAMPLE, VARIANCES, Collo, ColloSettings, mmd, mmd_of_locations
from train.random import Purpose

GROUPS, DEVICES = 9, 3
LOCATIONS = torch.tensor([[0, 1, 2], [1, 0, 2], [2, 0, 1]]).repeat(3, 1)
"""Every device is the first of some groups."""


def made(loss: str = "multiview", devices: int = DEVICES, **settings: Any) -> tuple[Collo, torch.Tensor, Any]:
    """An objective with known locations, embeddings and targets; locations differ in how much they move."""
    objective, random = Collo(ColloSettings(devices=devices, loss=loss, **settings)), randoms(GROUPS)  # type: ignore[arg-type]
    locations = LOCATIONS[:, :devices]
    slots, order = random.slot.sort()
    objective.companions._slot_M, objective.companions._location_MD = slots, locations[order]
    objective.companions.count = 3
    x = movement(GROUPS * devices, 300).unflatten(0, (GROUPS, devices)) * (1 + locations[:, :, None, None] / 5)
    views, targets = objective.views(x, random)
    assert torch.equal(views, x.flatten(0, 1))
    generator = torch.Generator().manual_seed(5)
    of_group = torch.randn(GROUPS, 8, dtype=torch.float64, generator=generator).repeat_interleave(devices, 0)
    z = of_group + 0.7 * torch.randn(GROUPS * devices, 8, dtype=torch.float64, generator=generator)
    return objective, z, (x.double().numpy(), random, targets)


def plain_mmd(x: Array, y: Array) -> float:
    """The biased estimate, pair by pair."""

    def kernel(left: Array, right: Array) -> float:
        squares = [float(np.sum((a - b) ** 2)) for a in left for b in right]
        return float(np.mean([sum(math.exp(-square / (2 * s)) for s in VARIANCES) for square in squares]))

    return max(kernel(x, x) + kernel(y, y) - 2 * kernel(x, y), LEAST_MMD)


def plain_multiview(z: Array, x: Array, location: Array, number: Array, tau: float) -> tuple[list[float], list[bool]]:
    """Loss and success of each group, by the paper: choose devices, sample negatives, compare."""
    groups, devices = location.shape
    z = z / np.linalg.norm(z, axis=-1, keepdims=True)
    places: dict[int, list[tuple[int, int]]] = {}
    for g, d in np.ndindex(groups, devices):
        places.setdefault(int(location[g, d]), []).append((g, d))
    movement_of = {
        place: np.array([np.linalg.norm(x[at], axis=0) / 3 for at in there]) for place, there in places.items()
    }
    positive: list[int] = []
    distances: list[list[float]] = []
    for g in range(groups):
        own = movement_of[location[g, 0]]
        distances.append([plain_mmd(own, movement_of[location[g, d]]) for d in range(1, devices)])
        positive.append(1 + int(np.argmin(distances[g])))
    losses, right = [], []
    for g in range(groups):
        p = math.exp(z[g, 0] @ z[g, positive[g]] / tau)
        negatives = 0.0
        for d in range(1, devices):
            cycle = sorted(places[int(location[g, d])], key=lambda at: number[at])
            h, e = cycle[(cycle.index((g, d)) + 1) % len(cycle)]
            assert h != g
            negatives += math.exp(z[g, 0] @ z[h, e] / tau) / distances[g][d - 1]
        losses.append(-math.log(p / (p + negatives)))
        alike = [z[g, 0] @ z[h, positive[h]] for h in range(groups)]
        right.append(int(np.argmax(alike)) == g)
    return losses, right


def plain_numbers(random: Any, devices: int) -> Array:
    two = [numbers(random.of_view(device), Purpose.NEGATIVES, 2) for device in range(devices)]
    return np.stack([each[:, 0] + each[:, 1] * 2.0**-23 for each in two], 1)


@pytest.mark.parametrize("devices", [2, 3])
@pytest.mark.parametrize("tau", [0.05, 0.5])
def test_the_multi_view_loss_equals_numpy(devices: int, tau: float) -> None:
    objective, z, (x, random, targets) = made(devices=devices, temperature=tau)
    loss, figures = objective.loss({"projection": z}, targets)
    number, location = plain_numbers(random, devices), LOCATIONS[:, :devices].numpy()
    losses, right = plain_multiview(z.numpy().reshape(GROUPS, devices, 8), x, location, number, tau)
    assert loss.item() == pytest.approx(np.mean(losses), rel=1e-10)
    assert 0 < sum(right) < GROUPS
    expected = {"loss_sum": sum(losses), "count": GROUPS, "contrast/correct": sum(right), "contrast/count": GROUPS}
    expected["contrast/guessing_sum"] = 1.0
    assert {name: value.item() for name, value in figures.items()} == pytest.approx(expected, rel=1e-7)


def test_mmd_equals_numpy_in_float64() -> None:
    generator = np.random.default_rng(1)
    for scale, shift in ((1.0, 0.0), (1.0, 0.4), (0.2, 0.0), (3.0, 0.0)):
        x, y = generator.normal(0, 0.2, (12, 7)), scale * generator.normal(0, 0.2, (9, 7)) + shift
        padded = np.concatenate((y, generator.normal(size=(3, 7))))
        weights = np.stack((np.full(12, 1 / 12), np.repeat([1 / 9, 0], [9, 3])))
        found_LL = mmd(torch.tensor(np.stack((x, padded))), torch.tensor(weights))
        assert found_LL[0, 1].item() == pytest.approx(plain_mmd(x, y), rel=1e-11)
        assert found_LL[0, 0] == found_LL[1, 1] == LEAST_MMD


def test_the_loss_prefers_simultaneous_windows_and_is_not_reversed() -> None:
    """Positives at a cosine of 0.9 and negatives at 0.1 cost less than the other way round."""
    objective, _, (_, _, targets) = made(devices=2)

    def cost(positive: float, negative: float) -> float:
        same = torch.eye(GROUPS, dtype=torch.float64)
        first = torch.cat((same, torch.zeros_like(same)), 1)
        alike = torch.where(same > 0, positive, negative)
        own = (1 - alike.square().sum(1)).sqrt()  # in a direction of its own, so that the length is 1
        other = torch.cat((alike, torch.diag(own)), 1)
        return objective.loss({"projection": torch.stack((first, other), 1).flatten(0, 1)}, targets)[0].item()

    assert cost(0.9, 0.1) < 1e-2
    assert cost(0.1, 0.3) > 1


def test_distances_are_those_of_the_locations_windows() -> None:
    objective, z, (x, _, targets) = made()
    distance_LL = mmd_of_locations(objective._groups(z, targets), 4)
    assert distance_LL[3].isnan().all(), "no window is of the fourth location"
    movement_of = [
        np.array([np.linalg.norm(x[g, d], axis=0) / 3 for g, d in np.argwhere(LOCATIONS.numpy() == place)])
        for place in range(3)
    ]
    for group in range(GROUPS):
        first, *others = LOCATIONS[group].tolist()
        expected = [plain_mmd(movement_of[first], movement_of[other]) for other in others]
        np.testing.assert_allclose(distance_LL[first, others], expected, rtol=1e-9)


@pytest.mark.parametrize("loss", ["infonce", "sigmoid"])
def test_the_plain_variants_compare_all_groups_in_both_directions(loss: Any) -> None:
    objective, z, (_, _, targets) = made(loss, temperature=0.2)
    heads = torch.nn.ModuleDict(objective.heads(8)).double()
    outputs = {name: head(z) for name, head in heads.items()}
    found, figures = objective.loss(outputs, targets)
    z_GDF = (z / z.norm(dim=1, keepdim=True)).view(GROUPS, DEVICES, 8).numpy()
    losses, right = [], []
    for other in range(1, DEVICES):
        for seeking, among in ((z_GDF[:, 0], z_GDF[:, other]), (z_GDF[:, other], z_GDF[:, 0])):
            s = seeking @ among.T
            for group in range(GROUPS):
                if loss == "infonce":
                    losses.append(-math.log(math.exp(s[group, group] / 0.2) / np.exp(s[group] / 0.2).sum()))
                else:
                    signs = np.where(np.arange(GROUPS) == group, 1, -1)
                    losses.append(np.log1p(np.exp(-signs * (10 * s[group] - 10))).sum())
                right.append(int(s[group].argmax()) == group)
    assert found.item() == pytest.approx(np.mean(losses), rel=1e-7), "scale and bias begin as float32"
    assert figures["contrast/correct"].item() == sum(right) / 4
    assert figures["contrast/guessing_sum"].item() == pytest.approx(1)


@pytest.mark.parametrize("loss", ["multiview", "infonce", "sigmoid"])
def test_score_compares_within_days_and_does_not_depend_on_their_grouping(loss: Any) -> None:
    objective, z, (_, _, targets) = made(loss)
    targets = targets.clone()
    targets[:, 0] = torch.tensor([3] * 4 + [9] * 4 + [4])
    heads = torch.nn.ModuleDict(objective.heads(8)).double()

    def scored(groups: slice) -> dict[str, float]:
        part = z.view(GROUPS, DEVICES, 8)[groups].flatten(0, 1)
        found = objective.score({name: head(part) for name, head in heads.items()}, targets[groups])
        return {name: float(value) for name, value in found.items()}

    whole, parts = scored(slice(0, 9)), [scored(slice(0, 4)), scored(slice(4, 9))]
    assert whole["count"] == 8, "a day of one window is left out"
    assert whole["contrast/guessing_sum"] == pytest.approx(2)
    for name, figure in whole.items():
        assert sum(part[name] for part in parts) == pytest.approx(figure, rel=1e-9), name
    of_one_day, _ = objective.loss({name: head(z[: 4 * DEVICES]) for name, head in heads.items()}, targets[:4])
    assert parts[0]["loss_sum"] / 4 == pytest.approx(of_one_day.item(), rel=1e-12)
    assert set(scored(slice(8, 9))) == set(whole)


def test_a_location_that_only_one_group_has_gives_no_negative() -> None:
    objective, z, (_, _, targets) = made()
    facts = targets[:, 1:].view(GROUPS, DEVICES, -1)
    facts[0, 2, 0] = 7
    objective.companions.count = 8
    loss, _ = objective.loss({"projection": z}, targets)
    assert math.isfinite(loss.item())


def test_large_batches_know_a_location_by_a_sample_of_any_order() -> None:
    """The sample is the same in whatever order processes bring the groups."""
    objective = Collo(ColloSettings())
    count = 2 * SAMPLE
    generator = torch.Generator().manual_seed(2)
    x, random = torch.randn(count, 2, 3, 30, generator=generator), randoms(count)
    _, targets = objective.views(x, random)
    z = torch.randn(count, 2, 8, dtype=torch.float64, generator=generator)
    order = torch.randperm(count, generator=generator)
    losses = [
        objective.loss({"projection": z[chosen].flatten(0, 1)}, targets[chosen])[0].item()
        for chosen in (torch.arange(count), order)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-10)


RUN: dict[str, Any] = {"objective__name": "collossl", "network__preset": "transformer10", "network__width": 0.25}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    days = TwoDevices()
    made_store = write_store(str(tmp_path_factory.mktemp("made") / "store"), people=6, days=2, made=days)
    write_alignments(made_store, rows_of(days))
    return made_store.folder.url


def test_a_run_resumes_to_the_bit_and_is_validated_by_day(store: str, tmp_path: Path) -> None:
    more = {"run__validate_every": 80, **RUN}
    assert alone(store, tmp_path / "straight", run__windows=160, **more) == 0
    assert alone(store, tmp_path / "two", run__windows=80, **more) == 0
    assert alone(store, tmp_path / "two", run__windows=160, **more) == 0
    same_checkpoint(tmp_path / "straight", tmp_path / "two", 10)
    validation = ck.open_checkpoint(str(tmp_path / "two")).state.validation
    assert 0 < validation["real"]["contrast"]["guessing"] < 0.1
    assert math.isfinite(validation["real"]["loss"])


def test_settings_are_checked() -> None:
    built = build(ObjectiveSettings, {"name": "collossl", "collossl": {"loss": "infonce"}}, "objective")
    assert isinstance(make_objective(built), Collo)
    for table, message in (
        ({"devices": 1}, "devices: expected 2 or more, found 1"),
        ({"temperature": 0}, "temperature: expected a number above 0"),
        ({"projection": -1}, "projection: expected 0 or more"),
        ({"hardness": 1}, "hardness and prior: expected 0 with loss = multiview"),
        ({"loss": "sigmoid", "prior": 0.1}, "prior: expected 0 with loss = sigmoid"),
        ({"loss": "triplet"}, "loss: expected one of multiview, infonce, sigmoid, found 'triplet'"),
    ):
        with pytest.raises(UserError, match=message):
            build(ObjectiveSettings, {"collossl": table}, "objective")
