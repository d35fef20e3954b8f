"""The published recipe in textbook PyTorch, with windows transformed one at a time by loader workers.

Written from the paper's description (Yuan et al. 2024, arXiv:2206.02909) and the published sizes, independently of
train/ and of the published code: a residual network of torch's own layers, a data set whose `__getitem__` transforms a
window, a DataLoader with workers, Adam with amsgrad, and `loss.item()` in every step.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from ..plain_windows import view

STAGES = {
    "harnet5": ((64, 2, 2, 2), (128, 2, 2, 2), (256, 2, 3, 1), (256, 2, 3, 1), (512, 0, 3, 1)),
    "harnet10": ((64, 2, 2, 2), (128, 2, 2, 2), (256, 2, 5, 1), (512, 2, 5, 1), (1024, 0, 3, 1)),
    "harnet30": ((64, 2, 3, 1), (128, 2, 3, 1), (256, 2, 5, 1), (512, 2, 5, 1), (1024, 0, 4, 0)),
}
"""Channels, residual blocks, stride, order of the blur."""
TICKS = {"harnet5": 150, "harnet10": 300, "harnet30": 900}
TASKS = 3


class Block(nn.Module):
    """Two convolutions, each after BatchNorm and ReLU, plus the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = conv(channels, channels), conv(channels, channels)
        self.bn1, self.bn2 = nn.BatchNorm1d(channels), nn.BatchNorm1d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.bn2(self.conv1(F.relu(self.bn1(x))))))


class Blur(nn.Module):
    """A depthwise convolution with a fixed kernel and a stride."""

    kernel: Tensor

    def __init__(self, channels: int, factor: int, order: int) -> None:
        super().__init__()
        blur = np.ones(1)
        for _ in range(order + 1):
            blur = np.convolve(blur, np.ones(factor) / factor)
        self.register_buffer("kernel", torch.tensor(blur, dtype=torch.float32).repeat(channels, 1, 1))
        self.factor, self.padding = factor, order * (factor - 1) // 2

    def forward(self, x: Tensor) -> Tensor:
        return F.conv1d(x, self.kernel, stride=self.factor, padding=self.padding, groups=x.shape[1])


class PlainNetwork(nn.Module):
    """The network with a two-way head a task."""

    def __init__(self, preset: str, width: float) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for published, blocks, factor, order in STAGES[preset]:
            channels = max(8, 8 * round(published * width / 8))
            layers += [conv(before, channels), *(Block(channels) for _ in range(blocks))]
            layers += [nn.BatchNorm1d(channels), nn.ReLU(), Blur(channels, factor, order)]
            before = channels
        self.features = nn.Sequential(*layers)
        self.heads = nn.ModuleList(nn.Linear(before, 2) for _ in range(TASKS))

    def forward(self, x: Tensor) -> list[Tensor]:
        features = self.features(x).flatten(1)
        return [head(features) for head in self.heads]


def conv(before: int, after: int) -> nn.Conv1d:
    """Kernel 5, circular padding, no bias."""
    return nn.Conv1d(before, after, 5, padding=2, padding_mode="circular", bias=False)


class Views(Dataset[tuple[NDArray[np.float32], NDArray[np.int64]]]):
    """Windows (N, 3, ticks) float32 in g in memory; each access makes a new view of a window, with its labels."""

    def __init__(self, x_NCT: NDArray[np.float32]) -> None:
        self.x_NCT = x_NCT
        self.rng: np.random.Generator | None = None

    def __len__(self) -> int:
        return len(self.x_NCT)

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        if self.rng is None:
            self.rng = np.random.default_rng(torch.initial_seed() % 2**32)
        return view(self.x_NCT[index], self.rng, 0.0, True)


def steps(
    x_NCT: NDArray[np.float32],
    preset: str,
    width: float,
    batch: int,
    precision: str,
    workers: int,
    compiled: bool,
    device: torch.device,
) -> Iterator[int]:
    """Train endlessly, one step for each item; yields the number of windows of the step."""
    torch.manual_seed(0)
    network: nn.Module = PlainNetwork(preset, width).to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4 * batch / 512, amsgrad=True)
    if compiled:
        network = torch.compile(network)  # type: ignore[assignment]
    gpu = device.type == "cuda"
    loader = DataLoader(
        Views(x_NCT), batch, shuffle=True, num_workers=workers, drop_last=True, pin_memory=gpu, persistent_workers=True
    )
    while True:
        for x, y in loader:
            x, y = x.to(device, non_blocking=gpu), y.to(device, non_blocking=gpu)
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
                losses = [F.cross_entropy(out.float(), y[:, task]) for task, out in enumerate(network(x))]
                loss = sum(losses[1:], start=losses[0]) / TASKS
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()
            yield len(x)
