"""What the steps since the last look at them amount to. Looking is what waits for the device; steps do not."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from train.distributed.processes import Processes
from train.loop.step import Step

MASK_64 = (1 << 64) - 1


@dataclass(frozen=True)
class Stretch:
    """Some steps of all processes together."""

    steps: int
    seconds: float
    figures: dict[str, float]
    """Sums, as the objective gives them."""
    norm: float
    """The gradient's in the last step."""
    waited_s: float
    """For data, by the process that waited longest."""
    digest: int
    """Sum of the steps' digests, modulo 2**64."""
    broken: Broken | None


@dataclass(frozen=True)
class Broken:
    """The first step whose loss or gradient is not finite."""

    step: int
    loss: float
    norm: float
    norm_before: float | None
    """The gradient's in the step before, where it is known."""
    processes: list[int]
    """On which the loss was not finite: all, where the weights were the reason."""
    slots: list[int]
    """That their windows, or all windows if none is to blame, come from."""


class Meter:
    """Gathers steps; `look` gives their sum and begins a new stretch."""

    def __init__(self) -> None:
        self._norm_before: float | None = None
        self.begin()

    def begin(self) -> None:
        """Begin a new stretch."""
        self._steps: list[Step] = []
        self._began = time.perf_counter()

    def add(self, step: Step) -> None:
        """Keep what a step left behind."""
        self._steps.append(step)

    def look(self, processes: Processes) -> Stretch:
        """The stretch so far, of all processes, which look together."""
        steps = self._steps
        names = sorted(steps[0].figures)
        own = torch.stack([torch.stack([step.figures[name] for name in names]) for step in steps]).cpu()
        losses = (own[:, names.index("loss_sum")] / own[:, names.index("count")]).tolist()
        norms = [float(step.norm) for step in steps]
        drawn = sum(int(digest(step.place_B4)) * (2 * step.number + 1) for step in steps) & MASK_64
        mine = (own.sum(0).tolist(), sum(step.waited_s for step in steps), drawn, losses)
        everyone = processes.all(mine)
        sums = [math.fsum(each) for each in zip(*(each[0] for each in everyone), strict=True)]
        broken = self._broken([each[3] for each in everyone], norms, processes)
        stretch = Stretch(
            steps=len(steps),
            seconds=time.perf_counter() - self._began,
            figures=dict(zip(names, sums, strict=True)),
            norm=norms[-1],
            waited_s=max(each[1] for each in everyone),
            digest=sum(each[2] for each in everyone) & MASK_64,
            broken=broken,
        )
        self._norm_before = norms[-1]
        self.begin()
        return stretch

    def _broken(self, losses: list[list[float]], norms: list[float], processes: Processes) -> Broken | None:
        """`losses`: of each process, of each step."""
        for index, step in enumerate(self._steps):
            to_blame = [rank for rank, each in enumerate(losses) if not math.isfinite(each[index])]
            if to_blame or not math.isfinite(norms[index]):
                blamed = to_blame or range(processes.world_size)
                own = step.place_B4[:, 2].unique().tolist() if processes.rank in blamed else []
                return Broken(
                    step=step.number,
                    loss=math.fsum(each[index] for each in losses) / len(losses),
                    norm=norms[index],
                    norm_before=norms[index - 1] if index else self._norm_before,
                    processes=to_blame,
                    slots=sorted({slot for slots in processes.all(own) for slot in slots}),
                )
        return None


def digest(place_B4: Tensor) -> Tensor:
    """64 bits (int64) of a set of windows, by lane, round, slot and start second, in whatever order.

    Digests of parts add up to that of the whole: the sum does not depend on how windows are shared out. Each
    window's own bits are those places mixed by multiplications (after Steele et al. 2014, doi:10.1145/2660193.2660195).
    """
    odd = torch.tensor(ODD, device=place_B4.device)
    mixed = (place_B4 * odd).sum(1)
    for shift, factor in ((30, ODD[0]), (27, ODD[1])):
        mixed = (mixed ^ (mixed >> shift)) * factor
    return (mixed ^ (mixed >> 31)).sum()


ODD = (-0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15, -0x61C8864680B583EB, 0x2545F4914F6CDD1D)
"""Odd 64-bit numbers, as int64."""


def hex_of(digest_: int) -> str:
    """A digest as it is written down."""
    return f"{digest_:016x}"
