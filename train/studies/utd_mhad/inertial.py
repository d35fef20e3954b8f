"""The inertial encoder of the study: three convolutions, then two layers of self-attention; every step is kept.

As in CSSHAR (Khaertdinov, Ghaleb and Asteriadis 2021, doi:10.1109/IJCB52358.2021.9484410): convolutions of 32, 64 and
128 channels with BatchNorm and ReLU, kernel 5 and padding 1, so that each loses two steps; sine and cosine positions;
layers of 2 heads with a feed-forward of 2,048 and dropout 0.1, whose features are flattened.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from train.networks.transformer import positions

CHANNELS = (6, 32, 64, 128)
KERNEL, PADDING = 5, 1
LAYERS, HEADS, HIDDEN = 2, 2, 2_048
CUT = 26
"""Dropout compares random bytes with this: each value is 0 with probability 26 / 256 = 0.102."""
KEPT = 1 - CUT / 256
ROWS = 704
"""Rows of the feed-forward at a time: their hidden values stay in a processor's cache."""


class InertialEncoder(nn.Module):
    """Maps (batch, steps, 6) to features (batch, 128 (steps - 6)); 5,632 for 50 steps."""

    place: Tensor

    def __init__(self, steps: int = 50) -> None:
        super().__init__()
        self.convolutions = nn.Sequential()
        for number, (before, after) in enumerate(pairwise(CHANNELS), 1):
            self.convolutions.add_module(f"conv{number}", nn.Conv1d(before, after, KERNEL, padding=PADDING))
            self.convolutions.add_module(f"bn{number}", nn.BatchNorm1d(after))
            self.convolutions.add_module(f"relu{number}", nn.ReLU())
        left = steps - (len(CHANNELS) - 1) * (KERNEL - 1 - 2 * PADDING)
        self.register_buffer("place", positions(left, CHANNELS[-1]), persistent=False)
        self.dropout = ByteDropout()
        self.layers = nn.Sequential(*(Layer() for _ in range(LAYERS)))
        self.features = left * CHANNELS[-1]

    def forward(self, x_BTC: Tensor) -> Tensor:
        x_BTC = self.convolutions(x_BTC.transpose(1, 2)).transpose(1, 2) + self.place
        features_BF: Tensor = self.layers(self.dropout(x_BTC)).flatten(1)
        return features_BF


class Layer(nn.Module):
    """Self-attention, then a feed-forward, each followed by dropout, a residual connection and LayerNorm."""

    def __init__(self) -> None:
        super().__init__()
        channels = CHANNELS[-1]
        self.attention = nn.MultiheadAttention(channels, HEADS, dropout=1 - KEPT, batch_first=True)
        self.linear1, self.linear2 = nn.Linear(channels, HIDDEN), nn.Linear(HIDDEN, channels)
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.dropout = ByteDropout()

    def forward(self, x_BTC: Tensor) -> Tensor:
        x_BTC = self.norm1(x_BTC + self.dropout(self.attention(x_BTC, x_BTC, x_BTC, need_weights=False)[0]))
        weights = (self.linear1.weight, self.linear1.bias, self.linear2.weight, self.linear2.bias)
        fed_BTC = FeedForward.apply(x_BTC.flatten(0, 1), *weights, self.training).view_as(x_BTC)
        out_BTC: Tensor = self.norm2(x_BTC + self.dropout(fed_BTC))
        return out_BTC


def dropped(shape: torch.Size) -> Tensor:
    """Return which values dropout makes 0, from eight random bytes a draw: torch draws a 32-bit number for each."""
    words = torch.empty(-(-math.prod(shape) // 8), dtype=torch.int64).random_(-(2**63), None)
    return words.view(torch.uint8)[: math.prod(shape)].view(shape) < CUT


class ByteDropout(nn.Module):
    """Dropout with the probability CUT / 256."""

    def forward(self, x: Tensor) -> Tensor:
        return x.masked_fill(dropped(x.shape), 0.0) / KEPT if self.training else x


class FeedForward(torch.autograd.Function):
    """relu(x W1 + b1), dropout if `training`, W2 + b2, over (rows, channels), ROWS at a time.

    It takes two thirds of the time of torch's layer on a CPU, whose hidden values leave the cache between operations.
    """

    @staticmethod
    def forward(
        ctx: Any, x_NC: Tensor, weight1: Tensor, bias1: Tensor, weight2: Tensor, bias2: Tensor, training: bool
    ) -> Tensor:
        ctx.scale = 1 / KEPT if training else 1.0
        hidden = []
        out = []
        for rows_NC in x_NC.split(ROWS):
            hidden_NH = torch.addmm(bias1, rows_NC, weight1.T).clamp_(min=0)
            if training:
                hidden_NH.masked_fill_(dropped(hidden_NH.shape), 0.0)
            out.append(torch.addmm(bias2, hidden_NH, weight2.T, alpha=ctx.scale))
            hidden.append(hidden_NH)
        ctx.save_for_backward(x_NC, weight1, weight2, *hidden)
        return torch.cat(out)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        x_NC, weight1, weight2, *hidden = ctx.saved_tensors
        to_x, to_weight1, to_weight2 = [], torch.zeros_like(weight1), torch.zeros_like(weight2)
        to_bias1 = torch.zeros_like(weight1[:, 0])
        for rows_NC, back_NC, hidden_NH in zip(x_NC.split(ROWS), gradient.split(ROWS), hidden, strict=True):
            to_weight2.addmm_(back_NC.T, hidden_NH, alpha=ctx.scale)
            to_hidden_NH = (back_NC @ weight2).masked_fill_(hidden_NH == 0, 0.0)
            to_weight1.addmm_(to_hidden_NH.T, rows_NC, alpha=ctx.scale)
            to_bias1.add_(to_hidden_NH.sum(0), alpha=ctx.scale)
            to_x.append(torch.mm(to_hidden_NH, weight1).mul_(ctx.scale))
        return torch.cat(to_x), to_weight1, to_bias1, to_weight2, gradient.sum(0), None
