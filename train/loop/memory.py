"""What to do when a step does not fit into memory, instead of a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from pipeline.errors import UserError

if TYPE_CHECKING:
    from train.distributed.processes import Processes
    from train.recipe import Recipe

OF_A_CPU = "DefaultCPUAllocator: can't allocate memory"


@contextmanager
def memory_explained(recipe: Recipe, processes: Processes) -> Iterator[None]:
    """Turn an error of torch's allocator into a UserError that names the settings that decide about memory."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and OF_A_CPU not in str(error):
            raise
        run, own = recipe.run, recipe.run.batch // processes.world_size
        pieces = f"{run.accumulate} piece{'' if run.accumulate == 1 else 's'}"
        raise UserError(
            f"not enough memory on {processes.device} for a step of {own:,} windows in {pieces}, in {run.precision}. "
            f"Set run.accumulate to {2 * run.accumulate} or more, unless the objective compares the windows of a "
            "batch; or lower run.batch, use more processes, or run.precision = bfloat16. "
            f"torch says: {str(error).splitlines()[0]}"
        ) from None
