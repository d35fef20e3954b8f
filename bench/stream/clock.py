"""How every reader is measured: one process on given cores, a warm-up, then a timed run over its batches.

The environment of the peers imports this file too, so it imports nothing from the project. The first batch of an epoch
and the time until it arrives are not counted, because a real epoch takes hours. Our stream keeps pools of windows and
reads in bursts, so its run ends only when it has drawn as many windows as it has yielded.
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
"""A run ends after this many times its planned length at the latest."""

Epoch = Callable[[], Iterable[Tensor]]


def pin(cores: Iterable[int]) -> None:
    """Pin this process to some cores, with one torch thread."""
    os.sched_setaffinity(0, set(cores))
    torch.set_num_threads(1)


def rate(epoch: Epoch, warm_s: float, run_s: float, drawn: Callable[[], int] | None = None) -> dict[str, float]:
    """Windows, seconds, windows/s, CPU seconds and peak MB of a run of at least `run_s`, after `warm_s` of warm-up.

    `drawn` returns the number of windows drawn so far, for a reader that keeps pools of windows.
    """
    batches = _timed(epoch)
    warm = 0.0
    while warm < warm_s:
        warm += next(batches)[1]
    windows, seconds, cpu, before = 0, 0.0, time.process_time(), drawn() if drawn else 0

    def ahead() -> bool:
        """Whether the reader has drawn more windows than it has yielded."""
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
