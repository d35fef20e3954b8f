"""Distillation over several processes, compared with one that has the whole batch: loss, gradients and the queue."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from tests.train.plain import randoms
from train.objectives.distil import Distil, DistilSettings

WINDOWS, FEATURES, TEACHER, QUEUE = 4, 16, 7, 25
"""Windows of each process, features of student and teacher, and rows of the queue, which three steps fill up."""

Step = tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]


def made(dtype: torch.dtype) -> Distil:
    """An objective with a projection and an empty queue, always the same."""
    torch.manual_seed(3)
    objective = Distil(DistilSettings(table="none", queue=QUEUE))
    vars(objective.companions)["table"] = SimpleNamespace(features=TEACHER)
    objective.heads(FEATURES)["student"].to(dtype)
    return objective


def steps(objective: Distil, count: int, own: slice, dtype: torch.dtype) -> list[Step]:
    """Loss, figures and gradients of three steps in a row, on a slice of a batch of `count` windows."""
    taken = []
    for number in range(3):
        generator = torch.Generator().manual_seed(number)
        features_BF = torch.randn(count, FEATURES, dtype=dtype, generator=generator)[own].requires_grad_()
        vector_BF = torch.randn(count, TEACHER, generator=generator)
        views, places = objective.views(torch.zeros(count, 3, 300), randoms(count, number))
        assert len(views) == count
        objective.student.zero_grad()
        targets = objective.with_vectors(places, vector_BF)[own]
        loss, figures = objective.loss({"student": objective.student(features_BF)}, targets)
        loss.backward()
        assert features_BF.grad is not None
        gradients = {
            name: each.grad.clone() for name, each in objective.student.named_parameters() if each.grad is not None
        }
        taken.append((loss.detach(), figures, {**gradients, "features": features_BF.grad}))
    return taken


def whole(world: int, dtype: torch.dtype) -> tuple[list[Step], Tensor]:
    """Take the steps in one process, before the processes know each other; returns the queue, too."""
    objective = made(dtype)
    return steps(objective, WINDOWS * world, slice(None), dtype), objective.student.queue


def check(alone: tuple[list[Step], Tensor], dtype: torch.dtype, close: float) -> None:
    """Check that the processes together have the losses and gradients of one, and each the same queue to the bit."""
    world, rank = dist.get_world_size(), dist.get_rank()
    objective = made(dtype)
    own = slice(rank * WINDOWS, (rank + 1) * WINDOWS)
    tolerance: dict[str, Any] = {"rtol": 10 * close, "atol": 5 * close}
    for mine, expected in zip(steps(objective, WINDOWS * world, own, dtype), alone[0], strict=True):
        for name, gradient in mine[2].items():
            if name == "features":
                torch.testing.assert_close(gradient / world, expected[2][name][own], **tolerance)
            else:
                dist.all_reduce(gradient)
                torch.testing.assert_close(gradient / world, expected[2][name], **tolerance)
        totals = torch.stack([mine[0].double() / world, *mine[1].values()])
        dist.all_reduce(totals)
        torch.testing.assert_close(totals, torch.stack([expected[0].double(), *expected[1].values()]), **tolerance)
    assert torch.equal(objective.student.queue, alone[1])
    assert objective.student.queued == 3 * WINDOWS * world
