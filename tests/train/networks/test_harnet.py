"""The harnet networks against published counts and against a plain second implementation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from bench.train.counted import Kept
from pipeline.errors import UserError
from pipeline.settings import build
from train.networks import NetworkSettings, make_network
from train.networks.downstream import DownstreamNetwork
from train.networks.harnet import PRESETS, Harnet, ResidualBlock, box_kernel, plain_wrapped, scaled
from train.networks.model import Model
from train.objectives.multitask import Multitask, MultitaskSettings

# (down factor, down order) of each stage and residual blocks, written out a second time on purpose
DOWN = {
    "harnet5": ((2, 2), (2, 2), (3, 1), (3, 1), (3, 1)),
    "harnet10": ((2, 2), (2, 2), (5, 1), (5, 1), (3, 1)),
    "harnet30": ((3, 1), (3, 1), (5, 1), (5, 1), (4, 0)),
}
BLOCKS = (2, 2, 2, 2, 0)


@pytest.mark.parametrize(
    ("preset", "parameters", "ticks", "features", "numbers"),
    [
        ("harnet5", 4_227_904, 150, 512, 4_241_877),
        ("harnet10", 10_457_408, 300, 1024, None),
        ("harnet30", 10_457_408, 900, 1024, None),
    ],
)
def test_published_counts(preset: str, parameters: int, ticks: int, features: int, numbers: int | None) -> None:
    network = Harnet(preset)
    assert sum(p.numel() for p in network.parameters()) == parameters
    if numbers is not None:  # as the public loader prints it for harnet5: "131 Layers loaded, 4241877 total weights"
        assert sum(t.numel() for t in network.state_dict().values()) == numbers
    assert len(network.state_dict()) == 131
    assert (network.ticks, network.features) == (ticks, features)
    with torch.no_grad():
        assert network(torch.zeros(2, 3, ticks)).shape == (2, features, 1)


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_names(preset: str) -> None:
    with torch.device("meta"):
        network: Any = Harnet(preset)
    model = Model(network, Multitask(MultitaskSettings()).heads(network.features))
    pretext, downstream = model.state_dict(), DownstreamNetwork(network, 5).state_dict()
    assert len(pretext) == 139
    assert len(downstream) == 135
    assert sum(value.numel() for value in model.parameters()) == sum(
        value.numel() for value in network.parameters()
    ) + 4 * (2 * network.features + 2)
    assert {name for name in pretext if not name.startswith("feature_extractor.")} == {
        f"{task}.linear1.{kind}"
        for task in ("aot_h", "scale_h", "permute_h", "time_w_h")
        for kind in ("weight", "bias")
    }
    assert {name for name in downstream if not name.startswith("feature_extractor.")} == {
        f"classifier.linear{i}.{kind}" for i in (1, 2) for kind in ("weight", "bias")
    }
    expected = {"layer1.0.weight", "layer1.1.bn1.weight", "layer1.2.conv2.weight", "layer1.3.running_var"}
    expected |= {"layer1.5.kernel", "layer5.0.weight", "layer5.1.bias", "layer5.3.kernel"}
    assert expected <= set(network.state_dict())
    assert "kernel" not in {name.rsplit(".", 1)[-1] for name, _ in network.named_parameters()}


def plain_forward(state: dict[str, Tensor], preset: str, x_BCT: Tensor, training: bool) -> Tensor:
    """The network by functional calls only, with circular padding by hand and the blur as explicit sums."""

    def norm(name: str, x: Tensor) -> Tensor:
        mean, variance = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        if training:
            mean, variance = x.mean((0, 2)), x.var((0, 2), unbiased=False)
        x = (x - mean[:, None]) / torch.sqrt(variance[:, None] + 1e-5)
        return x * state[f"{name}.weight"][:, None] + state[f"{name}.bias"][:, None]

    def circular(name: str, x: Tensor) -> Tensor:
        return F.conv1d(torch.cat((x[..., -2:], x, x[..., :2]), -1), state[f"{name}.weight"])

    def down(x: Tensor, factor: int, order: int) -> Tensor:
        weights: NDArray[np.float64] = np.ones(1)
        for _ in range(order + 1):
            weights = np.convolve(weights, np.ones(factor) / factor)
        weights = weights.astype(np.float32).astype(np.float64)  # the buffer is float32
        padding = order * (factor - 1) // 2
        x = torch.cat((torch.zeros_like(x[..., :padding]), x, torch.zeros_like(x[..., :padding])), -1)
        length = (x.shape[-1] - len(weights)) // factor + 1
        return sum(
            (float(w) * x[..., k : k + factor * (length - 1) + 1 : factor] for k, w in enumerate(weights)),
            start=torch.zeros(()),
        )

    x = x_BCT
    for i, ((factor, order), blocks) in enumerate(zip(DOWN[preset], BLOCKS, strict=True), 1):
        x = circular(f"layer{i}.0", x)
        for j in range(1, blocks + 1):
            block = f"layer{i}.{j}"
            inner = circular(f"{block}.conv1", F.relu(norm(f"{block}.bn1", x)))
            x = x + circular(f"{block}.conv2", F.relu(norm(f"{block}.bn2", inner)))
        x = down(F.relu(norm(f"layer{i}.{blocks + 1}", x)), factor, order)
    return x


@pytest.mark.parametrize("preset", sorted(PRESETS))
@pytest.mark.parametrize("training", [False, True])
def test_forward_and_gradient_agree_with_a_plain_second_implementation(preset: str, training: bool) -> None:
    torch.manual_seed(3)
    network = Harnet(preset, 0.125).double()
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm1d):  # off their initial values, so that a mix-up shows
            for tensor in (layer.weight, layer.bias, layer.running_mean):
                torch.nn.init.normal_(tensor, 0.5, 0.3)  # type: ignore[arg-type]
            torch.nn.init.uniform_(layer.running_var, 0.5, 2.0)  # type: ignore[arg-type]
    network.train(training)
    x = torch.randn(4, 3, network.ticks, dtype=torch.float64, requires_grad=True)
    x_plain = x.detach().clone().requires_grad_()
    probe = torch.randn(4, network.features, 1, dtype=torch.float64)

    state = {name: t.detach().clone().requires_grad_(t.is_floating_point()) for name, t in network.state_dict().items()}
    ours, plain = network(x), plain_forward(state, preset, x_plain, training)
    torch.testing.assert_close(ours, plain, rtol=1e-9, atol=1e-11)
    (ours * probe).sum().backward()
    (plain * probe).sum().backward()
    torch.testing.assert_close(x.grad, x_plain.grad, rtol=1e-7, atol=1e-9)
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter.grad, state[name].grad, rtol=1e-7, atol=1e-9, msg=name)


def test_a_pretext_step_agrees_with_a_plain_second_implementation() -> None:
    """Network, heads, loss, the gradient of every weight, and BatchNorm statistics afterwards."""
    torch.manual_seed(4)
    objective = Multitask(MultitaskSettings(warp=2.0))
    network: Any = Harnet("harnet5", 0.125)
    model = Model(network, objective.heads(network.features)).double()
    state = {name: t.detach().clone().requires_grad_(t.is_floating_point()) for name, t in model.state_dict().items()}
    x, targets = torch.randn(6, 3, 150, dtype=torch.float64), torch.randint(0, 2, (6, 3))
    loss, _ = objective.loss(model(x), targets)
    loss.backward()

    backbone = {name.removeprefix("feature_extractor."): t for name, t in state.items()}
    features = plain_forward(backbone, "harnet5", x, True)[:, :, 0]
    plain = torch.zeros((), dtype=torch.float64)
    for column, (head, weight) in enumerate((("aot_h", 1.0), ("permute_h", 1.0), ("time_w_h", 2.0))):
        odds = torch.exp(features @ state[f"{head}.linear1.weight"].T + state[f"{head}.linear1.bias"])
        chance = odds[torch.arange(6), targets[:, column]] / odds.sum(1)
        plain = plain - weight / 4 * torch.log(chance).mean()
    plain.backward()
    torch.testing.assert_close(loss, plain, rtol=1e-10, atol=0)
    for name, parameter in model.named_parameters():
        if not name.startswith("scale_h"):
            torch.testing.assert_close(parameter.grad, state[name].grad, rtol=1e-7, atol=1e-9, msg=name)
    first = F.conv1d(torch.cat((x[..., -2:], x, x[..., :2]), -1), state["feature_extractor.layer1.0.weight"])
    norm = model.state_dict()
    torch.testing.assert_close(norm["feature_extractor.layer1.1.bn1.running_mean"], 0.1 * first.mean((0, 2)))
    torch.testing.assert_close(norm["feature_extractor.layer1.1.bn1.running_var"], 0.9 + 0.1 * first.var((0, 2)))


def test_relu_s_output_is_not_kept_beside_the_padded_windows() -> None:
    """A residual block keeps BatchNorm's input and the padded windows of each convolution; gradients are as before."""
    block, x = ResidualBlock(64), torch.randn(2, 64, 300, requires_grad=True)
    kept = Kept()
    with kept.hooks:
        out = block(x)
    inputs, padded = 2 * x.numel() * 4, 2 * (x.numel() // 300) * 304 * 4
    assert kept.total < 1.02 * (inputs + padded)
    probe = torch.randn_like(out)
    (own,) = torch.autograd.grad((out * probe).sum(), x)
    inner = F.conv1d(plain_wrapped(block.bn1(x)[:, :, None], 2, True)[:, :, 0], block.conv1.weight)
    plain = x + F.conv1d(plain_wrapped(block.bn2(inner)[:, :, None], 2, True)[:, :, 0], block.conv2.weight)
    (expected,) = torch.autograd.grad((plain * probe).sum(), x)
    torch.testing.assert_close(own, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_downsample_kernels(preset: str) -> None:
    state = Harnet(preset, 0.125).state_dict()
    kernels = [tensor for name, tensor in state.items() if name.endswith("kernel")]
    for kernel, (factor, order) in zip(kernels, DOWN[preset], strict=True):
        assert kernel.shape[1:] == (1, (order + 1) * (factor - 1) + 1)
        expected = np.ones(1)
        for _ in range(order + 1):
            expected = np.convolve(expected, np.ones(factor) / factor)
        np.testing.assert_allclose(kernel[0, 0].numpy(), expected, rtol=1e-6)
        assert (kernel == kernel[:1]).all()
    np.testing.assert_allclose(box_kernel(2, 2).numpy(), np.array([1, 3, 3, 1]) / 8)


def test_initialisation_is_kaiming_by_fan_out() -> None:
    torch.manual_seed(0)
    network = Harnet("harnet5")
    for name, parameter in network.named_parameters():
        if parameter.dim() == 3:
            fan_out = parameter.shape[0] * 5
            assert parameter.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.1), name
    torch.manual_seed(0)
    again = make_network(NetworkSettings("harnet5"))
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize(("width", "channels"), [(1.0, 64), (0.25, 16), (0.2, 16), (0.01, 8), (1.5, 96)])
def test_width_is_rounded_to_eights(width: float, channels: int) -> None:
    assert scaled(64, width) == channels


def test_settings_are_checked() -> None:
    with pytest.raises(UserError, match="harnet5, harnet10, harnet30"):
        build(NetworkSettings, {"preset": "harnet7"}, "network")
    with pytest.raises(UserError, match="width"):
        build(NetworkSettings, {"width": 0.0}, "network")
    with pytest.raises(ValueError, match="unknown network"):
        Harnet("resnet50")
