"""What a store gives to training: windows a second from where it lies, and where the time goes."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from pipeline.progress import Progress
from pipeline.store.day_reader import DayReader, ReadCost
from pipeline.store.store import Store
from train.windows.lanes import owned, per_step
from train.windows.members import held_out, select
from train.windows.plan import make_plan
from train.windows.settings import DataSettings
from train.windows.stream import Stream


@dataclass(frozen=True)
class Measured:
    """A stretch of streaming by one process; seconds of threads are sums over the threads."""

    windows: int
    seconds: float
    bytes: int
    threads: int
    waited_s: float
    """Of the process that takes the batches, for pools that were not yet drawn."""
    read_s: float
    decode_s: float
    coverage: float
    begin_s: float
    """From opening the store to the first batch."""

    @property
    def windows_s(self) -> float:
        """Windows a second."""
        return self.windows / self.seconds

    def text(self, gpu_windows_s: float | None) -> str:
        """A few lines for a person."""
        busy, waiting = self.threads * self.seconds, self.waited_s / self.seconds
        advice = "more of them, or more cores, would help" if waiting > 0.5 else "threads keep up"
        lines = [
            f"windows       {self.windows_s:,.0f}/s ({self.windows:,} in {self.seconds:.1f} s, one process, "
            f"{self.threads} threads)",
            f"read          {self.bytes / 1e6 / self.seconds:,.0f} MB/s, {self.bytes / max(self.windows, 1):,.0f} "
            "bytes a window",
            f"first batch   {self.begin_s:.1f} s after opening the store",
            f"threads       {self.read_s / busy:.0%} waiting for storage, {self.decode_s / busy:.0%} decompressing, "
            "the rest drawing, cutting, or idle",
            f"batches       {waiting:.0%} of the time waiting for threads: {advice}",
            f"overlap       {self.coverage:.0%} of the seconds in windows are distinct",
        ]
        if gpu_windows_s is None:
            lines.append("GPUs          give --gpu-windows-s, what one of yours trains, to see how many this feeds")
        else:
            fed = self.windows_s / gpu_windows_s
            lines.append(f"GPUs          feeds {fed:,.1f} that train {gpu_windows_s:,.0f} windows/s each")
        return "\n".join(lines)


def measure(data: DataSettings, batch: int, seed: int, store_url: str, seconds: float) -> Measured:
    """Stream as a training run of one process does, for some seconds, without training."""
    opened = time.perf_counter()
    store = Store.open(store_url)
    everyone = select(store, data.seconds, data.min_wear_hours, data.where)
    plan = make_plan(everyone.of(store.withdrawals.participants(), kept=False), held_out(everyone), data, seed)
    share = per_step(batch, len(plan.lanes), 1)
    days, threads = DayReader(store.folder), data.threads or (2 if store.folder.is_local else 8)
    torch.set_num_threads(1)
    stream = Stream(days, owned(plan.lanes, 0, 1), share, data.seconds, 0, threads, data.min_spacing_s)
    with stream, days:  # first the reader ends, lest the stream wait for storage that is away
        next(stream)
        begin_s = time.perf_counter() - opened
        days.cost = ReadCost()
        stream.waited_s, windows, began = 0.0, 0, time.perf_counter()
        with Progress("stream", round(seconds), "seconds") as progress:
            while (passed := time.perf_counter() - began) < seconds:
                windows += len(next(stream))
                progress.update(int(passed), f"{windows / passed:,.0f} windows/s" if passed > 1 else "")
        cost = days.cost
        read = (cost.bytes, threads, stream.waited_s, cost.read_s, cost.decode_s)
        return Measured(windows, passed, *read, stream.coverage, begin_s)
