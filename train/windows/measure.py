"""How fast a store can be streamed from this machine, and what takes the time (`persondays bench-stream`)."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from pipeline.progress import Progress
from pipeline.store.day_reader import DayReader, ReadCost
from pipeline.store.store import Store
from train.windows.companions.kind import Companions, bind
from train.windows.lanes import owned, per_step
from train.windows.members import choose_held_out, select
from train.windows.plan import make_plan
from train.windows.settings import DataSettings
from train.windows.stream import Stream


@dataclass(frozen=True)
class StreamSpeed:
    """The result of streaming for a while with one process; thread times are sums over threads."""

    windows: int
    seconds: float
    bytes: int
    threads: int
    waited_s: float
    """Time that the process taking batches waited for pools that were not ready."""
    read_s: float
    decode_s: float
    coverage: float
    first_batch_s: float
    """From opening the store to the first batch."""

    @property
    def windows_s(self) -> float:
        """Windows per second."""
        return self.windows / self.seconds

    def text(self, gpu_windows_s: float | None) -> str:
        """The report, as lines for a person."""
        busy, waiting = self.threads * self.seconds, self.waited_s / self.seconds
        advice = "more threads or cores would help" if waiting > 0.5 else "threads keep up"
        lines = [
            f"windows       {self.windows_s:,.0f}/s ({self.windows:,} in {self.seconds:.1f} s, one process, "
            f"{self.threads} threads)",
            f"read          {self.bytes / 1e6 / self.seconds:,.0f} MB/s, {self.bytes / max(self.windows, 1):,.0f} "
            "bytes/window",
            f"first batch   {self.first_batch_s:.1f} s after opening the store",
            f"threads       {self.read_s / busy:.0%} waiting for storage, {self.decode_s / busy:.0%} decompressing, "
            "the rest drawing, cutting, or idle",
            f"batches       {waiting:.0%} of the time waiting for threads: {advice}",
            f"overlap       {self.coverage:.0%} of the seconds in windows are distinct",
        ]
        if gpu_windows_s is None:
            lines.append(
                "GPUs          set --gpu-windows-s to the training speed of one GPU to see how many GPUs this feeds"
            )
        else:
            fed = self.windows_s / gpu_windows_s
            lines.append(f"GPUs          feeds {fed:,.1f} GPUs that train on {gpu_windows_s:,.0f} windows/s each")
        return "\n".join(lines)


def measure(
    data: DataSettings, batch: int, seed: int, store_url: str, seconds: float, companions: Companions | None = None
) -> StreamSpeed:
    """Stream for some seconds as a training run of one process does, without training."""
    opened = time.perf_counter()
    store = Store.open(store_url)
    facts = companions.facts(store) if companions else {}
    bound = bind(companions, select(store, data.seconds, data.min_wear_hours, data.where), store, data, facts)
    everyone = bound.members
    plan = make_plan(
        everyone.without_participants(store.withdrawals.participants()),
        choose_held_out(everyone, data.held_out),
        data,
        seed,
        None,
        bound.people_share_pools,
    )
    share = per_step(batch, len(plan.lanes), 1)
    days, threads = DayReader(store.folder), data.threads or (2 if store.folder.is_local else 8)
    torch.set_num_threads(1)
    lanes = owned(plan.lanes, 0, 1)
    stream = Stream(
        days=days,
        lanes=lanes,
        windows_per_step=share,
        seconds=data.seconds,
        step=0,
        threads=threads,
        spacing=data.min_spacing_s,
        chooser=bound.chooser,
        weighting=data.weighting,
    )
    with stream, days:  # close the reader first, so that the stream does not wait for unavailable storage
        next(stream)
        first_batch_s = time.perf_counter() - opened
        days.cost = ReadCost()
        stream.waited_s, windows, began = 0.0, 0, time.perf_counter()
        with Progress("stream", round(seconds), "seconds") as progress:
            while (passed := time.perf_counter() - began) < seconds:
                windows += len(next(stream))
                progress.update(int(passed), f"{windows / passed:,.0f} windows/s" if passed > 1 else "")
        cost = days.cost
        read = (cost.bytes, threads, stream.waited_s, cost.read_s, cost.decode_s)
        return StreamSpeed(windows, passed, *read, stream.coverage, first_batch_s)
