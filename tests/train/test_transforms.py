"""Each transform against a plain NumPy or SciPy version that is given the same random numbers."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from train.random import Purpose, WindowRandom
from train.transforms import Transform
from train.transforms import permutation as permutation_
from train.transforms.axes import axis_order, permute_axes
from train.transforms.jitter import jitter
from train.transforms.permutation import permute
from train.transforms.reversal import reverse
from train.transforms.rotation import matrices, quaternions, rotate
from train.transforms.scaling import factors, scale
from train.transforms.warp import ONE, SLOWEST, draw_knots, positions, speed, warp

Array = NDArray[np.float64]
TICKS = pytest.mark.parametrize("ticks", [150, 300, 900])
TRANSFORMS: list[Transform] = [reverse, scale, permute, warp, permute_axes, rotate]


def randoms(count: int, seed: int = 11) -> WindowRandom:
    index = torch.arange(count)
    return WindowRandom.of(seed, index % 64, index // 64, index * 31 % 5000, index * 17 % 86400)


def at(random: WindowRandom, chosen: torch.Tensor) -> WindowRandom:
    return WindowRandom(random.key0[chosen], random.key1[chosen], random.slot[chosen], random.start[chosen])


def movement(count: int, ticks: int) -> torch.Tensor:
    """Smooth windows in g: gravity and a few harmonics of a walk, different in every window and axis."""
    generator = np.random.default_rng(3)
    seconds = np.arange(ticks) / 30
    x = generator.normal(0, 0.6, (count, 3, 1)) + np.zeros(ticks)
    for harmonic in (1, 2, 3):
        rate, phase = generator.uniform(0.7, 1.1, (count, 1, 1)) * harmonic, generator.uniform(0, 6.28, (count, 3, 1))
        x += generator.uniform(0, 0.3, (count, 3, 1)) / harmonic * np.sin(2 * np.pi * rate * seconds + phase)
    return torch.tensor(x, dtype=torch.float32)


@TICKS
def test_reversal_plays_backwards(ticks: int) -> None:
    x = movement(5, ticks)
    assert np.array_equal(reverse(x, randoms(5)).numpy(), x.numpy()[:, :, ::-1])


@TICKS
def test_scaling_equals_numpy(ticks: int) -> None:
    x, random = movement(40, ticks), randoms(40)
    uniform = random.uniform(Purpose.SCALING, 3).numpy().astype(float)
    expected = x.numpy() * np.where(uniform < 0.5, 0.5 + 0.7 * uniform, 1.15 + 0.7 * (uniform - 0.5))[:, :, None]
    np.testing.assert_allclose(scale(x, random), expected, atol=1e-5)


def test_scaling_is_never_near_1_and_fills_its_range() -> None:
    factor = factors(randoms(5000))
    assert factor.min() >= 0.5
    assert factor.max() <= 1.5
    assert (factor - 1).abs().min() >= 0.15 - 1e-6
    assert abs((factor < 1).float().mean() - 0.5) < 4 * 0.5 / 15000**0.5
    assert abs(factor[factor < 1].mean() - 0.675) < 0.01


def plain_permutation(x_CT: Array, uniform: Array) -> tuple[Array, list[int]]:
    """The permuted window and its segments' lengths, one window at a time."""
    ticks = x_CT.shape[1]
    spare = ticks - 44
    cut = [int(np.float32(value) * np.float32(spare + 1)) for value in sorted(uniform[:3])]
    bounds = [0, cut[0] + 11, cut[1] + 22, cut[2] + 33, ticks]
    segments = [x_CT[:, bounds[i] : bounds[i + 1]] for i in range(4)]
    order = [order for order in permutations(range(4)) if order != (0, 1, 2, 3)][int(uniform[3] * 23)]
    return np.concatenate([segments[i] for i in order], 1), [segment.shape[1] for segment in segments]


@TICKS
def test_permutation_equals_numpy(ticks: int) -> None:
    x, random = movement(200, ticks), randoms(200)
    permuted = permute(x, random).numpy()
    for window, uniform in enumerate(random.uniform(Purpose.PERMUTATION, 4).numpy()):
        expected, lengths = plain_permutation(x[window].numpy(), uniform)
        assert min(lengths) > 10
        assert np.array_equal(permuted[window], expected)
        assert not np.array_equal(permuted[window], x[window])


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
    count = 23000
    uniform = randoms(count).uniform(Purpose.PERMUTATION, 4)
    code = (permutation_.order(uniform[:, 3]) * torch.tensor([64, 16, 4, 1])).sum(1)
    _, times = code.unique(return_counts=True)
    assert len(times) == 23
    assert (times - 1000).abs().max() < 4 * 1000**0.5
    lengths = permutation_.cuts(uniform[:, :3], 300).diff().double()
    assert (lengths.mean(0) - 75).abs().max() < 1
    assert lengths.amin() == 11


def plain_warp(x_CT: Array, normal: Array) -> Array:
    """Um et al.'s curve (scipy's default spline), summed from 0 to the last tick, and numpy's interpolation."""
    ticks = x_CT.shape[1]
    knots = np.linspace(0, ticks - 1, 6)
    warped = np.empty_like(x_CT)
    for axis in range(3):
        pace = np.maximum(CubicSpline(knots, 1 + 0.2 * normal[6 * axis : 6 * axis + 6])(np.arange(ticks)), 0.05)
        position = np.cumsum(pace) - pace[0]
        warped[axis] = np.interp(position * (ticks - 1) / position[-1], np.arange(ticks), x_CT[axis])
    return warped


@TICKS
def test_warp_equals_scipy(ticks: int) -> None:
    """Positions agree within 0.0005 ticks (17 microseconds), values within that times the steepest slope."""
    ramp = torch.arange(ticks, dtype=torch.float32).expand(100, 3, ticks)
    random = randoms(100)
    normal = random.normal(Purpose.WARP, 18).numpy().astype(float)
    for x in (ramp, movement(100, ticks)):
        windows = x.double().numpy()
        expected = np.stack([plain_warp(window, draws) for window, draws in zip(windows, normal, strict=True)])
        steepest = np.abs(np.diff(windows)).max()
        np.testing.assert_allclose(warp(x, random), expected, rtol=0, atol=5e-4 * steepest)


@TICKS
def test_warp_interpolates_at_its_positions(ticks: int) -> None:
    x, random = movement(40, ticks), randoms(40)
    position = positions(speed(draw_knots(random), ticks)).numpy().reshape(-1, ticks)
    rows = x.double().numpy().reshape(-1, ticks)
    expected = [np.interp(at, np.arange(ticks), row) for at, row in zip(position, rows, strict=True)]
    np.testing.assert_allclose(warp(x, random).reshape(-1, ticks), np.stack(expected), rtol=0, atol=1e-5)


@TICKS
def test_warp_keeps_time_monotone_from_end_to_end(ticks: int) -> None:
    pace = speed(draw_knots(randoms(3000)), ticks)
    place = positions(pace)
    assert pace.min() >= SLOWEST * ONE
    assert place[..., 0].abs().max() == 0
    assert (place[..., -1] - (ticks - 1)).abs().max() < 1e-3
    assert place.max() < ticks - 1
    assert place.diff().min() > 0


@TICKS
def test_warp_raises_a_speed_that_would_run_backwards(ticks: int) -> None:
    knots = torch.tensor([[[1.0, 0.6, -0.4, 0.9, 1.3, 1.0], [2.1, 2.1, -0.1, -0.1, 2.1, 2.1], [0.0] * 6]])
    curve = CubicSpline(np.linspace(0, ticks - 1, 6), knots[0].T.numpy())(np.arange(ticks)).T
    pace = speed(knots, ticks)
    assert (curve.min(1) < SLOWEST).all()
    np.testing.assert_allclose(pace[0] / ONE, np.maximum(curve, SLOWEST), atol=1e-5)
    place = positions(pace)
    assert place.diff().min() > 0
    assert place.max() < ticks - 1


def test_warp_speeds_are_about_1_at_the_knots_with_sigma_0_2() -> None:
    pace = speed(draw_knots(randoms(5000)), 301)[..., ::60] / ONE
    assert (pace.mean((0, 1)) - 1).abs().max() < 4 * 0.2 / 15000**0.5
    assert (pace.std((0, 1)) - 0.2).abs().max() < 4 * 0.2 / 30000**0.5
    assert np.abs(np.corrcoef(pace[:, :, 2].T.numpy()) - np.eye(3)).max() < 5 / 5000**0.5


@TICKS
def test_axis_permutation_equals_numpy(ticks: int) -> None:
    x, random = movement(60, ticks), randoms(60)
    uniform = random.uniform(Purpose.AXES, 1)[:, 0].numpy()
    expected = [x[i].numpy()[list(list(permutations(range(3)))[int(uniform[i] * 6)])] for i in range(60)]
    assert np.array_equal(permute_axes(x, random), np.stack(expected))


def test_axis_orders_are_equally_likely() -> None:
    _, times = (axis_order(randoms(6000)) * torch.tensor([9, 3, 1])).sum(1).unique(return_counts=True)
    assert len(times) == 6
    assert (times - 1000).abs().max() < 4 * 1000**0.5


def plain_rotation(uniform: Array) -> Array:
    """The matrix of v -> q v q* for Shoemake's quaternion, by quaternion products."""
    first, second, (a, b) = np.sqrt(1 - uniform[0]), np.sqrt(uniform[0]), 2 * np.pi * uniform[1:]
    vector, scalar = np.array([first * np.sin(a), first * np.cos(a), second * np.sin(b)]), second * np.cos(b)
    columns = []
    for unit in np.eye(3):
        cross = np.cross(vector, unit)
        columns.append(unit + 2 * scalar * cross + 2 * np.cross(vector, cross))
    return np.stack(columns, 1)


@TICKS
def test_rotation_equals_numpy(ticks: int) -> None:
    x, random = movement(60, ticks), randoms(60)
    uniform = random.uniform(Purpose.ROTATION, 3).numpy().astype(float)
    expected = np.stack([plain_rotation(draws) @ window for window, draws in zip(x.numpy(), uniform, strict=True)])
    np.testing.assert_allclose(rotate(x, random), expected, atol=1e-5)


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


def test_jitter_adds_white_noise_of_the_given_size() -> None:
    x, random = movement(300, 300), randoms(300)
    noise = (jitter(x, random, 0.008) - x).double().numpy()
    expected = 0.008 * random.normal(Purpose.JITTER, 900).numpy().reshape(300, 3, 300)
    np.testing.assert_allclose(noise, expected, atol=1e-6)
    assert abs(noise.std() / 0.008 - 1) < 4 / (2 * noise.size) ** 0.5
    assert abs((noise[..., 1:] * noise[..., :-1]).mean()) < 4 * 0.008**2 / noise.size**0.5


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_a_window_does_not_depend_on_its_batch(transform: Transform) -> None:
    x, random = movement(97, 300), randoms(97)
    before = x.clone()
    whole = transform(x, random)
    for chosen in (
        torch.randperm(97, generator=torch.Generator().manual_seed(5)),
        torch.tensor([13]),
        torch.arange(40),
    ):
        torch.testing.assert_close(transform(x[chosen], at(random, chosen)), whole[chosen], rtol=0, atol=1e-6)
    assert torch.equal(x, before)
    assert whole.dtype == torch.float32
    assert whole.shape == x.shape
