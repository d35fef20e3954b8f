"""The two encoders of the UTD-MHAD study: shapes, parameters, and the feed-forward against torch's own layers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from train.studies.utd_mhad.inertial import CUT, ROWS, ByteDropout, FeedForward, InertialEncoder
from train.studies.utd_mhad.skeleton import SkeletonEncoder, stream


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_inertial_shapes_and_parameters() -> None:
    encoder = InertialEncoder()
    assert encoder(torch.randn(4, 50, 6)).shape == (4, 5_632) == (4, encoder.features)
    assert InertialEncoder(60)(torch.randn(4, 60, 6)).shape == (4, 54 * 128)
    convolutions = sum(after * (5 * before + 3) for before, after in ((6, 32), (32, 64), (64, 128)))
    attention, norms = 4 * 128 * 128 + 4 * 128, 4 * 128
    feed_forward = 2 * 128 * 2_048 + 2_048 + 128
    assert parameters(encoder) == convolutions + 2 * (attention + norms + feed_forward) == 1_238_880


def test_skeleton_shapes_and_parameters() -> None:
    encoder = SkeletonEncoder()
    x_BTJA = torch.randn(4, 50, 20, 3)
    assert encoder(x_BTJA).shape == (4, 256) == (4, encoder.features)
    assert stream()(x_BTJA.permute(0, 3, 1, 2)).shape == (4, 64, 10, 6)
    layers = ((3, 64, 1), (64, 32, 3), (20, 32, 9), (32, 64, 9))
    one = sum(after * (before * kernel + 3) for before, after, kernel in layers)
    joined = 128 * (64 * 9 + 3) + 256 * (128 * 9 + 3)
    assert parameters(encoder) == 2 * one + joined == 432_000


def test_the_skeletons_second_stream_sees_changes_only() -> None:
    encoder = SkeletonEncoder().eval()
    still, seen = torch.randn(1, 1, 20, 3).expand(2, 50, 20, 3), []
    encoder.differences.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    encoder(still + torch.arange(50)[:, None, None])
    assert torch.equal(seen[0][:, :, 0], torch.zeros(2, 3, 20))
    torch.testing.assert_close(seen[0][:, :, 1:], torch.ones(2, 3, 49, 20), atol=1e-5, rtol=0)


@pytest.mark.parametrize("rows", [3, 2 * ROWS + 5])
def test_feed_forward_is_torchs(rows: int) -> None:
    linear1, linear2 = nn.Linear(16, 32).double(), nn.Linear(32, 16).double()
    weights = (linear1.weight, linear1.bias, linear2.weight, linear2.bias)
    x_NC = torch.randn(rows, 16, dtype=torch.float64, requires_grad=True)
    target_NC = torch.randn(rows, 16, dtype=torch.float64)

    def gradients(out_NC: Tensor) -> list[Tensor]:
        return [out_NC, *torch.autograd.grad((out_NC * target_NC).sum(), (x_NC, *weights))]

    ours = gradients(FeedForward.apply(x_NC, *weights, False))
    for one, other in zip(ours, gradients(linear2(linear1(x_NC).relu())), strict=True):
        torch.testing.assert_close(one, other, atol=1e-9, rtol=1e-9)


def test_gradients_of_the_feed_forward_with_dropout() -> None:
    weights = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in ((8, 4), (8,), (4, 8), (4,))]
    x_NC = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)

    def same_dropout(*inputs: Tensor) -> Tensor:
        torch.manual_seed(3)
        out_NC: Tensor = FeedForward.apply(*inputs, True)
        return out_NC

    assert torch.autograd.gradcheck(same_dropout, (x_NC, *weights))
    torch.manual_seed(0)
    many_NC = FeedForward.apply(x_NC[:1].expand(20_000, 4), *weights, True)
    plain_NC = FeedForward.apply(x_NC[:1], *weights, False)
    torch.testing.assert_close(many_NC.mean(0), plain_NC[0], atol=0.15, rtol=0)


def test_dropout() -> None:
    torch.manual_seed(0)
    dropout = ByteDropout()
    x = dropout(torch.ones(100, 1_003))
    assert (x == 0).float().mean().item() == pytest.approx(CUT / 256, abs=0.005)
    assert x.mean().item() == pytest.approx(1, abs=0.005)
    assert torch.equal(dropout.eval()(torch.ones(3)), torch.ones(3))
