"""A small transformer over windows of acceleration: convolutions that shorten a window, then self-attention.

After Khaertdinov, Ghaleb and Asteriadis 2021 (doi:10.1109/IJCB52358.2021.9484410), who pretrain it contrastively:
three convolutions of 32, 64 and 128 channels (kernel 3, each followed by BatchNorm and ReLU), sine and cosine
positions, two layers of self-attention with two heads, a residual connection and LayerNorm after each attention and
feed-forward (Vaswani et al. 2017, arXiv:1706.03762). It differs in a stride of 2, since their windows last 1 s and
these 5 to 30 s; a feed-forward twice as wide as the channels; features as the mean over time, where they keep every
tick; and no dropout, whose random state would have to be in checkpoints. Imports torch and nothing else: this file is
copied into exports as the network's definition. torch.jit.script can compile it: annotations are objects, not strings.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

AXES = 3
KERNEL = 3
STRIDE = 2
CHANNELS = (32, 64, 128)
LAYERS = 2
HEADS = 2


PRESETS = {"transformer5": 150, "transformer10": 300, "transformer30": 900}
"""The ticks of each preset's input window."""


def scaled(channels: int, width: float) -> int:
    """Return `channels` times `width`, rounded to a multiple of 8, at least 8."""
    return max(8, 8 * round(channels * width / 8))


def positions(ticks: int, channels: int) -> Tensor:
    """Return float32 (ticks, channels): sines and cosines with wavelengths from 2 pi to 10,000 times that."""
    rate = torch.exp(torch.arange(0, channels, 2) * (-math.log(10_000.0) / channels))
    angle = torch.arange(ticks)[:, None] * rate
    return torch.stack((angle.sin(), angle.cos()), 2).flatten(1)


class Attention(nn.Module):
    """Self-attention with several heads over (batch, ticks, channels)."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, x_BTC: Tensor) -> Tensor:
        split_BTSHD = self.qkv(x_BTC).unflatten(2, (3, self.heads, -1))
        query, key, value = split_BTSHD.permute(2, 0, 3, 1, 4).unbind(0)
        seen_BHTD = F.scaled_dot_product_attention(query, key, value)
        return self.out(seen_BHTD.transpose(1, 2).flatten(2))


class Layer(nn.Module):
    """Attention and then a feed-forward, each followed by a residual connection and LayerNorm."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.attention = Attention(channels, heads)
        self.norm1 = nn.LayerNorm(channels)
        self.linear1 = nn.Linear(channels, 2 * channels)
        self.linear2 = nn.Linear(2 * channels, channels)
        self.norm2 = nn.LayerNorm(channels)

    def forward(self, x_BTC: Tensor) -> Tensor:
        x_BTC = self.norm1(x_BTC + self.attention(x_BTC))
        return self.norm2(x_BTC + self.linear2(F.relu(self.linear1(x_BTC))))


class Transformer(nn.Module):
    """The feature extractor: float32 (batch, 3, ticks) in g at 30 Hz to (batch, features, 1).

    `width` multiplies the channels (1.0: 128 features). Layers have torch's default initialisation. Raises ValueError
    for an unknown preset, and for a width that is not above 0.
    """

    place: Tensor

    def __init__(self, preset: str, width: float = 1.0) -> None:
        super().__init__()
        if preset not in PRESETS:
            raise ValueError(f"unknown network {preset!r}: expected one of {', '.join(PRESETS)}")
        if not width > 0:
            raise ValueError(f"expected a width above 0, found {width}")
        self.preset, self.width = preset, width
        self.ticks = PRESETS[preset]
        channels = [AXES, *(scaled(each, width) for each in CHANNELS)]
        self.features = channels[-1]
        self.convolutions = nn.Sequential()
        left = self.ticks
        for number, (before, after) in enumerate(pairwise(channels), 1):
            convolution = nn.Conv1d(before, after, KERNEL, stride=STRIDE, padding=KERNEL // 2, bias=False)
            self.convolutions.add_module(f"conv{number}", convolution)
            self.convolutions.add_module(f"bn{number}", nn.BatchNorm1d(after))
            self.convolutions.add_module(f"relu{number}", nn.ReLU())
            left = (left - 1) // STRIDE + 1
        self.layers = nn.Sequential(*(Layer(self.features, HEADS) for _ in range(LAYERS)))
        self.register_buffer("place", positions(left, self.features), persistent=False)

    def forward(self, x_BCT: Tensor) -> Tensor:
        x_BTC = self.convolutions(x_BCT).transpose(1, 2) + self.place
        return self.layers(x_BTC).mean(1)[:, :, None]
