"""The processes of a run: who am I, on which device, and what do all of us agree on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NoReturn, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._C._distributed_c10d import HashStore, PrefixStore
from torch.distributed.rendezvous import rendezvous

from pipeline.errors import UserError

T = TypeVar("T")

SLACK_S = 120.0
"""Longer than a step may take a process waits for others: that one of them stands still is said by the watchdog."""
FRESH_STORE = "TORCH_DISABLE_SHARE_RDZV_TCP_STORE"
CAN_HANG = (
    f"{FRESH_STORE}=1 is not set where torchrun was started: processes that it starts again, after one died, may meet "
    "at the store of the dead and hang. Set it on every machine (infra/torch does)."
)


class Processes:
    """One process alone, or one of those that torchrun started (RANK, WORLD_SIZE, LOCAL_RANK in the environment)."""

    def __init__(self, threads: int | None, timeout_s: float = 1800.0) -> None:
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
        self._asked: tuple[Tensor, dist.Work | None] | None = None
        self._backend = "cpu:gloo,cuda:nccl" if cuda else "gloo"
        if self.world_size > 1:
            _join(self._backend, timeout_s + SLACK_S)

    @property
    def first(self) -> bool:
        """Whether this process speaks, logs and saves."""
        return self.rank == 0

    @property
    def by_torchrun(self) -> bool:
        """Whether torchrun started this process, and would start it again if it left with anything but 0."""
        return dist.is_torchelastic_launched()

    @property
    def restarted(self) -> bool:
        """Whether torchrun started this process in place of one that died: what it was told worked before."""
        return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0

    def join_alone(self) -> None:
        """A group of this one process, for what wants a group in any case; nothing where there is one."""
        if not dist.is_initialized():
            dist.init_process_group(self._backend, store=HashStore(), rank=0, world_size=1)

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

    def any_a_call_ago(self, value: int) -> int:
        """The largest of all processes' values of the call before this one (0 at the first): nobody waits for it."""
        answer = 0
        if self._asked is not None:
            largest, work = self._asked
            if work is not None:
                work.wait()
            answer = int(largest)
        largest = torch.tensor(value)
        work = dist.all_reduce(largest, dist.ReduceOp.MAX, async_op=True) if self.world_size > 1 else None
        self._asked = largest, work
        return answer

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
        statistics = [b for name, b in model.named_buffers() if name.endswith(("running_mean", "running_var"))]
        if self.world_size == 1 or not statistics:
            return
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


def _join(backend: str, timeout_s: float) -> None:
    """Meet the other processes.

    torchrun on one machine keeps one store for all its attempts, in which a process that was started again would find
    what its dead predecessors wrote: each attempt gets a part of its own. (Machines may count attempts differently;
    torchrun has to be told to make a new store for each: `CAN_HANG`.)
    """
    timeout = timedelta(seconds=timeout_s)
    store, rank, world_size = next(rendezvous("env://", timeout=timeout))
    if os.environ.get("GROUP_WORLD_SIZE") == "1":
        store = PrefixStore(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"), store)
    dist.init_process_group(backend, store=store, rank=rank, world_size=world_size, timeout=timeout)


def hang_warning() -> str:
    """What to say of a torchrun of several machines that would hang when it starts processes again; "" of others."""
    several = os.environ.get("GROUP_WORLD_SIZE", "1") != "1"
    would_restart = os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0") != "0"
    return CAN_HANG if several and would_restart and os.environ.get(FRESH_STORE) != "1" else ""
