"""The harnet networks: one-dimensional residual networks over windows of acceleration in g at 30 Hz.

Built from published facts only: pre-activation (He et al. 2016, arXiv:1603.05027), anti-aliased downsampling (Zhang
2019, arXiv:1904.11486), sizes (Yuan et al. 2024, doi:10.1038/s41746-024-01062-3). Parameters have the names of public
harnet weights, so weights can be exchanged both ways. Imports torch and nothing else: this file is copied into every
export as the network's definition. torch.jit.script can compile it: annotations are objects, not strings, and what it
cannot compile is in branches that it leaves out.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

AXES = 3
KERNEL = 5
LAYOUT = torch.channels_last
"""Fast convolutions need all channels of a tick next to each other in memory. torch has that layout for images only, so
layers treat windows as images of height 1."""


class Stage(NamedTuple):
    """A convolution to `channels`, `blocks` residual blocks, then downsampling by `factor`, blur of `order`."""

    channels: int
    blocks: int
    factor: int
    order: int


class Preset(NamedTuple):
    """A published network: the ticks of its input window, and its five stages."""

    ticks: int
    stages: tuple[Stage, ...]


PRESETS = {
    "harnet5": Preset(
        150, (Stage(64, 2, 2, 2), Stage(128, 2, 2, 2), Stage(256, 2, 3, 1), Stage(256, 2, 3, 1), Stage(512, 0, 3, 1))
    ),
    "harnet10": Preset(
        300, (Stage(64, 2, 2, 2), Stage(128, 2, 2, 2), Stage(256, 2, 5, 1), Stage(512, 2, 5, 1), Stage(1024, 0, 3, 1))
    ),
    "harnet30": Preset(
        900, (Stage(64, 2, 3, 1), Stage(128, 2, 3, 1), Stage(256, 2, 5, 1), Stage(512, 2, 5, 1), Stage(1024, 0, 4, 0))
    ),
}


def scaled(channels: int, width: float) -> int:
    """Return `channels` times `width`, rounded to a multiple of 8, at least 8."""
    return max(8, 8 * round(channels * width / 8))


def box_kernel(factor: int, order: int) -> Tensor:
    """Return a box of `factor` ones convolved `order` times with itself, sum 1; float32 (kernel length,)."""
    box = torch.ones(1, 1, factor, dtype=torch.float64)
    kernel = box
    for _ in range(order):
        kernel = F.conv1d(kernel, box, padding=factor - 1)
    return torch.flatten(kernel / kernel.sum()).float()


class Wrap(torch.autograd.Function):
    """Circular padding by `reach` ticks. Takes one pass over memory each way, where torch's own padding takes three."""

    @staticmethod
    def forward(ctx: Any, x_BC1T: Tensor, reach: int) -> Tensor:
        ctx.reach = reach
        return torch.cat((x_BC1T[..., -reach:], x_BC1T, x_BC1T[..., :reach]), -1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        reach = ctx.reach
        own = gradient[..., reach:-reach].clone()
        own[..., :reach] += gradient[..., -reach:]
        own[..., -reach:] += gradient[..., :reach]
        return own, None


class Convolution(nn.Conv1d):
    """A convolution with kernel 5, circular padding and no bias; the length stays the same."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out, KERNEL, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        x_BC1T, reach = input.unsqueeze(2), self.kernel_size[0] // 2
        if torch.jit.is_scripting():
            wrapped_BC1T = torch.cat((x_BC1T[..., -reach:], x_BC1T, x_BC1T[..., :reach]), -1)
        else:
            wrapped_BC1T = Wrap.apply(x_BC1T, reach)
        return F.conv2d(wrapped_BC1T, self.weight.unsqueeze(2)).squeeze(2)


class BatchNorm(nn.BatchNorm1d):
    """BatchNorm1d computed by the kernel for images, which supports channels-last."""

    def _check_input_dim(self, input: Tensor) -> None:
        pass

    def forward(self, input: Tensor) -> Tensor:
        if torch.jit.is_scripting():  # TorchScript has no super()
            mean, variance = self.running_mean, self.running_var
            x_BC1T = input.unsqueeze(2)
            return F.batch_norm(x_BC1T, mean, variance, self.weight, self.bias, self.training, 0.1, self.eps).squeeze(2)
        return super().forward(input.unsqueeze(2)).squeeze(2)


class ResidualBlock(nn.Module):
    """Pre-activation: (BatchNorm, ReLU, convolution) twice, plus the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bn1 = BatchNorm(channels)
        self.bn2 = BatchNorm(channels)
        self.conv1 = Convolution(channels, channels)
        self.conv2 = Convolution(channels, channels)

    def forward(self, x_BCT: Tensor) -> Tensor:
        inner_BCT = self.conv1(F.relu(self.bn1(x_BCT)))
        return x_BCT + self.conv2(F.relu(self.bn2(inner_BCT)))


class Downsample(nn.Module):
    """Blur each channel with a fixed kernel and keep every `factor`-th tick; zero padding."""

    kernel: Tensor

    def __init__(self, channels: int, factor: int, order: int) -> None:
        super().__init__()
        self.stride = (1, factor)
        self.padding = (0, order * (factor - 1) // 2)
        self.register_buffer("kernel", box_kernel(factor, order).repeat(channels, 1, 1))

    def forward(self, x_BCT: Tensor) -> Tensor:
        x_BC1T, kernel = x_BCT.unsqueeze(2), self.kernel.unsqueeze(2)
        return F.conv2d(x_BC1T, kernel, stride=self.stride, padding=self.padding, groups=x_BCT.shape[1]).squeeze(2)


def stage_layers(channels_in: int, channels: int, stage: Stage) -> nn.Sequential:
    """Return the modules of one stage, in the order that gives them their numbers in parameter names."""
    return nn.Sequential(
        Convolution(channels_in, channels),
        *(ResidualBlock(channels) for _ in range(stage.blocks)),
        BatchNorm(channels),
        nn.ReLU(),
        Downsample(channels, stage.factor, stage.order),
    )


def initialise(network: nn.Module) -> None:
    """Set convolutions and linear layers Kaiming normal by fan-out (He et al. 2015), biases 0; BatchNorm 1 and 0."""
    for module in network.modules():
        if isinstance(module, nn.Conv1d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm1d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)


class Harnet(nn.Module):
    """The feature extractor: float32 (batch, 3, ticks) in g at 30 Hz to (batch, features, 1).

    `width` multiplies the channels of every stage (1.0: as published). Raises ValueError for an unknown preset, and for
    a width that is not above 0.
    """

    def __init__(self, preset: str, width: float = 1.0) -> None:
        super().__init__()
        if preset not in PRESETS:
            raise ValueError(f"unknown network {preset!r}: expected one of {', '.join(PRESETS)}")
        if not width > 0:
            raise ValueError(f"expected a width above 0, found {width}")
        self.preset, self.width = preset, width
        self.ticks = PRESETS[preset].ticks
        channels_in = AXES
        for number, stage in enumerate(PRESETS[preset].stages, 1):
            channels = scaled(stage.channels, width)
            self.add_module(f"layer{number}", stage_layers(channels_in, channels, stage))
            channels_in = channels
        self.features = channels_in
        initialise(self)

    def forward(self, x_BCT: Tensor) -> Tensor:
        x_BC1T = x_BCT.unsqueeze(2)
        if torch.jit.is_scripting():  # a layout cannot be a global of TorchScript
            x_BC1T = x_BC1T.contiguous(memory_format=torch.channels_last)
        else:
            x_BC1T = x_BC1T.contiguous(memory_format=LAYOUT)
        x_BCT = x_BC1T.squeeze(2)
        for stage in self.children():
            x_BCT = stage(x_BCT)
        return x_BCT
