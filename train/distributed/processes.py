"""The processes of a run: rank, world size and device of this one, and what all exchange between steps."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import HashStore, PrefixStore
from torch.distributed.rendezvous import rendezvous

from pipeline.errors import UserError
from train.distributed.process_exit import leave_at_once

T = TypeVar("T")

SLACK_S = 120.0
"""Added to the time that a step may take, so that the watchdog of a hanging process ends it before others give up."""
FRESH_STORE = "TORCH_DISABLE_SHARE_RDZV_TCP_STORE"
CAN_HANG = (
    f"{FRESH_STORE}=1 is not set in torchrun's environment: processes that it restarts after a failure may connect to "
    "the old rendezvous store and hang. Set it on every machine, as infra/torch does."
)


class Processes:
    """A single process, or one started by torchrun (RANK, WORLD_SIZE and LOCAL_RANK in the environment)."""

    def __init__(self, threads: int | None, timeout_s: float = 1800.0) -> None:
        self.rank = int(os.environ.get("RANK", "0"))
        self.world_size = int(os.environ.get("WORLD_SIZE", "1"))
        local_rank = int(os.environ.get("LOCAL_RANK", "0"))
        local_count = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        torch.set_num_threads(threads or max(1, len(os.sched_getaffinity(0)) // local_count))
        require_usable_gpu()
        cuda = torch.cuda.is_available()
        if cuda and local_rank >= torch.cuda.device_count():
            raise UserError(
                f"{local_count} processes on a machine with {torch.cuda.device_count()} GPUs: start one process per "
                "GPU "
                '(--nproc-per-node), or train on the CPU with CUDA_VISIBLE_DEVICES="".'
            )
        self.device = torch.device("cuda", local_rank) if cuda else torch.device("cpu")
        if cuda:
            torch.cuda.set_device(self.device)
        self._pending: tuple[Tensor, dist.Work | None] | None = None
        self._end_together = False
        self._backend = "cpu:gloo,cuda:nccl" if cuda else "gloo"
        if self.world_size > 1:
            _join(self._backend, timeout_s + SLACK_S)

    @property
    def first(self) -> bool:
        """Whether this process prints, logs and saves."""
        return self.rank == 0

    @property
    def by_torchrun(self) -> bool:
        """Whether torchrun started this process, and would restart it after any exit status but 0."""
        return dist.is_torchelastic_launched()

    @property
    def restarted(self) -> bool:
        """Whether torchrun started this process to replace one that died."""
        return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0

    def join_alone(self) -> None:
        """Make a process group of this one process, for libraries that need a group; does nothing if there is one."""
        if not dist.is_initialized():
            dist.init_process_group(self._backend, store=HashStore(), rank=0, world_size=1)

    def all(self, value: T) -> list[T]:
        """Return the values of all processes by rank. All processes have to call this."""
        values = [value] * self.world_size
        if self.world_size > 1:
            dist.all_gather_object(values, value)
        return values

    def sum(self, figures: dict[str, Tensor]) -> dict[str, float]:
        """Sum scalar figures by name over all processes; a process may lack some. All processes have to call this."""
        total: dict[str, float] = {}
        for part in self.all({name: float(value) for name, value in figures.items()}):
            for name, value in part.items():
                total[name] = total.get(name, 0.0) + value
        return total

    def previous_max(self, value: int) -> int:
        """Return the largest value that any process passed to the previous call (0 at the first call).

        One call later, the exchange has finished in the background, so no process waits for another. All processes
        have to call this.
        """
        previous = 0
        if self._pending is not None:
            largest, work = self._pending
            if work is not None:
                work.wait()
            previous = int(largest)
        largest = torch.tensor(value)
        work = dist.all_reduce(largest, dist.ReduceOp.MAX, async_op=True) if self.world_size > 1 else None
        self._pending = largest, work
        return previous

    def from_first(self, make: Callable[[], T]) -> T:
        """Return on all processes what `make` returns on the first; its UserError is raised on all, too."""
        return from_first(make, self.rank, self.world_size)

    @contextmanager
    def all_or_none(self) -> Iterator[None]:
        """Run a block that all processes complete, or none: a UserError in one ends all, and is printed once.

        Collectives (`all`, `sum`, `from_first`) belong at the beginning of the block, because a process that has
        failed takes part in none.
        """
        error = ""
        try:
            yield
        except UserError as raised:
            error = str(raised)
        first_error = next((text for text in self.all(error) if text), "")
        if first_error:
            self.fail(first_error)

    def fail(self, message: str) -> NoReturn:
        """End this process for a reason that all processes know; only the first one reports it."""
        self._end_together = True
        if self.first:
            raise UserError(message)
        raise SystemExit(1)

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor, one-dimensional and of one type, by its mean over all processes, in one exchange."""
        if self.world_size == 1 or not tensors:
            return
        flat = torch.cat(list(tensors))
        dist.all_reduce(flat)
        flat /= self.world_size
        torch._foreach_copy_(list(tensors), list(flat.split([len(each) for each in tensors])))

    @contextmanager
    def until_end(self) -> Iterator[None]:
        """Leave the process group at the end of a block.

        On GPUs, an error that other processes do not share ends this process at once, with its message: leaving the
        group would wait for collectives that the others have begun and this process never joins, up to the timeout.
        """
        try:
            yield
        except BaseException as error:
            if self.world_size > 1 and self.device.type == "cuda" and not self._end_together:
                leave_at_once(error)
            raise
        finally:
            self.close()

    def close(self) -> None:
        """Leave the process group."""
        if dist.is_initialized():
            dist.destroy_process_group()


def from_first(make: Callable[[], T], rank: int, world_size: int) -> T:
    """Return on all processes of the process group what `make` returns on the first, or raise its UserError."""
    box: list[Any] = [None, ""]
    if rank == 0:
        try:
            box[0] = make()
        except UserError as raised:
            box[1] = str(raised)
    if world_size > 1:
        dist.broadcast_object_list(box, src=0)
    if box[1]:
        raise UserError(box[1])
    return cast(T, box[0])


def require_usable_gpu(devices: Path = Path("/dev")) -> None:
    """Raise UserError if the machine has an NVIDIA GPU that torch cannot use, unless CUDA was hidden on purpose."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1")
    if hidden or torch.cuda.is_available() or not (devices / "nvidia0").exists():
        return
    built = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
    raise UserError(
        f"this machine has an NVIDIA GPU ({devices / 'nvidia0'}), but torch {torch.__version__}, built {built}, cannot "
        "use it: the driver is too old or not running (see nvidia-smi), or this torch is for CPUs. Update the driver, "
        'or install a torch that fits it. To train on the CPU on purpose, set CUDA_VISIBLE_DEVICES="".'
    )


def _join(backend: str, timeout_s: float) -> None:
    """Join the other processes.

    torchrun on one machine uses the same store for all attempts, and a restarted process would find what processes of
    an earlier attempt wrote there. So each attempt gets its own prefix. On several machines this does not work, because
    they may count attempts differently; there, torchrun needs a variable to make a new store (`CAN_HANG`).
    """
    timeout = timedelta(seconds=timeout_s)
    store, rank, world_size = next(rendezvous("env://", timeout=timeout))
    if os.environ.get("GROUP_WORLD_SIZE") == "1":
        store = PrefixStore(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"), store)
    dist.init_process_group(backend, store=store, rank=rank, world_size=world_size, timeout=timeout)


def hang_warning() -> str:
    """Return a warning if torchrun on several machines might hang when it restarts processes, otherwise ""."""
    several = os.environ.get("GROUP_WORLD_SIZE", "1") != "1"
    would_restart = os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0") != "0"
    return CAN_HANG if several and would_restart and os.environ.get(FRESH_STORE) != "1" else ""
