"""A figure of the first ten minutes, and the sizes at which parts run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from train.distributed.processes import Processes
from train.recipe import Recipe, load_recipe

NEEDS_CUDA = "needs CUDA"


@dataclass(frozen=True)
class Figure:
    """Something measured or checked: `status` is ok, fails, "needs CUDA", or "" for what is only measured."""

    name: str
    value: Any
    unit: str = ""
    status: str = ""


@dataclass(frozen=True)
class Sizes:
    """The published network at the batches of one of sixteen GPUs and of a single one; `small` ones for a trial."""

    small: bool
    device: torch.device

    @property
    def cuda(self) -> bool:
        """Whether the figures mean something."""
        return self.device.type == "cuda"

    @property
    def few(self) -> int:
        """Windows of a small batch: 512, as the rates of recipes are for."""
        return 16 if self.small else 512

    @property
    def batches(self) -> tuple[int, ...]:
        """Windows of a batch on one of eight GPUs, and of a whole batch."""
        return (16, 32) if self.small else (768, 6_144)

    def recipe(self, batch: int, *sets: str) -> Recipe:
        """The recipe harnet10 in bfloat16 with this batch; small: a narrow harnet5."""
        network = ("network.preset=harnet5", "network.width=0.0625", "data.seconds=5") if self.small else ()
        shared = ("data.lanes=16" if not self.small else "data.lanes=4", f"run.batch={batch}", "run.precision=bfloat16")
        return load_recipe("harnet10", [*network, *shared, *sets])

    def processes(self) -> Processes:
        """This process, on the device."""
        return Processes(1 if self.small else None)

    def checked(self, name: str, value: Any, good: bool, unit: str = "") -> Figure:
        """A figure that is right or wrong; on a CPU, where it was compared with itself, it only ran."""
        return Figure(name, value, unit, ("ok" if good else "fails") if self.cuda or not good else NEEDS_CUDA)


Part = Callable[[Sizes], Iterator[Figure]]


def seconds_of(call: Callable[[], object], times: int, device: torch.device) -> float:
    """Seconds of a call, the mean of several in a row after three that are not counted."""
    for _ in range(3):
        call()
    wait(device)
    began = time.perf_counter()
    for _ in range(times):
        call()
    wait(device)
    return (time.perf_counter() - began) / times


def wait(device: torch.device) -> None:
    """Wait until a GPU has done what is queued."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
