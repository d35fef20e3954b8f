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

from pipeline.storage.folder import Folder
from pipeline.store.day_reader import DayReader, StoredDay
from pipeline.store.store import Store
from train.windows.companions.kind import Companions, bind
from train.windows.companions.nearby import Nearby
from train.windows.companions.other_day import OtherDay
from train.windows.lanes import per_step
from train.windows.settings import DataSettings
from train.windows.stream import Stream

from ..command import ROOT, module
from .clock import BATCH, pin, rate
from .material import Material


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
    """One of `KINDS`."""


KINDS: dict[str, Companions | None] = {"none": None, "nearby": Nearby(30), "other_day": OtherDay()}


class CountingReader:
    """A DayReader that counts the windows drawn from the days it opens."""

    def __init__(self, days: DayReader, quotas: dict[int, int]) -> None:
        self.days, self.quotas, self.drawn = days, quotas, 0

    def open_day(self, slot: int) -> StoredDay:
        """Open a day and count its quota."""
        self.drawn += self.quotas[slot]
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
    made, kind = Material(Path(setting.folder)), KINDS[setting.companion]
    plan = made.plan(data, setting.linked, people_share_pools=setting.companion == "other_day")
    bound = bind(kind, plan.members, Store.open(made.about["store"]), data, {})
    quotas = dict(zip(plan.members.slots.tolist(), plan.quotas.tolist(), strict=True))
    days = CountingReader(DayReader(Folder(setting.objects)), quotas)
    share = per_step(BATCH, len(plan.lanes), 1)
    with Stream(days, plan.lanes, share, setting.seconds, threads=setting.threads, chooser=bound.chooser) as stream:

        def batches() -> Iterator[Tensor]:
            return (windows.signal_BCT for windows in stream)

        found = rate(batches, setting.warm_s, setting.run_s, lambda: days.drawn)
    print(json.dumps(found | {"lanes": len(plan.lanes)}))


if __name__ == "__main__":
    main()
