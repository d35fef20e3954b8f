"""SimCLR: its views against plain NumPy, its loss and score against loops, and what each setting does."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.settings import build
from tests.train import plain
from tests.train.plain import at, impacts, movement, numbers, randoms
from train.loop.validate import whole_days
from train.networks.model import Model
from train.objectives import ObjectiveSettings, make_objective
from train.objectives.simclr import Simclr, SimclrSettings
from train.random import Purpose, WindowRandom
from train.transforms.controls import noise_only
from train.transforms.parts import PART
from train.transforms.rotation import matrices, partial_rotation, quaternions
from train.windows.companions.nearby import Nearby

OFF: dict[str, Any] = {"scaling": 0.0, "permutation": 0, "axis_permutation": False, "rotation": 0.0, "jitter_g": 0.0}
Array = NDArray[np.float64]


def plain_view(x_CT: Array, window: int, random: WindowRandom, settings: SimclrSettings) -> Array:
    """One view of one window."""
    scaling, axes = numbers(random, Purpose.RESCALING, 3)[window], numbers(random, Purpose.AXES, 1)[window]
    rotation = numbers(random, Purpose.ROTATION, 3)[window]
    x_CT = x_CT * (1 + settings.scaling * (2 * scaling - 1))[:, None]
    x_CT = plain.permuted(x_CT, numbers(random, Purpose.PERMUTATION, 4)[window])
    x_CT = plain.turn(rotation) @ plain.axes_permuted(x_CT, axes)
    noise = numbers(random, Purpose.JITTER, x_CT.size, normal=True)[window].reshape(x_CT.shape)
    return x_CT + settings.jitter_g * noise


@pytest.mark.parametrize("ticks", [150, 300, 900])
@pytest.mark.parametrize("windows", [movement, impacts])
def test_views_equal_numpy_and_come_in_pairs(windows: Any, ticks: int) -> None:
    x, random, settings = windows(20, ticks), randoms(20), SimclrSettings()
    seen, days = Simclr(settings).views(x, random)
    assert seen.shape == (40, 3, ticks)
    assert seen.dtype == torch.float32
    assert torch.equal(days, random.slot.repeat_interleave(2))
    for number in (1, 2):
        of_view = random.of_view(number)
        expected = [plain_view(x_CT, n, of_view, settings) for n, x_CT in enumerate(x.double().numpy())]
        np.testing.assert_allclose(seen[number - 1 :: 2], np.stack(expected), rtol=0, atol=1e-5)


def test_the_second_view_is_of_the_companion() -> None:
    """Each view has the transforms and the numbers that it has without companions."""
    x, companion, random = movement(20, 300), impacts(20, 300), randoms(20)
    objective = Simclr(SimclrSettings(positive="nearby", nearby_s=60))
    assert objective.companions == Nearby(60)
    seen, days = objective.views(torch.stack((x, companion), 1), random)
    same = Simclr(SimclrSettings())
    assert same.companions is None
    assert torch.equal(seen[::2], same.views(x, random)[0][::2])
    assert torch.equal(seen[1::2], same.views(companion, random)[0][1::2])
    assert torch.equal(days, random.slot.repeat_interleave(2))


def test_every_setting_switches_its_transform_and_all_off_repeats_the_window() -> None:
    x, random = movement(50, 300), randoms(50)
    seen, _ = Simclr(SimclrSettings(**OFF)).views(x, random)
    assert torch.equal(seen, x.repeat_interleave(2, 0))
    for name, value in vars(SimclrSettings()).items():
        if name in OFF:
            seen, _ = Simclr(SimclrSettings(**(OFF | {name: value}))).views(x, random)
            first, second = seen[::2], seen[1::2]
            changed = [(view != x).flatten(1).any(1).float().mean() for view in (first, second)]
            assert min(changed) > (0.6 if name == "axis_permutation" else 0.99), name
            assert (first != second).flatten(1).any(1).float().mean() > 0.6, name


def test_strength_grows_with_its_setting() -> None:
    x, random = movement(200, 300), randoms(200)
    for name, weak, strong in (("scaling", 0.1, 0.5), ("rotation", 0.2, 1.0), ("jitter_g", 0.01, 0.1)):
        differences = [
            (Simclr(SimclrSettings(**(OFF | {name: value}))).views(x, random)[0] - x.repeat_interleave(2, 0)).square()
            for value in (weak, strong)
        ]
        assert differences[0].mean() < differences[1].mean(), name
    scaled, _ = Simclr(SimclrSettings(**(OFF | {"scaling": 0.3}))).views(torch.ones(2000, 3, 1), randoms(2000))
    assert 0.7 < scaled.min() < 0.705
    assert 1.295 < scaled.max() < 1.3
    for segments in (2, 3, 6):
        cut, _ = Simclr(SimclrSettings(**(OFF | {"permutation": segments}))).views(
            torch.arange(300.0).expand(100, 3, 300), randoms(100)
        )
        joins = (cut[:, 0].diff() != 1).sum(1)
        assert joins.max() == segments - 1
        assert joins.min() >= 1


def test_a_partial_rotation_keeps_the_axis_and_a_share_of_the_angle() -> None:
    whole = quaternions(randoms(500))
    for share in (0.0, 0.3, 0.999, 1.0):
        part = partial_rotation(whole, share)
        turn, less = matrices(whole).double(), matrices(part).double()
        assert (less @ less.mT - torch.eye(3)).abs().max() < 1e-5
        angle, shrunk = (torch.arccos(((m.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2).clamp(-1, 1)) for m in (turn, less))
        clear = (angle > 0.05) & (angle < 3.09)
        torch.testing.assert_close(shrunk[clear], share * angle[clear], rtol=0, atol=5e-3)
        axis = (whole[:, :3] * whole[:, 3:].sign()).double()
        along = (less @ (axis / axis.norm(dim=1, keepdim=True))[:, :, None])[:, :, 0]
        torch.testing.assert_close(along, axis / axis.norm(dim=1, keepdim=True), rtol=0, atol=1e-5)


def test_the_views_of_a_window_share_no_numbers_with_each_other_or_another_objective() -> None:
    random = randoms(2000)
    for purpose in (Purpose.ROTATION, Purpose.JITTER):
        columns = [random.of_view(view).uniform(purpose, 2) for view in (0, 1, 2)]
        correlation = np.corrcoef(torch.cat(columns, 1).T.numpy()) - np.eye(6)
        assert np.abs(correlation).max() < 5 * 2000**-0.5
    assert torch.equal(random.of_view(0).uniform(Purpose.WARP, 3), random.uniform(Purpose.WARP, 3))
    assert not torch.equal(random.of_view(1).coins([Purpose.WARP]), random.coins([Purpose.WARP]))


def test_a_window_does_not_depend_on_its_batch_or_its_part_of_a_large_one() -> None:
    objective, count = Simclr(SimclrSettings()), PART + 40
    x, random = movement(count, 150), randoms(count)
    seen, days = objective.views(x, random)
    for chosen in (
        torch.randperm(count, generator=torch.Generator().manual_seed(1))[:50],
        torch.arange(PART - 5, count),
    ):
        part, part_days = objective.views(x[chosen], at(random, chosen))
        both = torch.stack((2 * chosen, 2 * chosen + 1), 1).flatten()
        torch.testing.assert_close(part, seen[both], rtol=0, atol=1e-6)
        assert torch.equal(part_days, days[both])


def test_views_compile_without_a_graph_break() -> None:
    views = Simclr(SimclrSettings(rotation=0.5)).views
    x, random = movement(8, 150), randoms(8)
    compiled = torch.compile(views, backend="eager", fullgraph=True)
    for got, expected in zip(compiled(x, random), views(x, random), strict=True):
        assert torch.equal(got, expected)


def plain_nt_xent(z: Array, temperature: float, rivals: list[list[int]]) -> tuple[list[float], list[bool]]:
    """Return loss and success of each row, one at a time, by the paper's formula."""
    losses, right = [], []
    for i in range(len(z)):
        alike = {j: z[i] @ z[j] / np.linalg.norm(z[i]) / np.linalg.norm(z[j]) for j in rivals[i]}
        other = i + 1 if i % 2 == 0 else i - 1
        losses.append(
            -math.log(math.exp(alike[other] / temperature) / sum(math.exp(a / temperature) for a in alike.values()))
        )
        right.append(max(alike, key=lambda j: alike[j]) == other)
    return losses, right


def projections(count: int) -> torch.Tensor:
    """Views that mostly resemble their other view more than the rest."""
    generator = torch.Generator().manual_seed(4)
    windows = torch.randn(count, 16, dtype=torch.float64, generator=generator).repeat_interleave(2, 0)
    return windows + 0.9 * torch.randn(2 * count, 16, dtype=torch.float64, generator=generator)


def test_loss_equals_a_plain_loop() -> None:
    z = projections(12)
    loss, figures = Simclr(SimclrSettings(temperature=0.2)).loss({"projection": z}, torch.zeros(24, dtype=torch.int64))
    losses, right = plain_nt_xent(z.numpy(), 0.2, [[j for j in range(24) if j != i] for i in range(24)])
    assert loss.item() == pytest.approx(np.mean(losses), rel=1e-12)
    assert 0 < sum(right) < 24
    expected = {"loss_sum": sum(losses) / 2, "count": 12, "contrast/correct": sum(right) / 2, "contrast/count": 12}
    expected["contrast/guessing_sum"] = 12 / 23
    assert {name: value.item() for name, value in figures.items()} == pytest.approx(expected, rel=1e-6)
    assert all(figure.dtype == torch.float64 and not figure.requires_grad for figure in figures.values())


def test_score_compares_within_days_and_does_not_depend_on_their_grouping() -> None:
    z, objective = projections(20), Simclr(SimclrSettings())
    days = torch.tensor([3] * 7 + [9] * 12 + [4]).repeat_interleave(2)
    rivals = [[j for j in range(40) if days[j] == days[i] and j != i] for i in range(40)]
    losses, right = plain_nt_xent(z.numpy(), 0.1, rivals)
    figures = objective.score({"projection": z}, days)
    assert figures["count"] == 19, "a day of one window is left out"
    assert figures["loss_sum"].item() == pytest.approx(sum(losses[:38]) / 2, rel=1e-9)
    assert figures["contrast/correct"].item() == sum(right[:38]) / 2
    assert figures["contrast/guessing_sum"].item() == pytest.approx(7 / 13 + 12 / 23)
    parts = [objective.score({"projection": z[part]}, days[part]) for part in (slice(0, 14), slice(14, 40))]
    for name, figure in figures.items():
        assert sum(part[name].item() for part in parts) == pytest.approx(figure.item(), rel=1e-9)


def test_autocast_does_not_round_projections() -> None:
    z = projections(12).float()
    expected, _ = Simclr(SimclrSettings()).loss({"projection": z}, torch.zeros(24))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, _ = Simclr(SimclrSettings()).loss({"projection": z}, torch.zeros(24))
    assert torch.equal(found, expected)


def test_a_small_network_learns_to_find_the_other_view() -> None:
    torch.manual_seed(0)
    objective = Simclr(SimclrSettings())
    extractor: Any = torch.nn.Sequential(
        torch.nn.Conv1d(3, 16, 15, stride=3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool1d(4)
    )
    model = Model(extractor, objective.heads(64))
    x, random = movement(96, 300), randoms(96)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)

    def asked() -> float:
        views, _ = objective.views(x, random)
        with torch.no_grad():
            figures = objective.score(model(views), torch.zeros(len(views)))
        return float(figures["loss_sum"] / figures["count"])

    before = asked()
    for step in range(60):
        views, targets = objective.views(x, WindowRandom.of(step, *torch.arange(4 * 96).view(4, 96)))
        loss, _ = objective.loss(model(views), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert asked() < before - 0.5


def test_controls_are_scored_in_the_same_way() -> None:
    x, random = movement(30, 300), randoms(30)
    changed = noise_only(x, random)
    seen, _ = Simclr(SimclrSettings(**OFF)).views(changed, random)
    assert torch.equal(seen[::2], changed)


def test_days_are_scored_complete() -> None:
    slots = torch.tensor([5] * 3 + [2] * 4 + [7] * 2 + [1] * 9 + [4])
    assert list(whole_days(slots, 7)) == [slice(0, 7), slice(7, 9), slice(9, 18), slice(18, 19)]
    assert list(whole_days(slots, 100)) == [slice(0, 19)]
    assert list(whole_days(slots[:0], 7)) == []


def test_settings_are_checked() -> None:
    built = build(ObjectiveSettings, {"name": "simclr", "simclr": {"rotation": 0}}, "objective")
    assert isinstance(make_objective(built), Simclr)
    for table, message in (
        ({"temperature": 0}, "temperature: expected a number above 0, found 0"),
        ({"permutation": 1}, "permutation: expected 0 or 2 to 6 segments, found 1"),
        ({"permutation": 7}, "permutation"),
        ({"rotation": 1.5}, "rotation: expected 0 to 1"),
        ({"scaling": 1.0}, "scaling"),
        ({"jitter_g": math.nan}, "jitter_g"),
        ({"positive": "near"}, "positive: expected one of same, nearby, other_day, same_time, found 'near'"),
        ({"nearby_s": 0}, "nearby_s: expected seconds above 0"),
        ({"projection": 0}, "projection"),
        ({"temprature": 0.1}, "did you mean 'temperature'"),
    ):
        with pytest.raises(UserError, match=message):
            build(ObjectiveSettings, {"simclr": table}, "objective")
    with pytest.raises(UserError, match="expected one of multitask, simclr"):
        build(ObjectiveSettings, {"name": "byol"}, "objective")
