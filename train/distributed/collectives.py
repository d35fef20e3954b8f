"""What processes of a run work out together inside a step, with its gradient.

A step's loss is each process's own, and what is minimised is their sum: the gradient of what all processes were
given is the sum of what each of them asks for. (The engines then take the mean over processes, as they do with
every gradient.) Alone, or outside a run, each function gives what the one process has.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """The number of processes of the run."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is."""
    return dist.get_rank() if dist.is_initialized() else 0


def gather(x: Tensor) -> Tensor:
    """The rows of all processes, in the order of their ranks; every process has as many."""
    return x if world_size() == 1 else _Gather.apply(x)


def sum_over_processes(x: Tensor) -> Tensor:
    """The sum of all processes' tensors, without a gradient."""
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
