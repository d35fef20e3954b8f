"""Each transform against a plain NumPy or SciPy version with the same random numbers (tests/train/plain.py)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline
from scipy.stats import chi2

from tests.train import plain
from tests.train.plain import at, impacts, movement, numbers, randoms
from train.objectives.multitask import TASKS, PretextTask
from train.random import Purpose
from train.transforms import permutation as permutation_
from train.transforms.axes import axis_order, permute_axes
from train.transforms.jitter import jitter
from train.transforms.permutation import permute
from train.transforms.reversal import reverse
from train.transforms.rotation import matrices, quaternions, rotate
from train.transforms.scaling import factors, scale
from train.transforms.warp import draw_knots, never_backwards, positions, spline_curves, warp

TICKS = pytest.mark.parametrize("ticks", [150, 300, 900])
EACH = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
WINDOWS = pytest.mark.parametrize("windows", [movement, impacts])


def every(count: int) -> torch.Tensor:
    return torch.ones(count, dtype=torch.bool)


def one_by_one(function: Any, x_BCT: torch.Tensor, draws: Any) -> Any:
    windows = x_BCT.double().numpy()
    return np.stack([function(window, mine) for window, mine in zip(windows, draws, strict=True)])


@TICKS
def test_reversal_reverses_time(ticks: int) -> None:
    x = movement(5, ticks)
    assert np.array_equal(reverse(x, randoms(5), every(5)).numpy(), x.numpy()[:, :, ::-1])


@TICKS
@WINDOWS
def test_scaling_equals_numpy(windows: Any, ticks: int) -> None:
    x, random = windows(40, ticks), randoms(40)
    expected = one_by_one(plain.scaled, x, numbers(random, Purpose.SCALING, 3))
    np.testing.assert_allclose(scale(x, random, every(40)), expected, rtol=0, atol=1e-5)


def test_scaling_is_never_near_1_and_fills_its_range() -> None:
    factor = factors(randoms(5000))
    assert factor.min() >= 0.5
    assert factor.max() <= 1.5
    assert (factor - 1).abs().min() >= 0.15 - 1e-6
    assert abs((factor < 1).float().mean() - 0.5) < 4 * 0.5 / 15000**0.5
    assert abs(factor[factor < 1].mean() - 0.675) < 0.01


@TICKS
def test_permutation_equals_numpy(ticks: int) -> None:
    x, random = movement(200, ticks), randoms(200)
    expected = one_by_one(plain.permuted, x, numbers(random, Purpose.PERMUTATION, 4))
    assert np.array_equal(permute(x, random, every(200)), expected)


@given(st.lists(st.floats(2.0**-24, 1 - 2.0**-24, width=32), min_size=4, max_size=4), st.integers(44, 900))
def test_permutation_of_any_numbers_keeps_segments_longer_than_10_and_moves_one(uniform: list[float], t: int) -> None:
    draws = torch.tensor([uniform])
    cuts = permutation_.cuts(draws[:, :3], t)
    source = permutation_.source_ticks(cuts, permutation_.order(draws[:, 3]), t)
    assert cuts[0, 0] == 0
    assert cuts[0, -1] == t
    assert cuts.diff().min() > 10
    assert sorted(source[0].tolist()) == list(range(t))
    assert not torch.equal(source[0], torch.arange(t))


def test_permutation_orders_are_equally_likely_and_cuts_symmetric() -> None:
    uniform = randoms(23000).uniform(Purpose.PERMUTATION, 4)
    code = (permutation_.order(uniform[:, 3]) * torch.tensor([64, 16, 4, 1])).sum(1)
    assert as_if_uniform(code, 23)
    lengths = permutation_.cuts(uniform[:, :3], 300).diff().double()
    assert (lengths.mean(0) - 75).abs().max() < 1
    assert lengths.amin() == 11


def as_if_uniform(code: torch.Tensor, classes: int) -> bool:
    """Return whether the classes occur equally often: a chi-square that 1 in 1,000 fair draws would exceed."""
    _, times = code.unique(return_counts=True)
    expected = len(code) / classes
    return len(times) == classes and ((times - expected) ** 2 / expected).sum() < chi2.ppf(0.999, classes - 1)


@TICKS
@WINDOWS
def test_warp_equals_scipy(windows: Any, ticks: int) -> None:
    x, random = windows(100, ticks), randoms(100)
    expected = one_by_one(plain.warped, x, numbers(random, Purpose.WARP, 18, normal=True))
    np.testing.assert_allclose(warp(x, random, every(100)), expected, rtol=0, atol=1e-5)


@TICKS
def test_warped_positions_equal_scipys_within_a_nanosecond(ticks: int) -> None:
    knots = draw_knots(randoms(300))
    found = positions(never_backwards(knots), ticks).view(-1, ticks)
    expected = np.stack([plain.warped_positions(row, ticks) for row in knots.view(-1, 6).numpy()])
    np.testing.assert_allclose(found, expected, rtol=0, atol=3e-8)


@TICKS
def test_warp_keeps_time_monotone_from_end_to_end(ticks: int) -> None:
    place = positions(never_backwards(draw_knots(randoms(3000))), ticks)
    assert place[..., 0].abs().max() == 0
    assert (place[..., -1] - (ticks - 1)).abs().max() < 1e-6
    assert place.max() < ticks - 1
    assert place.diff().min() > 0


@given(st.lists(st.floats(-5.8, 5.8), min_size=6, max_size=6), st.sampled_from([150, 300, 900]))
def test_no_possible_curve_stops_or_runs_backwards(normal: list[float], ticks: int) -> None:
    """5.8 is more than the largest normal number that 23 bits give."""
    knots = 1 + 0.2 * torch.tensor([[normal]], dtype=torch.float64)
    kept = never_backwards(knots)
    speed = kept @ spline_curves(ticks)
    assert speed.min() > 0.02
    assert positions(kept, ticks).diff().min() > 0
    np.testing.assert_allclose(speed[0, 0], plain.pace(knots[0, 0].numpy(), ticks), rtol=0, atol=1e-12)


def test_few_curves_are_pulled_towards_1_and_the_others_are_unchanged() -> None:
    knots = draw_knots(randoms(20000))
    kept = never_backwards(knots)
    slow = (knots @ spline_curves(51)).amin(-1) < 0.05
    assert 0 < slow.double().mean() < 0.0005
    slowest = (kept @ spline_curves(51)).amin(-1)[slow]
    torch.testing.assert_close(kept[~slow], knots[~slow], rtol=0, atol=1e-15)
    torch.testing.assert_close(slowest, torch.full_like(slowest, 0.05), rtol=0, atol=1e-12)


def test_warp_speeds_are_about_1_at_the_knots_with_sigma_0_2() -> None:
    knots = draw_knots(randoms(5000))
    assert (knots.mean((0, 1)) - 1).abs().max() < 4 * 0.2 / 15000**0.5
    assert (knots.std((0, 1)) - 0.2).abs().max() < 4 * 0.2 / 30000**0.5
    assert np.abs(np.corrcoef(knots[:, :, 2].T.numpy()) - np.eye(3)).max() < 5 / 5000**0.5
    curve = CubicSpline(np.arange(6), knots[0].T.numpy())(np.linspace(0, 5, 31)).T
    np.testing.assert_allclose(knots[0] @ spline_curves(31), curve, rtol=0, atol=1e-12)


@TICKS
def test_axis_permutation_equals_numpy(ticks: int) -> None:
    x, random = movement(60, ticks), randoms(60)
    expected = one_by_one(plain.axes_permuted, x, numbers(random, Purpose.AXES, 1))
    assert np.array_equal(permute_axes(x, random), expected)


def test_axis_orders_are_equally_likely() -> None:
    assert as_if_uniform((axis_order(randoms(6000)) * torch.tensor([9, 3, 1])).sum(1), 6)


@TICKS
@WINDOWS
def test_rotation_equals_numpy(windows: Any, ticks: int) -> None:
    x, random = windows(60, ticks), randoms(60)
    expected = one_by_one(lambda window, draws: plain.turn(draws) @ window, x, numbers(random, Purpose.ROTATION, 3))
    np.testing.assert_allclose(rotate(x, random), expected, rtol=0, atol=1e-5)


def test_rotations_are_orthonormal_and_uniform() -> None:
    count = 20000
    turn = matrices(quaternions(randoms(count))).double()
    assert (turn @ turn.mT - torch.eye(3)).abs().max() < 1e-5
    assert (torch.linalg.det(turn) - 1).abs().max() < 1e-5
    moments = torch.einsum("bi,bj->ij", turn.flatten(1), turn.flatten(1)) / count
    assert turn.mean(0).abs().max() < 4 * 3**-0.5 / count**0.5
    assert (moments - torch.eye(9) / 3).abs().max() < 5 * 0.3 / count**0.5
    angle = torch.arccos(((turn.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2).clamp(-1, 1))
    assert abs(angle.mean() - (np.pi / 2 + 2 / np.pi)) < 4 * 0.7 / count**0.5


@TICKS
def test_jitter_equals_numpy_and_is_white_noise_of_the_given_size(ticks: int) -> None:
    x, random = movement(300, ticks), randoms(300)
    noise = (jitter(x, random, 0.008) - x).double().numpy()
    uniform = numbers(random, Purpose.JITTER, 3 * ticks)
    radius, angle = np.sqrt(-2 * np.log(uniform[:, : 3 * ticks // 2])), 2 * np.pi * uniform[:, 3 * ticks // 2 :]
    expected = 0.008 * np.concatenate((radius * np.cos(angle), radius * np.sin(angle)), 1).reshape(300, 3, ticks)
    np.testing.assert_allclose(noise, expected, rtol=0, atol=1e-6)
    assert abs(noise.std() / 0.008 - 1) < 4 / (2 * noise.size) ** 0.5
    assert abs((noise[..., 1:] * noise[..., :-1]).mean()) < 4 * 0.008**2 / noise.size**0.5


@TICKS
@EACH
def test_a_window_with_label_0_is_unchanged_to_the_bit(task: PretextTask, ticks: int) -> None:
    x, random = impacts(200, ticks), randoms(200)
    applied = random.coins([task.purpose])[:, 0]
    seen, before = task.transform(x, random, applied), x.clone()
    assert torch.equal(seen[~applied], x[~applied])
    assert torch.equal(seen[applied], task.transform(x, random, every(200))[applied])
    assert torch.equal(x, before)
    assert seen.dtype == torch.float32


@TICKS
@EACH
def test_a_window_with_label_1_has_changed(task: PretextTask, ticks: int) -> None:
    """On windows whose ticks all differ, so that only a transform without effect leaves a window unchanged."""
    count = 4000
    x = torch.arange(1, ticks + 1.0).expand(count, 3, ticks)
    changed = (task.transform(x, randoms(count), every(count)) - x).abs().amax((1, 2))
    least = {"reversal": ticks - 2, "scaling": 0.14 * ticks, "permutation": 10, "warp": ticks / 100}
    assert changed.min() > least[task.name]


@pytest.mark.parametrize("transform", [*(task.transform for task in TASKS), permute_axes, rotate])
def test_a_window_does_not_depend_on_its_batch(transform: Any) -> None:
    x, random = movement(97, 300), randoms(97)
    applied = [] if transform in (permute_axes, rotate) else [random.coins([Purpose.DRAW])[:, 0]]
    whole = transform(x, random, *applied)
    for chosen in (
        torch.randperm(97, generator=torch.Generator().manual_seed(5)),
        torch.tensor([13]),
        torch.arange(40),
    ):
        part = transform(x[chosen], at(random, chosen), *(labels[chosen] for labels in applied))
        torch.testing.assert_close(part, whole[chosen], rtol=0, atol=1e-6)
