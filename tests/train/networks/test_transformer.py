"""The transformer against torch's own encoder layer, and against the published numbers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from train.networks import NetworkSettings, make_network
from train.networks.transformer import Transformer


def plain_transformer(state: dict[str, Tensor], x_BCT: Tensor, training: bool, heads: int) -> Tensor:
    """The network by torch's own encoder layer and functional calls."""
    for number in (1, 2, 3):
        x_BCT = nn.functional.conv1d(x_BCT, state[f"convolutions.conv{number}.weight"], stride=2, padding=1)
        norm = f"convolutions.bn{number}"
        x_BCT = nn.functional.batch_norm(
            x_BCT,
            state[f"{norm}.running_mean"].detach().clone(),
            state[f"{norm}.running_var"].detach().clone(),
            state[f"{norm}.weight"],
            state[f"{norm}.bias"],
            training,
        ).clamp(min=0)
    ticks, channels = x_BCT.shape[2], x_BCT.shape[1]
    place = torch.empty(ticks, channels, dtype=x_BCT.dtype)
    for tick in range(ticks):
        for pair in range(channels // 2):
            angle = torch.tensor(tick / 10_000 ** (2 * pair / channels))
            place[tick, 2 * pair], place[tick, 2 * pair + 1] = angle.sin(), angle.cos()
    x_BTC = x_BCT.transpose(1, 2) + place
    for number in (0, 1):
        layer = nn.TransformerEncoderLayer(channels, heads, 2 * channels, dropout=0.0, batch_first=True).to(x_BCT.dtype)
        names = {
            "self_attn.in_proj_weight": "attention.qkv.weight",
            "self_attn.in_proj_bias": "attention.qkv.bias",
            "self_attn.out_proj.weight": "attention.out.weight",
            "self_attn.out_proj.bias": "attention.out.bias",
        }
        own = {name: state[f"layers.{number}.{names.get(name, name)}"] for name, _ in layer.named_parameters()}
        x_BTC = torch.func.functional_call(layer, own, (x_BTC,))
    return x_BTC.mean(1)[:, :, None]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("preset", ["transformer5", "transformer10", "transformer30"])
def test_the_transformer_agrees_with_a_plain_second_implementation(preset: str, training: bool) -> None:
    torch.manual_seed(2)
    network = Transformer(preset, 0.25).double()
    for name, value in network.state_dict().items():
        if "bn" in name and value.is_floating_point():
            value.uniform_(0.5, 1.5)
    network.train(training)
    x = torch.randn(3, 3, network.ticks, dtype=torch.float64)
    state = {name: t.detach().clone().requires_grad_(t.is_floating_point()) for name, t in network.state_dict().items()}
    ours, plain = network(x), plain_transformer(state, x, training, 2)
    assert ours.shape == (3, network.features, 1)
    torch.testing.assert_close(ours, plain, rtol=0, atol=1e-6)  # the positions are float32
    probe = torch.randn(3, network.features, 1, dtype=torch.float64)
    (ours * probe).sum().backward()
    (plain * probe).sum().backward()
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter.grad, state[name].grad, rtol=1e-4, atol=1e-6, msg=name)


def test_the_transformer_has_the_published_channels_and_heads() -> None:
    network = Transformer("transformer10")
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv1d)]
    assert [(c.in_channels, c.out_channels, c.kernel_size) for c in convolutions] == [
        (3, 32, (3,)),
        (32, 64, (3,)),
        (64, 128, (3,)),
    ]
    assert [layer.attention.heads for layer in network.layers] == [2, 2]
    assert network.features == 128
    expected = (3 * 32 + 32 * 64 + 64 * 128) * 3 + 2 * (32 + 64 + 128)
    expected += 2 * (4 * 128 * 128 + 4 * 128 + 2 * 128 * 256 + 256 + 128 + 4 * 128)
    assert sum(p.numel() for p in network.parameters()) == expected
    with pytest.raises(ValueError, match="unknown network"):
        Transformer("harnet10")
    assert make_network(NetworkSettings("transformer30", 0.5)).features == 64
