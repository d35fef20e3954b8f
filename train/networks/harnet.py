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


def plain_wrapped(x_BC1T: Tensor, reach: int, relu: bool) -> Tensor:
    """Return the windows, or their ReLU, with circular padding by `reach` ticks."""
    if relu:
        x_BC1T = F.relu(x_BC1T)
    return torch.cat((x_BC1T[..., -reach:], x_BC1T, x_BC1T[..., :reach]), -1)


class Wrap(torch.autograd.Function):
    """The same, in one pass over memory each way, where torch's own padding takes three.

    ReLU's output is not kept for the backward pass: it is inside the padded windows, which the convolution keeps.
    """

    @staticmethod
    def forward(ctx: Any, x_BC1T: Tensor, reach: int, relu: bool) -> Tensor:
        ctx.reach = reach
        wrapped_BC1T = plain_wrapped(x_BC1T, reach, False)
        if relu:
            wrapped_BC1T.relu_()
            ctx.save_for_backward(wrapped_BC1T)
        return wrapped_BC1T

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        reach = ctx.reach
        own = gradient[..., reach:-reach].clone()
        own[..., :reach].add_(gradient[..., -reach:])
        own[..., -reach:].add_(gradient[..., :reach])
        for wrapped_BC1T in ctx.saved_tensors:
            own = torch.ops.aten.threshold_backward(own, wrapped_BC1T[..., reach:-reach], 0)
        return own, None, None


def wrapped(x_BC1T: Tensor, reach: int, relu: bool) -> Tensor:
    """Return `plain_wrapped`. Compiled code fuses that by itself, and keeps what it needs for the backward pass."""
    return plain_wrapped(x_BC1T, reach, relu) if torch.compiler.is_compiling() else Wrap.apply(x_BC1T, reach, relu)


class Convolution(nn.Conv1d):
    """A convolution of windows, or of their ReLU, with kernel 5, circular padding and no bias; the length stays."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out, KERNEL, bias=False)

    def forward(self, input: Tensor, relu: bool = False) -> Tensor:
        reach = self.kernel_size[0] // 2
        if torch.jit.is_scripting():
            wrapped_BC1T = plain_wrapped(input.unsqueeze(2), reach, relu)
        else:
            wrapped_BC1T = wrapped(input.unsqueeze(2), reach, relu)
        return F.conv2d(wrapped_BC1T, self.weight.unsqueeze(2)).squeeze(2)


class BatchNorm(nn.BatchNorm1d):
    """BatchNorm1d computed by the kernel for images, which supports channels-last. The network counts its batches."""

    def _check_input_dim(self, input: Tensor) -> None:
        pass

    def forward(self, input: Tensor) -> Tensor:
        x_BC1T, mean, variance, momentum = input.unsqueeze(2), self.running_mean, self.running_var, 0.1
        if not torch.jit.is_scripting():
            assert self.num_batches_tracked is not None
            momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        return F.batch_norm(x_BC1T, mean, variance, self.weight, self.bias, self.training, momentum, self.eps).squeeze(
            2
        )


class ResidualBlock(nn.Module):
    """Pre-activation: (BatchNorm, ReLU, convolution) twice, plus the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bn1 = BatchNorm(channels)
        self.bn2 = BatchNorm(channels)
        self.conv1 = Convolution(channels, channels)
        self.conv2 = Convolution(channels, channels)

    def forward(self, x_BCT: Tensor) -> Tensor:
        inner_BCT = self.conv1(self.bn1(x_BCT), relu=True)
        return x_BCT + self.conv2(self.bn2(inner_BCT), relu=True)


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
        self.norms = tuple(layer for layer in self.modules() if isinstance(layer, BatchNorm))
        initialise(self)

    @torch.jit.unused
    def _count_a_batch(self) -> None:
        """Count it in every BatchNorm, in one operation; a layer of another class counts by itself."""
        counts = (layer.num_batches_tracked for layer in self.norms if isinstance(layer, BatchNorm))
        if known := [count for count in counts if count is not None]:
            torch._foreach_add_(known, 1)

    def forward(self, x_BCT: Tensor) -> Tensor:
        x_BC1T = x_BCT.unsqueeze(2)
        if torch.jit.is_scripting():  # a layout cannot be a global of TorchScript
            x_BC1T = x_BC1T.contiguous(memory_format=torch.channels_last)
        else:
            x_BC1T = x_BC1T.contiguous(memory_format=LAYOUT)
            if self.training:
                self._count_a_batch()
        x_BCT = x_BC1T.squeeze(2)
        for stage in self.children():
            x_BCT = stage(x_BCT)
        return x_BCT
