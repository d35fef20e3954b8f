"""The training step in windows a second: plain PyTorch, ours, compiled, and with CUDA graphs, at two batches."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from itertools import product

import torch

from bench.train.cell import Cell, begin, require_compiled
from bench.train.ours import Ours

from ..figure import NEEDS_CUDA, Figure, Sizes, seconds_of

WAYS = ("plain", "ours", "compiled", "graphed")
STEPS = {768: 30, 6_144: 8}


def steps(sizes: Sizes, precision: str) -> Iterator[Figure]:
    """Every way at both batches, those that take long to compile last; one that fails says why, and others go on."""
    plain: dict[int, float] = {}
    for way, batch in product(WAYS, sizes.batches):
        name = f"{batch:,} windows, {precision}, {way}"
        if way == "graphed" and not sizes.cuda:
            yield Figure(name, NEEDS_CUDA, status=NEEDS_CUDA)
            continue
        try:
            speed = rate(way, batch, precision, sizes)
        except Exception as error:
            yield Figure(name, (str(error) or repr(error)).splitlines()[0], status="fails")
        else:
            if way == "plain":
                plain[batch] = speed
            times = f" ({speed / plain[batch]:.2f} times plain)" if batch in plain else ""
            memory = f", {torch.cuda.max_memory_allocated() / 1e9:.1f} GB" if sizes.cuda else ""
            yield Figure(name, f"{speed:,.0f}{times}{memory}", "windows/s", "" if sizes.cuda else NEEDS_CUDA)
        torch._dynamo.reset()
        gc.collect()
        if sizes.cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()


def rate(way: str, batch: int, precision: str, sizes: Sizes) -> float:
    """Windows a second."""
    network, width = ("harnet5", 0.0625) if sizes.small else ("harnet10", 1.0)
    threads = 1 if sizes.small else 8
    rounded = precision != "float32"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = rounded
    torch.backends.cudnn.benchmark = True
    cell = Cell(
        "plain" if way == "plain" else "ours",
        network=network,
        width=width,
        batch=batch,
        precision=precision,
        compiled=way in ("compiled", "graphed"),
        graphs=way == "graphed",
        threads=threads,
        workers=1 if sizes.small else 12,
        steps=0,
    )
    times = 1 if sizes.small else STEPS[batch]
    if way == "plain":
        with closing(begin(cell, sizes.device)[0]) as run:  # type: ignore[type-var]
            return batch / seconds_of(partial(next, run), times, sizes.device)
    ours = Ours(cell)
    with ours.feed.stream:
        seconds = seconds_of(partial(next, ours.steps()), times, sizes.device)
    require_compiled(cell)
    return batch / seconds


bfloat16, tf32 = partial(steps, precision="bfloat16"), partial(steps, precision="tf32")
