"""Steps with synchronisations forbidden: nothing in a step may wait for the GPU."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import repeat
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from bench.command import ROOT
from bench.train.data import DAYS, made_stream
from bench.train.ours import bare_run
from train.loop.step import take_step
from train.objectives import make_objective
from train.objectives.collossl import Devices
from train.windows.feed import Feed

from ..batch import batch_on
from ..figure import NEEDS_CUDA, Figure, Sizes

STEPS = 3


def waiting(sizes: Sizes) -> Iterator[Figure]:
    """Take steps of several objectives; name the line that waits."""
    batches = [(name, sizes.few) for name in ("multitask", "simclr", "masked", "collossl", "cmc", "distil")]
    for name, batch in [*batches, ("multitask", sizes.batches[-1])]:
        with TemporaryDirectory() as table, ExitStack() as opened:
            write_vector(Path(table))
            recipe = sizes.recipe(batch, f"objective.name={name}", f"objective.distil.table={table}")
            stream = opened.enter_context(made_stream(recipe.data, batch, 2))
            companions = make_objective(recipe.objective).companions
            feed = repeat(batch_on(sizes.device, recipe)) if companions else Feed(stream, sizes.device)
            run = bare_run(recipe, sizes.processes(), feed)
            if isinstance(run.objective.companions, Devices):  # as after `bind`
                run.objective.companions.set_locations({slot: [slot % 2, 1 - slot % 2] for slot in range(DAYS)}, 2)
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


def write_vector(table: Path) -> None:
    """Write a table of features of one window, for `distil` to know a vector's length."""
    vectors = pa.FixedSizeListArray.from_arrays(np.ones(64, np.float32), 64)
    pq.write_table(pa.table({"slot": [0], "start_second": [0], "vector": vectors}), table / "table.parquet")


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
