"""One cell of the table of bench.train: one way to train at one size, timed.

Nothing here needs ray, deepspeed, zarr or a store.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

WAYS = ("plain", "ours", "ours, channels first")
WARM_UP, FEED_S = 3, 5.0
WINDOWS = 16_384
"""Windows in the data set of the plain way."""


@dataclass(frozen=True)
class Cell:
    """One way to train at one size."""

    way: str
    network: str
    width: float
    batch: int
    precision: str
    compiled: bool
    threads: int
    workers: int
    steps: int
    objective: str = "multitask"
    engine: str = "ddp"
    graphs: bool = False
    """With `compiled`: CUDA graphs."""


def measured(cell: Cell) -> dict[str, float]:
    """Train and time: windows per second, seconds a step, peak memory of a GPU, operations a window."""
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(cell.threads)
    rounded = cell.precision != "float32"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = rounded
    torch.backends.cudnn.benchmark = True
    if cell.way == "feed":
        return fed(cell, device)
    steps, figures = begin(cell, device)
    for _ in range(WARM_UP):
        next(steps)
    require_compiled(cell)
    wait_for(device)
    began = time.perf_counter()
    for _ in range(cell.steps):
        next(steps)
    wait_for(device)
    seconds = time.perf_counter() - began
    figures |= {"windows_s": cell.batch * cell.steps / seconds, "step_s": seconds / cell.steps}
    if device.type == "cuda":
        figures["memory_gb"] = torch.cuda.max_memory_allocated() / 1e9
    return figures


def require_compiled(cell: Cell) -> None:
    """Raise RuntimeError if a cell that says that it is compiled is not."""
    from torch._dynamo.utils import counters

    if cell.compiled and not counters["stats"]["unique_graphs"]:
        raise RuntimeError(f"{cell.way}: nothing was compiled, so this row would time eager code")


def begin(cell: Cell, device: Any) -> tuple[Iterator[int], dict[str, float]]:
    """The steps of a cell, and the operations of a window."""
    if cell.way == "plain":
        import numpy as np

        from train.windows.settings import DataSettings

        from .data import COUNTS_PER_G, made_stream
        from .plain import TICKS, steps

        data = DataSettings(seconds=TICKS[cell.network] // 30, lanes=16)
        with made_stream(data, WINDOWS, 2) as stream:
            x_NCT = (next(stream).signal_BCT / COUNTS_PER_G).numpy().astype(np.float32)
        run = steps(x_NCT, cell.network, cell.width, cell.batch, cell.precision, cell.workers, cell.compiled, device)
        return run, {}
    import torch

    from train.networks import harnet

    from .ours import Ours

    if cell.way == "ours, channels first":
        harnet.LAYOUT = torch.contiguous_format
    ours = Ours(cell)
    return ours.steps(), {"flop": ours.flop}


def fed(cell: Cell, device: Any) -> dict[str, float]:
    """The speed of the stream alone, onto the device."""
    import torch

    from train.windows.feed import Feed

    from .data import made_stream
    from .ours import recipe_of

    torch.set_num_threads(1)
    with made_stream(recipe_of(cell).data, cell.batch, cell.workers) as stream:
        feed = Feed(stream, device)
        for _ in range(WARM_UP):
            next(feed)
        wait_for(device)
        count, began = 0, time.perf_counter()
        while time.perf_counter() - began < FEED_S or count < 3:
            next(feed)
            count += 1
        wait_for(device)
        return {"windows_s": cell.batch * count / (time.perf_counter() - began)}


def matrix_rate(precision: str) -> float:
    """Floating-point operations a second of a large matrix product, the best of six."""
    import torch

    gpu = torch.cuda.is_available()
    torch.backends.cuda.matmul.allow_tf32 = precision != "float32"
    size, dtype = (8192 if gpu else 2048), (torch.bfloat16 if precision == "bfloat16" else torch.float32)
    left, right = (torch.randn(size, size, device="cuda" if gpu else "cpu").to(dtype) for _ in range(2))
    best = 0.0
    for _ in range(6):
        wait_for(left.device)
        began = time.perf_counter()
        left @ right
        wait_for(left.device)
        best = max(best, 2 * size**3 / (time.perf_counter() - began))
    return best


def wait_for(device: Any) -> None:
    """Wait until a GPU has finished."""
    if device.type == "cuda":
        import torch

        torch.cuda.synchronize()
