"""Validation on held-out participants, beside controls: windows that hold no movement."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from train.distributed.processes import Processes
from train.objectives import Objective
from train.random import WindowRandom
from train.tracking.log import summarise
from train.transforms.controls import noise_only, phase_randomised
from train.windows.pool import Windows

Change = Callable[[Tensor, WindowRandom], Tensor]

CONTROLS: dict[str, Change] = {"noise": noise_only, "phase": phase_randomised}
BATCH = 512


def windows_in_g(windows: Windows, seed: int, counts_per_g: float, device: torch.device) -> tuple[Tensor, WindowRandom]:
    """Return windows as float32 in g on the device, and their random numbers.

    Shape (batch, 3, ticks), or (batch, device, 3, ticks) if they have companions.
    """
    moved = windows.to(device)
    random = WindowRandom.of(seed, moved.lane_B, moved.round_B, moved.slot_B, moved.start_B)
    counts = moved.signal_BDCT if moved.companion_BK2.shape[1] else moved.signal_BCT
    return counts.float() / counts_per_g, random


def changed(change: Change, x: Tensor, random: WindowRandom) -> Tensor:
    """Change windows of the shape that `windows_in_g` returns; companions get random numbers of their own."""
    if x.dim() == 3:
        return change(x, random)
    return torch.stack([change(x_BCT, random.of_view(number)) for number, x_BCT in enumerate(x.unbind(1))], 1)


def validate(
    model: nn.Module,
    objective: Objective,
    windows: Windows,
    changes: dict[str, Change],
    seed: int,
    counts_per_g: float,
    processes: Processes,
) -> dict[str, Any]:
    """Return loss and accuracies over the windows of all processes (`log.summarise`), for each change by name.

    The model uses its running statistics and is left in training mode. All processes have to call this.
    """
    model.eval()
    result = {
        name: _sums(model, objective, windows, change, seed, counts_per_g, processes)
        for name, change in changes.items()
    }
    model.train()
    return {name: summarise(sums) for name, sums in result.items()}


def whole_days(slot_B: Tensor, max_windows: int) -> Iterator[slice]:
    """Cut windows, ordered by day, into batches of whole days, each with as many days as fit.

    A window is then compared with the same others at any world size, however days are shared out. A day with more than
    `max_windows` is a batch of its own.
    """
    ends = [*(torch.nonzero(slot_B.diff())[:, 0] + 1).tolist(), len(slot_B)]
    start = 0
    for end, following in zip(ends, [*ends[1:], math.inf], strict=True):
        if following - start > max_windows and end > start:
            yield slice(start, end)
            start = end


@torch.no_grad()
def _sums(
    model: nn.Module,
    objective: Objective,
    windows: Windows,
    change: Change,
    seed: int,
    counts_per_g: float,
    processes: Processes,
) -> dict[str, float]:
    total: dict[str, Tensor] = {}
    for batch in whole_days(windows.slot_B, BATCH):
        piece = windows.take(batch)
        x, random = windows_in_g(piece, seed, counts_per_g, processes.device)
        views, targets = objective.views(changed(change, x, random), random)
        targets = objective.with_vectors(targets, piece.vector_BF.to(processes.device))
        for name, value in objective.score(model(views), targets).items():
            total[name] = total[name] + value if name in total else value
    return processes.sum(total)
