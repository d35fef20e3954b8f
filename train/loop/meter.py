"""Sums over stretches of steps. Neither a step nor, on a GPU, a reading waits for work that was just queued.

At the end of a stretch, its figures start on their way to the host. On a GPU, they are read one stretch later, so that
the queue never drains for them; a CPU has no queue, and reads at once.
"""

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
    """A stretch: some consecutive steps of all processes."""

    last: int
    """Number of the last step."""
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


class Moment:
    """A moment on the clock of the device, when all that has been queued is done; on a CPU, now."""

    def __init__(self, device: torch.device) -> None:
        self._now, self._event = time.perf_counter(), None
        if device.type == "cuda":
            self._event = torch.cuda.Event(enable_timing=True)
            self._event.record(torch.cuda.current_stream(device))

    def wait(self) -> None:
        """Wait until it has come."""
        if self._event is not None:
            self._event.synchronize()

    def since(self, earlier: Moment) -> float:
        """Return the seconds from an earlier moment; both must have come."""
        if self._event is not None and earlier._event is not None:
            return earlier._event.elapsed_time(self._event) / 1000
        return self._now - earlier._now


@dataclass(frozen=True)
class Stretch:
    """Steps whose figures are on their way to the host."""

    steps: list[StepResult]
    figures_SF: Tensor
    """Figures of each step, by name in order."""
    norm_S: Tensor
    started: Moment
    ended: Moment
    """When the figures are on the host."""


class Meter:
    """Collects steps until the next reading."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.late = device, device.type == "cuda"
        self._norm_before: float | None = None
        self._unread: list[Stretch] = []
        self.restart()

    def restart(self) -> None:
        """Drop the steps that have not been read, and restart the clock."""
        self._steps: list[StepResult] = []
        self._unread.clear()
        self._started = Moment(self.device)

    def add(self, step: StepResult) -> None:
        """Add a step."""
        self._steps.append(step)

    def read(self, processes: Processes, now: bool = True) -> list[Reading]:
        """End the stretch, and return what can be read; the stretch itself if `now`, or if `late` is off.

        All processes have to call this.
        """
        self._unread.append(self._end_stretch())
        ready = len(self._unread) - (self.late and not now)
        return [self._read(self._unread.pop(0), processes) for _ in range(ready)]

    def _end_stretch(self) -> Stretch:
        steps, names = self._steps, sorted(self._steps[0].figures)
        figures_SF = torch.stack([step.figures[name] for step in steps for name in names]).view(len(steps), len(names))
        norm_S = torch.stack([step.norm for step in steps])
        figures_SF, norm_S = (each.to("cpu", non_blocking=True) for each in (figures_SF, norm_S))
        stretch = Stretch(steps, figures_SF, norm_S, self._started, Moment(self.device))
        self._steps, self._started = [], stretch.ended
        return stretch

    def _read(self, stretch: Stretch, processes: Processes) -> Reading:
        stretch.ended.wait()
        steps, names, own = stretch.steps, sorted(stretch.steps[0].figures), stretch.figures_SF
        losses = (own[:, names.index("loss_sum")] / own[:, names.index("count")]).tolist()
        norms = stretch.norm_S.tolist()
        own_digest = sum(int(digest(step.place_BP)) * (2 * step.number + 1) for step in steps) & MASK_64
        own_values = (own.sum(0).tolist(), sum(step.waited_s for step in steps), own_digest, losses)
        sums, waits, digests, losses_of_all = zip(*processes.all(own_values), strict=True)
        totals = [math.fsum(each) for each in zip(*sums, strict=True)]
        reading = Reading(
            last=steps[-1].number,
            steps=len(steps),
            seconds=stretch.ended.since(stretch.started),
            figures=dict(zip(names, totals, strict=True)),
            norm=norms[-1],
            waited_s=max(waits),
            digest=sum(digests) & MASK_64,
            non_finite=self._find_non_finite(steps, losses_of_all, norms, processes),
        )
        self._norm_before = norms[-1]
        return reading

    def _find_non_finite(
        self, steps: list[StepResult], losses: tuple[list[float], ...], norms: list[float], processes: Processes
    ) -> NonFinite | None:
        """Find the first bad step; `losses` holds a list for each process."""
        for index, step in enumerate(steps):
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
    mixed = (place_BP * odd).sum(1)
    for shift, factor in ((30, ODD[0]), (27, ODD[1])):
        mixed = (mixed ^ (mixed >> shift)) * factor
    return (mixed ^ (mixed >> 31)).sum()


def digest_text(digest_: int) -> str:
    """A digest as logs and checkpoints have it: 16 hex digits."""
    return f"{digest_:016x}"
