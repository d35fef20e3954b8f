"""Work on several cores without splitting single operations.

The operations here are small. Split over threads they wait for each other at every step, and on a
machine that is also busy with something else that made a head 10 times slower (measured); whole batches and
whole folds on a core each do not wait.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch


@contextmanager
def workers() -> Iterator[ThreadPoolExecutor]:
    """A thread for each core that this process may use; until the end every operation of torch keeps to one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    pool = ThreadPoolExecutor(cores)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)
