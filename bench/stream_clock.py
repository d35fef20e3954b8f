"""How every contender is measured: one process, on the cores it was given, first warm, then a stretch of its batches.

It knows nothing of the project, because the peers' own environment runs it too. A fresh epoch's
first batch is not counted, nor the time to get it: a real epoch takes hours. And a stretch of ours ends only when as
many windows were drawn as handed out: it holds pools, and reads in bursts.
"""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

BATCH = 512
PATIENCE = 4
"""Stretches after which one ends all the same, whatever it holds."""

Epoch = Callable[[], Iterable[Tensor]]


def settle(cores: Iterable[int]) -> None:
    """Stay on these cores, with one thread of torch's own."""
    os.sched_setaffinity(0, set(cores))
    torch.set_num_threads(1)


def rate(epoch: Epoch, warm_s: float, stretch_s: float, drawn: Callable[[], int] | None = None) -> dict[str, float]:
    """Windows, seconds, windows/s of at least `stretch_s` after at least `warm_s`; the process's CPU time and peak.

    `drawn` tells the windows drawn so far, of a contender that holds many.
    """
    batches = _timed(epoch)
    warm = 0.0
    while warm < warm_s:
        warm += next(batches)[1]
    windows, seconds, cpu, before = 0, 0.0, time.process_time(), drawn() if drawn else 0

    def ahead() -> bool:
        """Whether more were drawn than handed out."""
        return drawn is not None and drawn() - before > windows

    was_ahead = None
    while seconds < stretch_s or (drawn and ahead() == was_ahead and seconds < PATIENCE * stretch_s):
        count, passed = next(batches)
        windows, seconds = windows + count, seconds + passed
        if was_ahead is None and seconds >= stretch_s:
            was_ahead = ahead()
    cpu = time.process_time() - cpu
    return {"windows": windows, "seconds": seconds, "cpu s": cpu, "windows/s": windows / seconds, "peak MB": peak_mb()}


def peak_mb() -> float:
    """The most memory that this process has held; the kernel's other count of it takes over the parent's."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1e3 for line in status if line.startswith("VmHWM:"))


def _timed(epoch: Epoch) -> Iterator[tuple[int, float]]:
    """Windows and seconds of each batch but the first of an epoch."""
    while True:
        batches = iter(epoch())
        next(batches)
        before = time.perf_counter()
        for batch in batches:
            now = time.perf_counter()
            yield len(batch), now - before
            before = time.perf_counter()


def multiset(batches: Iterable[Tensor]) -> str:
    """A checksum of all windows that does not depend on their order."""
    found = [zlib.crc32(window.tobytes()) for batch in batches for window in batch.contiguous().numpy()]
    return f"{len(found)} windows, {sha256(np.sort(np.array(found, '<u4')).tobytes()).hexdigest()[:16]}"
