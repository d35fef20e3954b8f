"""The processes of a run: who am I, on which device, and what do all of us agree on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from pipeline.errors import UserError

T = TypeVar("T")


class Processes:
    """One process alone, or one of those that torchrun started (RANK, WORLD_SIZE, LOCAL_RANK in the environment)."""

    def __init__(self, threads: int | None) -> None:
        self.rank = int(os.environ.get("RANK", "0"))
        self.world_size = int(os.environ.get("WORLD_SIZE", "1"))
        local_rank = int(os.environ.get("LOCAL_RANK", "0"))
        here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        torch.set_num_threads(threads or max(1, len(os.sched_getaffinity(0)) // here))
        cuda = torch.cuda.is_available()
        if cuda and local_rank >= torch.cuda.device_count():
            raise UserError(
                f"{here} processes on a machine with {torch.cuda.device_count()} GPUs: start one process a GPU "
                '(--nproc-per-node), or train on the CPU with CUDA_VISIBLE_DEVICES="".'
            )
        self.device = torch.device("cuda", local_rank) if cuda else torch.device("cpu")
        if cuda:
            torch.cuda.set_device(self.device)
        if self.world_size > 1:
            dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo")

    @property
    def first(self) -> bool:
        """Whether this process speaks, logs and saves."""
        return self.rank == 0

    def all(self, value: T) -> list[T]:
        """Every process's value, in the order of the ranks."""
        values = [value] * self.world_size
        if self.world_size > 1:
            dist.all_gather_object(values, value)
        return values

    def sum(self, figures: dict[str, Tensor]) -> dict[str, float]:
        """The sums over all processes of scalar figures; a process may lack some."""
        total: dict[str, float] = {}
        for part in self.all({name: float(value) for name, value in figures.items()}):
            for name, value in part.items():
                total[name] = total.get(name, 0.0) + value
        return total

    def any(self, value: int) -> int:
        """The largest of all processes' values."""
        if self.world_size == 1:
            return value
        largest = torch.tensor(value)
        dist.all_reduce(largest, dist.ReduceOp.MAX)
        return int(largest)

    def from_first(self, make: Callable[[], T]) -> T:
        """What `make` gives on the first process; a UserError of it is raised on all."""
        box: list[Any] = [None, ""]
        if self.first:
            try:
                box[0] = make()
            except UserError as raised:
                box[1] = str(raised)
        if self.world_size > 1:
            dist.broadcast_object_list(box, src=0)
        if box[1]:
            raise UserError(box[1])
        return cast(T, box[0])

    @contextmanager
    def together(self) -> Iterator[None]:
        """A stretch that all processes get through, or none: a UserError in any ends all, told once.

        What is common to all (`sum`, `any`, `from_first`) may stand at its beginning only: a process that has
        failed does not take part in it any more.
        """
        error = ""
        try:
            yield
        except UserError as raised:
            error = str(raised)
        told = next((text for text in self.all(error) if text), "")
        if told:
            self.fail(told)

    def fail(self, message: str) -> NoReturn:
        """End all processes with a UserError that all have found: the first one tells it."""
        if self.first:
            raise UserError(message)
        raise SystemExit(1)

    def average_batch_norm(self, model: nn.Module) -> None:
        """Give every process the mean of all processes' running statistics, in one exchange.

        Done after every step: statistics are then the same everywhere at any time, whenever one looks or saves.
        """
        if self.world_size == 1:
            return
        statistics = [b for name, b in model.named_buffers() if name.endswith(("running_mean", "running_var"))]
        together = torch.cat([buffer.flatten() for buffer in statistics])
        dist.all_reduce(together)
        together /= self.world_size
        parts = together.split([buffer.numel() for buffer in statistics])
        for buffer, part in zip(statistics, parts, strict=True):
            buffer.copy_(part.view_as(buffer))

    def close(self) -> None:
        """Leave the group."""
        if dist.is_initialized():
            dist.destroy_process_group()
