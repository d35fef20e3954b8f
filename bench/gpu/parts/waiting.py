"""Steps with synchronisations forbidden: nothing in a step may wait for the GPU."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import repeat

import torch

from bench.command import ROOT
from bench.train.data import made_stream
from bench.train.ours import bare_run
from train.loop.step import take_step
from train.objectives import make_objective
from train.windows.feed import Feed

from ..batch import batch_on
from ..figure import NEEDS_CUDA, Figure, Sizes

STEPS = 3


def waiting(sizes: Sizes) -> Iterator[Figure]:
    """Take steps of several objectives; name the line that waits."""
    batches = [(name, sizes.few) for name in ("multitask", "simclr", "masked", "collossl")]
    for name, batch in [*batches, ("multitask", sizes.batches[-1])]:
        recipe = sizes.recipe(batch, f"objective.name={name}")
        with made_stream(recipe.data, batch, 2) as stream:
            companions = make_objective(recipe.objective).companions
            feed = repeat(batch_on(sizes.device, recipe)) if companions else Feed(stream, sizes.device)
            run = bare_run(recipe, sizes.processes(), feed)
            for _ in range(STEPS):  # constants are copied, algorithms chosen
                take_step(run)  # type: ignore[arg-type]
            status, found = "ok" if sizes.cuda else NEEDS_CUDA, "none"
            try:
                with forbidden(sizes.cuda):
                    for _ in range(STEPS):
                        take_step(run)  # type: ignore[arg-type]
            except RuntimeError as error:
                status, found = "fails", f"{place_of(error)}: {str(error).splitlines()[0]}"
        yield Figure(f"{name}, {batch:,} windows: waits for the GPU", found, status=status)


@contextmanager
def forbidden(cuda: bool) -> Iterator[None]:
    """Make torch raise RuntimeError where the host would wait for the GPU."""
    if cuda:
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        if cuda:
            torch.cuda.set_sync_debug_mode("default")


def place_of(error: BaseException) -> str:
    """The last line of the project that an error went through."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(str(ROOT))]
    return f"{frames[-1].filename.removeprefix(f'{ROOT}/')}:{frames[-1].lineno}" if frames else "torch"
