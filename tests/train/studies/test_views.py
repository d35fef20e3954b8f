"""The views of the UTD-MHAD study: each transform by what it must keep, with and without the released code's fault."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from train.studies.utd_mhad import views
from train.studies.utd_mhad.trials import centred
from train.studies.utd_mhad.views import cropped, inertial_view, rotations, segment_order, shears, skeleton_view


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def numbered() -> Tensor:
    """Inertial trials whose values name step and channel: 10 step + channel, from 1."""
    return (10.0 * torch.arange(50)[:, None] + torch.arange(1, 7)).repeat(400, 1, 1)


def test_segments_keep_their_steps_in_order() -> None:
    order_BT = segment_order(500, 50)
    assert torch.equal(order_BT.sort(1).values, torch.arange(50).expand(500, 50))
    joins_B = (order_BT.diff(dim=1) != 1).sum(1)
    assert joins_B.min() == 0
    assert joins_B.max() == views.SEGMENTS[1] - 1
    assert (joins_B > 0).float().mean() > 0.6


def without_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "JITTER_SD", 0.0)
    monkeypatch.setattr(views, "SCALE_SD", 0.0)


def test_inertial_views_keep_steps_and_channels_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    without_noise(monkeypatch)
    view_BTC = inertial_view(numbered())
    step_BTC, channel_BTC = (view_BTC - 1).div(10, rounding_mode="floor"), (view_BTC - 1) % 10
    assert torch.equal(step_BTC, step_BTC[:, :, :1].expand_as(step_BTC))
    assert torch.equal(channel_BTC, channel_BTC[:, :1].expand_as(channel_BTC))
    jumps_B = (step_BTC[:, :, 0].diff(dim=1) != 1).sum(1)
    assert 0 < jumps_B.max() < views.SEGMENTS[1]
    moved_B = (channel_BTC[:, 0] != torch.arange(6)).any(1)
    assert moved_B.float().mean().item() == pytest.approx(0.75, abs=0.08)


def test_the_released_codes_views_shuffle_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    without_noise(monkeypatch)
    view_BTC = inertial_view(numbered(), as_released=True)
    step_BT = (view_BTC[:, :, 0] - 1).div(10, rounding_mode="floor")
    assert torch.equal(step_BT.sort(1).values, torch.arange(50.0).expand(400, 50))
    shuffled_B = (step_BT.diff(dim=1) != 1).sum(1) > 20
    assert shuffled_B.float().mean().item() == pytest.approx(0.75, abs=0.08)


@pytest.mark.parametrize("as_released", [False, True])
def test_a_factor_for_each_axis_or_each_value(monkeypatch: pytest.MonkeyPatch, as_released: bool) -> None:
    monkeypatch.setattr(views, "JITTER_SD", 0.0)
    view_BTC = inertial_view(torch.ones(2_000, 50, 6), as_released)
    changed_BTC = view_BTC[(view_BTC != 1).any(2).any(1)]
    assert len(changed_BTC) / 2_000 == pytest.approx(0.75, abs=0.04)
    assert changed_BTC.mean().item() == pytest.approx(1, abs=0.05)
    assert changed_BTC.std().item() == pytest.approx(1, abs=0.05)
    varies = (changed_BTC.std(1) > 1e-3).any(1)
    assert varies.all() if as_released else not varies.any()


def test_jitter_is_in_three_quarters_of_inertial_trials() -> None:
    view_BTC = inertial_view(torch.zeros(2_000, 50, 6))
    noisy_B = (view_BTC != 0).any(2).any(1)
    assert noisy_B.float().mean().item() == pytest.approx(0.75, abs=0.04)


def test_rotations() -> None:
    turned_BAA = rotations(3_000)
    torch.testing.assert_close(
        turned_BAA @ turned_BAA.transpose(1, 2), torch.eye(3).expand(3_000, 3, 3), atol=1e-5, rtol=0
    )
    torch.testing.assert_close(torch.linalg.det(turned_BAA), torch.ones(3_000), atol=1e-5, rtol=0)
    angle_B = ((turned_BAA.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2).clamp(-1, 1).acos().rad2deg()
    assert 14 < angle_B.max() < 18  # three of 10 degrees
    assert (angle_B < 0.1).float().mean() < 0.01


def test_shears_keep_the_diagonal() -> None:
    shear_BAA = shears(3_000)
    assert torch.equal(shear_BAA.diagonal(dim1=1, dim2=2), torch.ones(3_000, 3))
    off = shear_BAA[:, ~torch.eye(3, dtype=torch.bool)]
    assert off.std().item() == pytest.approx(0.2, abs=0.01)


def test_crops_are_straight_lines_of_straight_lines() -> None:
    line_BTJA = torch.arange(50.0)[:, None, None].expand(500, 50, 20, 3)
    part_BT = cropped(line_BTJA)[:, :, 4, 1]
    torch.testing.assert_close(part_BT.diff(dim=1), part_BT.diff(dim=1)[:, :1].expand(500, 49), atol=1e-3, rtol=0)
    share_B = (part_BT[:, -1] - part_BT[:, 0]) / 49
    assert 0.7999 < share_B.min() < 0.81
    assert 0.89 < share_B.max() < 0.9001
    assert part_BT.min() >= 0
    assert part_BT.max() <= 49
    assert part_BT[:, 0].max() > 7


def test_skeleton_views_leave_the_origin_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "SKELETON_JITTER_SD", 0.0)
    x_BTJA = torch.randn(1, 1, 20, 3).expand(300, 50, 20, 3).clone()
    x_BTJA[:, :, 2] = 0
    view_BTJA = skeleton_view(x_BTJA)
    assert torch.equal(view_BTJA[:, :, 2], torch.zeros(300, 50, 3))
    torch.testing.assert_close(view_BTJA, view_BTJA[:, :1].expand_as(view_BTJA), atol=1e-5, rtol=0)
    assert (view_BTJA[:, 0] - x_BTJA[:, 0]).abs().amax((1, 2)).gt(1e-3).float().mean() > 0.95


def test_trials_are_centred_on_the_first_spine() -> None:
    x_NTJA = torch.randn(3, 50, 20, 3) + 5
    moved_NTJA = centred(x_NTJA)
    torch.testing.assert_close(moved_NTJA[:, 0, 2], torch.zeros(3, 3))
    torch.testing.assert_close(moved_NTJA[:, 0, 1].norm(dim=1), torch.ones(3))
    torch.testing.assert_close(centred(3 * x_NTJA - 7), moved_NTJA, atol=1e-4, rtol=1e-4)
