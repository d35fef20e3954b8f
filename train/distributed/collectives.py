"""Collectives inside a step, with gradients.

Each process has a loss of its own, and training minimises their sum. So the gradient of gathered rows is the sum over
all processes. (The engines then take the mean over processes, as for every gradient.) In a single process, or outside
a run, each function returns its input.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """Number of processes of the run."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Rank of this process."""
    return dist.get_rank() if dist.is_initialized() else 0


def gather(x: Tensor) -> Tensor:
    """Concatenate the rows of all processes by rank; every process must have the same number of rows."""
    return x if world_size() == 1 else _Gather.apply(x)


def sum_over_processes(x: Tensor) -> Tensor:
    """Sum tensors over all processes, without a gradient."""
    if world_size() > 1:
        x = x.clone()
        dist.all_reduce(x)
    return x


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(world_size())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return sum_over_processes(gradient.contiguous()).chunk(world_size())[rank()]
