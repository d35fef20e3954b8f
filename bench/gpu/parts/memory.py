"""Out of memory on purpose: a step that does not fit ends with advice, and a smaller one works afterwards."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from itertools import repeat

import torch

from bench.train.ours import bare_run
from pipeline.errors import UserError
from train.loop.memory import memory_explained
from train.loop.step import take_step

from ..batch import batch_on
from ..figure import NEEDS_CUDA, Figure, Sizes

SHARE = 0.02
"""Of the GPU's memory, which is too little for a whole batch."""


def memory(sizes: Sizes) -> Iterator[Figure]:
    """Limit the memory and take a step; on a CPU, ask for more memory than there can be."""
    if sizes.cuda:
        torch.cuda.set_per_process_memory_fraction(SHARE)
    recipe, processes = sizes.recipe(sizes.batches[-1]), sizes.processes()
    run = bare_run(recipe, processes, repeat(batch_on(sizes.device, recipe)))
    try:
        with memory_explained(recipe, processes):
            if not sizes.cuda:
                torch.empty(2**50)
            take_step(run)  # type: ignore[arg-type]
    except UserError as error:
        yield Figure("message", str(error), status="ok" if sizes.cuda else NEEDS_CUDA)
    else:
        yield Figure("message", f"none: the step fits into {SHARE:.0%} of the memory", status="fails")
    del run
    gc.collect()  # the error's frames hold tensors
    if sizes.cuda:
        torch.cuda.empty_cache()
    smaller = sizes.recipe(16)
    take_step(bare_run(smaller, processes, repeat(batch_on(sizes.device, smaller))))  # type: ignore[arg-type]
    yield Figure("a small step afterwards", "works", status="ok")
