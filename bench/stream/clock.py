"""How every reader is measured: one process on given cores, first warm, then a timed run of its batches.

The others' environment imports this file too, so it imports nothing of the project. The first batch of a fresh epoch
is not counted, nor the time to get it: a real epoch takes hours. A run of ours, which holds pools and reads in bursts,
ends only when as many windows were drawn as handed out.
"""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256

import numpy as np
import torch
from torch import Tensor

from ..clock import peak_mb

BATCH = 512
MAX_RUNS = 4
"""A run ends at the latest after this many times its planned length, whatever the reader holds."""

Epoch = Callable[[], Iterable[Tensor]]


def settle(cores: Iterable[int]) -> None:
    """Pin this process to some cores, with one thread of torch."""
    os.sched_setaffinity(0, set(cores))
    torch.set_num_threads(1)


def rate(epoch: Epoch, warm_s: float, run_s: float, drawn: Callable[[], int] | None = None) -> dict[str, float]:
    """Windows, seconds and windows/s of at least `run_s` after at least `warm_s`; CPU time and peak memory.

    `drawn` returns the number of windows drawn so far, for a reader that holds many.
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
    while seconds < run_s or (drawn and ahead() == was_ahead and seconds < MAX_RUNS * run_s):
        count, passed = next(batches)
        windows, seconds = windows + count, seconds + passed
        if was_ahead is None and seconds >= run_s:
            was_ahead = ahead()
    cpu = time.process_time() - cpu
    return {"windows": windows, "seconds": seconds, "cpu s": cpu, "windows/s": windows / seconds, "peak MB": peak_mb()}


def _timed(epoch: Epoch) -> Iterator[tuple[int, float]]:
    """Windows and seconds of each batch, except the first of an epoch."""
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
