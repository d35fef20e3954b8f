"""The speed of our stream with one setting, measured in its own process.

measured(setting, environment)          called by the benchmark; it runs:
python -m bench.stream.ours JSON        takes the setting, prints the measurement
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor

from pipeline.grid import SECONDS_PER_DAY
from pipeline.storage.folder import Folder
from pipeline.store.alignments import Alignment
from pipeline.store.day_reader import DayReader, StoredDay
from pipeline.store.store import Store
from train.windows.companions.kind import Companions, bind
from train.windows.companions.nearby import Nearby
from train.windows.companions.other_day import OtherDay
from train.windows.companions.same_time import SameTimeChooser
from train.windows.lanes import per_step
from train.windows.members import Members
from train.windows.plan import make_plan
from train.windows.settings import DataSettings
from train.windows.stream import Stream

from ..command import ROOT, module
from .clock import BATCH, pin, rate
from .material import SEED, Material


@dataclass(frozen=True)
class Setting:
    """Settings of the stream, and of its measurement."""

    folder: str
    """The folder of the data (bench/stream/material.py)."""
    objects: str
    """The URL of the store that holds the days."""
    cores: tuple[int, ...]
    warm_s: float
    run_s: float
    linked: bool = False
    seconds: int = 10
    windows_per_day: int | None = None
    lanes: int = 64
    threads: int = 1
    companion: str = "none"
    """One of `KINDS`, or `SAME_TIME`, which needs linked days."""


KINDS: dict[str, Companions | None] = {"none": None, "nearby": Nearby(30), "other_day": OtherDay()}
SAME_TIME = "same_time"
"""A further companion: a linked copy of the anchor's day takes the place of another device's."""
OFFSET_TICKS = 47.0


def same_time(members: Members, days: int) -> tuple[Members, SameTimeChooser]:
    """Keep the first half of the linked slots, and align each with a copy of its day in the second half.

    `days`: the number of different days; slots that differ by a multiple of it are copies.
    """
    away = -(-members.slots.size // 2 // days) * days
    kept = members.where(members.slots < members.slots.size - away)
    rows = {
        slot: (Alignment(slot, slot + away, 0, SECONDS_PER_DAY, OFFSET_TICKS, 0.0, 1.0, "made", 0, 0, 0),)
        for slot in kept.slots.tolist()
    }
    return kept, SameTimeChooser(1, rows)


class CountingReader:
    """A DayReader that counts the windows drawn from the days it opens."""

    def __init__(self, days: DayReader, quotas: dict[int, int]) -> None:
        self.days, self.quotas, self.drawn = days, quotas, 0

    def open_day(self, slot: int) -> StoredDay:
        """Open a day and count its quota."""
        self.drawn += self.quotas.get(slot, 0)  # none are drawn from days that only companions come from
        return self.days.open_day(slot)


def measured(setting: Setting, environment: dict[str, str] | None = None) -> dict[str, float]:
    """Measure the speed with a setting; `environment` has endpoint and credentials of an S3 server."""
    command = module("bench.stream.ours", json.dumps(asdict(setting)))
    done = subprocess.run(command, cwd=ROOT, env=os.environ | (environment or {}), stdout=subprocess.PIPE, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    setting = Setting(**json.loads(sys.argv[1]))
    pin(setting.cores)
    data = DataSettings(setting.seconds, setting.windows_per_day, setting.lanes)
    made, kind = Material(Path(setting.folder)), KINDS.get(setting.companion)
    plan = made.plan(data, setting.linked, people_share_pools=setting.companion == "other_day")
    chooser = bind(kind, plan.members, Store.open(made.about["store"]), data, {}).chooser
    if setting.companion == SAME_TIME:
        members, chooser = same_time(plan.members, len(made.about["slots"]))
        plan = make_plan(members, (), data, SEED)
    quotas = dict(zip(plan.members.slots.tolist(), plan.quotas.tolist(), strict=True))
    days = CountingReader(DayReader(Folder(setting.objects)), quotas)
    share = per_step(BATCH, len(plan.lanes), 1)
    with Stream(days, plan.lanes, share, setting.seconds, threads=setting.threads, chooser=chooser) as stream:

        def batches() -> Iterator[Tensor]:
            return (windows.signal_BCT for windows in stream)

        found = rate(batches, setting.warm_s, setting.run_s, lambda: days.drawn)
    print(json.dumps(found | {"lanes": len(plan.lanes), "companions": chooser.count}))


if __name__ == "__main__":
    main()
