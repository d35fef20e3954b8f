"""Streams of made days with companions, and what every kind of companions owes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import torch

from pipeline import grid
from tests.train.days import MadeDays
from train.windows.companions.kind import Chooser
from train.windows.lanes import Lane, owned
from train.windows.pool import DaySource, Windows
from train.windows.stream import Stream

SECONDS = 10
PER_STEP = 4


@dataclass(frozen=True)
class Streamed:
    """Days, lanes and the chooser of companions."""

    days: DaySource
    lanes: list[Lane]
    chooser: Chooser

    def batches(self, rank: int, world: int, step: int, steps: int, threads: int = 1) -> list[Windows]:
        """Batches of a rank, beginning at a step."""
        lanes = owned(self.lanes, rank, world)
        with Stream(self.days, lanes, PER_STEP, SECONDS, step, threads, ahead=3, chooser=self.chooser) as stream:
            return [next(stream) for _ in range(steps)]

    def round(self, number: int = 0) -> Windows:
        """All windows of the first lane's round."""
        lane = self.lanes[0]
        steps = lane.begin(number + 1) // PER_STEP + 1
        drawn = Windows.join(Streamed(self.days, [lane], self.chooser).batches(0, 1, 0, steps, 2))
        return drawn.take(drawn.round_B == number)


def as_set(windows: Windows) -> Counter[tuple[int, ...]]:
    """Where anchors and companions come from, in any order."""
    return Counter(tuple(row) for row in windows.place_BP.tolist())


def check_any_world_size(streamed: Streamed, world: int) -> None:
    """Check that all ranks together have the windows of one."""
    alone = streamed.batches(0, 1, 0, 12)
    shared = [streamed.batches(rank, world, 0, 12, 3) for rank in range(world)]
    for step, whole in enumerate(alone):
        assert as_set(Windows.join([batches[step] for batches in shared])) == as_set(whole)


def check_resuming(streamed: Streamed, step: int) -> None:
    """Check that a stream which begins at a step has the bits of one that never stopped."""
    for left, right in zip(streamed.batches(1, 2, 0, step + 3, 2)[step:], streamed.batches(1, 2, step, 3), strict=True):
        for name in Windows.__dataclass_fields__:
            assert torch.equal(getattr(left, name), getattr(right, name)), name


def check_samples(windows: Windows, days: MadeDays) -> None:
    """Check that companions have the samples of their place, and hold eligible seconds only."""
    ticks = windows.companion_BK2[..., 1:] + torch.arange(SECONDS * 30)
    assert (windows.signal_BDCT[:, 1:, 0] == windows.companion_BK2[..., :1]).all()
    assert (windows.signal_BDCT[:, 1:, 1] == ticks // 30 % 30_000).all()
    for slot in windows.companion_BK2[..., 0].unique().tolist():
        day = days.read_day(slot)
        of_day = ticks[windows.companion_BK2[..., 0] == slot]
        assert (day.state_S[(of_day // grid.TICKS_PER_SECOND).numpy()] == 1).all()
        assert (
            windows.signal_BDCT[:, 1:][windows.companion_BK2[..., 0] == slot][:, 2].numpy() == day.signal_CT[2, of_day]
        ).all()
