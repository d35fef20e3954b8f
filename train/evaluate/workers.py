"""A thread pool that gives each core its own batch or fold, and keeps single operations on one core.

Operations here are small. Split over threads, they wait for each other at every step, which made a head 10 times
slower on a busy machine (measured). Batches and folds do not wait for each other.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch


@contextmanager
def workers() -> Iterator[ThreadPoolExecutor]:
    """Yield a pool with a thread for each core that this process may use; inside, a torch operation uses one core.

    On a GPU, cuDNN uses deterministic kernels, so that a seed gives the same weights each time.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    deterministic, torch.backends.cudnn.deterministic = torch.backends.cudnn.deterministic, True
    pool = ThreadPoolExecutor(cores)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)
        torch.backends.cudnn.deterministic = deterministic
