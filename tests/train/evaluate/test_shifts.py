"""Shifts of test windows against plain formulas, and the attack on a network that can be solved by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import nn

from tests.train.evaluate.labelled_sets import as_data, walkers
from train.evaluate.cells import Cells
from train.evaluate.evaluation import Settings, evaluate, to_attack
from train.evaluate.rows import random_network
from train.evaluate.rows.features import features_of
from train.evaluate.rows.head import fit_head
from train.evaluate.shifts.attack import attacked, random_signs
from train.evaluate.shifts.variants import shifts
from train.networks.harnet import Harnet

X = np.random.default_rng(0).normal(0, 1, (6, 3, 300)).astype(np.float32)
NUMBERS = np.arange(10, 16)
SHIFTS = {variant.name: variant.of for variant in shifts()}


@pytest.mark.parametrize("name", SHIFTS)
def test_a_shift_keeps_shape_and_type_and_depends_on_the_window_alone(name: str) -> None:
    before = X.copy()
    shifted = SHIFTS[name](0, NUMBERS, X)
    assert shifted.shape == X.shape
    assert shifted.dtype == np.float32
    assert np.array_equal(X, before)
    assert not np.array_equal(shifted, X)
    np.testing.assert_allclose(SHIFTS[name](3, NUMBERS[2:4], X[2:4]), shifted[2:4], atol=1e-6)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("angle", [15, 90, 180])
def test_rotations_are_those_of_scipy(axis: int, angle: int) -> None:
    turn = Rotation.from_euler("xyz"[axis], angle, degrees=True)
    expected = turn.apply(X.transpose(0, 2, 1).reshape(-1, 3)).reshape(6, 300, 3).transpose(0, 2, 1)
    found = SHIFTS[f"rotated {angle}° about {'xyz'[axis]}"](0, NUMBERS, X)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_sizes_of_shifts() -> None:
    changed = {name: of(0, NUMBERS, X) - X for name, of in SHIFTS.items()}
    assert changed["noise 20 mg"].std() == pytest.approx(0.02, rel=0.05)
    assert abs(np.corrcoef(changed["noise 20 mg"][0, 0], changed["noise 20 mg"][1, 0])[0, 1]) < 0.3
    np.testing.assert_allclose(changed["gain 1.1"], 0.1 * X, atol=1e-6)
    np.testing.assert_allclose(changed["offset 50 mg on y"][:, 1], 0.05, atol=1e-6)
    assert np.array_equal(SHIFTS["axes zxy"](0, NUMBERS, X)[:, 0], X[:, 2])
    assert np.abs(SHIFTS["rail of 2 g"](0, NUMBERS, X)).max() == 2
    orders = [name for name in SHIFTS if name.startswith("axes")]
    assert len(orders) == 5


def test_a_gap_holds_the_last_value_for_a_tenth_of_the_window() -> None:
    held = SHIFTS["gap of 10%"](0, NUMBERS, X)
    starts = set()
    for window, original in zip(held, X, strict=True):
        (changed,) = np.nonzero((window != original).any(0))
        assert len(changed) == 30
        assert changed[-1] - changed[0] == 29
        assert (window[:, changed] == original[:, changed[0] - 1, None]).all()
        starts.add(int(changed[0]))
    assert len(starts) > 1


@pytest.mark.parametrize(("rate", "kept_hz", "lost_hz"), [(20, 3, 13), (25, 4, 14.5), (50, 12, None)])
def test_resampling_there_and_back_keeps_what_both_rates_hold(rate: int, kept_hz: float, lost_hz: float | None) -> None:
    time = np.arange(300) / 30
    slow = np.broadcast_to(1 + np.sin(2 * np.pi * kept_hz * time), (1, 3, 300)).astype(np.float32)
    found = SHIFTS[f"{rate} Hz and back"](0, NUMBERS[:1], slow)
    np.testing.assert_allclose(found[:, :, 30:-30], slow[:, :, 30:-30], atol=0.02)
    if lost_hz is not None:
        fast = np.broadcast_to(np.sin(2 * np.pi * lost_hz * time), (1, 3, 300)).astype(np.float32)
        assert np.abs(SHIFTS[f"{rate} Hz and back"](0, NUMBERS[:1], fast)[:, :, 60:-60]).max() < 0.2


class Sums(nn.Module):
    """An encoder whose features are the sums of each axis."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, x_BCT: torch.Tensor) -> torch.Tensor:
        return x_BCT.sum(2, keepdim=True)


def test_the_attack_on_a_linear_network_is_the_largest_step_along_the_gradient() -> None:
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, 400)
    x = rng.normal(0, 0.1, (400, 3, 10)).astype(np.float32)
    x[:, 0] += 0.02 * (2 * y[:, None] - 1)
    network: Any = Sums()
    head = fit_head(features_of(network, x), y, 2, 1.0)
    changed = attacked(network, head, x, y, 0.02)
    np.testing.assert_allclose(np.abs(changed - x), 0.02, atol=1e-6)
    # for a window of class 1 every value moves against the weights of class 1, whatever the step
    direction = np.sign((head.weight_FK[:, 1] - head.weight_FK[:, 0]) / head.scale_F)
    assert (np.sign(changed - x) == (direction * (1 - 2 * y[:, None]))[:, :, None]).all()
    before, after = (np.mean(head.predict(features_of(network, each)) == y) for each in (x, changed))
    control = np.mean(head.predict(features_of(network, random_signs(0.02)(0, np.arange(400), x))) == y)
    assert before > 0.6
    assert after < before - 0.2
    assert control > after + 0.2


def test_losses_are_reported_for_every_row_and_saved_results_are_used(tmp_path: Any) -> None:
    data, network = as_data(*walkers()), random_network(Harnet("harnet5", 0.125), 1)  # type: ignore[arg-type]
    settings = Settings(("linear", "handmade"), folds=3, shifts=True, attack=to_attack("random", network, 0))
    cells = Cells.beside(tmp_path / "out")
    results = evaluate(network, data, settings, cells)
    names = results["shifts"]["shifts"]
    assert len(names) == len(set(names)) == len(SHIFTS) + 6
    for row, losses in results["shifts"]["rows"].items():
        clean = results["rows"][row]["macro_f1"]["mean"]
        for loss in losses:
            assert loss["macro_f1"]["lost"] == pytest.approx(clean - loss["macro_f1"]["mean"])
        by_name = dict(zip(names, losses, strict=True))
        assert by_name["noise 5 mg"]["macro_f1"]["lost"] < 0.1
        assert by_name["axes yzx"]["macro_f1"]["lost"] > 0.3  # the postures differ in nothing but the axes
    plain = Settings(("linear", "handmade"), folds=3)
    again = evaluate(network, data, plain, Cells.beside(tmp_path / "out"))
    assert again["rows"] == results["rows"]
    assert again["notes"] == []
    assert "shifts" not in again
