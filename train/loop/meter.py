"""Sums over the steps since the last reading. A reading waits for the device; steps do not."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from train.distributed.processes import Processes
from train.loop.step import StepResult

MASK_64 = (1 << 64) - 1


@dataclass(frozen=True)
class Reading:
    """Some consecutive steps of all processes."""

    steps: int
    seconds: float
    figures: dict[str, float]
    """Sums of the objective's figures."""
    norm: float
    """Gradient norm of the last step."""
    waited_s: float
    """Time that the slowest process waited for data."""
    digest: int
    """Sum of the steps' digests, modulo 2**64."""
    non_finite: NonFinite | None


@dataclass(frozen=True)
class NonFinite:
    """The first step whose loss or gradient is not finite."""

    step: int
    loss: float
    norm: float
    norm_before: float | None
    """Gradient norm of the step before, if known."""
    processes: list[int]
    """Ranks whose loss was not finite; all of them if the weights were the cause."""
    slots: list[int]
    """Slots of the windows of these processes, or of all processes if no loss was to blame."""


class Meter:
    """Collects steps until the next reading."""

    def __init__(self) -> None:
        self._norm_before: float | None = None
        self.restart()

    def restart(self) -> None:
        """Drop the steps so far, and restart the clock."""
        self._steps: list[StepResult] = []
        self._started = time.perf_counter()

    def add(self, step: StepResult) -> None:
        """Add a step."""
        self._steps.append(step)

    def read(self, processes: Processes) -> Reading:
        """Sum the steps of all processes since the last reading, and restart. All processes have to call this."""
        steps = self._steps
        names = sorted(steps[0].figures)
        own = torch.stack([torch.stack([step.figures[name] for name in names]) for step in steps]).cpu()
        losses = (own[:, names.index("loss_sum")] / own[:, names.index("count")]).tolist()
        norms = [float(step.norm) for step in steps]
        own_digest = sum(int(digest(step.place_BP)) * (2 * step.number + 1) for step in steps) & MASK_64
        own_values = (own.sum(0).tolist(), sum(step.waited_s for step in steps), own_digest, losses)
        sums, waits, digests, losses_of_all = zip(*processes.all(own_values), strict=True)
        totals = [math.fsum(each) for each in zip(*sums, strict=True)]
        reading = Reading(
            steps=len(steps),
            seconds=time.perf_counter() - self._started,
            figures=dict(zip(names, totals, strict=True)),
            norm=norms[-1],
            waited_s=max(waits),
            digest=sum(digests) & MASK_64,
            non_finite=self._find_non_finite(losses_of_all, norms, processes),
        )
        self._norm_before = norms[-1]
        self.restart()
        return reading

    def _find_non_finite(
        self, losses: tuple[list[float], ...], norms: list[float], processes: Processes
    ) -> NonFinite | None:
        """Find the first bad step; `losses` holds a list for each process."""
        for index, step in enumerate(self._steps):
            bad_ranks = [rank for rank, each in enumerate(losses) if not math.isfinite(each[index])]
            if bad_ranks or not math.isfinite(norms[index]):
                to_blame = bad_ranks or range(processes.world_size)
                own_slots = step.place_BP[:, 2].unique().tolist() if processes.rank in to_blame else []
                return NonFinite(
                    step=step.number,
                    loss=math.fsum(each[index] for each in losses) / len(losses),
                    norm=norms[index],
                    norm_before=norms[index - 1] if index else self._norm_before,
                    processes=bad_ranks,
                    slots=sorted({slot for slots in processes.all(own_slots) for slot in slots}),
                )
        return None


ODD = (-0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15, -0x61C8864680B583EB, 0x2545F4914F6CDD1D)
"""Odd 64-bit numbers, as int64."""


def digest(place_BP: Tensor) -> Tensor:
    """Return 64 bits (int64) that identify a set of windows by where they come from, in any order.

    Digests of parts add up to the digest of the whole, however windows are shared out. The bits of one window are its
    numbers (`Windows.place_BP`) mixed by multiplications (after Steele et al. 2014, doi:10.1145/2660193.2660195).
    """
    powers = torch.arange(place_BP.shape[1]) // len(ODD)
    odd = torch.tensor(ODD).repeat(int(powers[-1]) + 1)[: len(powers)] ** (2 * powers + 1)
    mixed = (place_BP * odd.to(place_BP.device)).sum(1)
    for shift, factor in ((30, ODD[0]), (27, ODD[1])):
        mixed = (mixed ^ (mixed >> shift)) * factor
    return (mixed ^ (mixed >> 31)).sum()


def digest_text(digest_: int) -> str:
    """A digest as logs and checkpoints have it: 16 hex digits."""
    return f"{digest_:016x}"
