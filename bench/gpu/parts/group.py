"""One process over NCCL: DistributedDataParallel, a save, a resume to the bit, and an end."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from itertools import repeat
from types import SimpleNamespace
from typing import Any

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from bench.train.ours import bare_run
from pipeline.settings import plain
from pipeline.storage.folder import Folder
from train.checkpoint import format as ck
from train.checkpoint.state import State
from train.distributed.ddp import KEEP_BUFFERS, settle_buckets
from train.loop.step import take_step
from train.recipe import Recipe
from train.windows.feed import DeviceBatch

from ..batch import batch_on
from ..figure import Figure, Sizes


def group(sizes: Sizes) -> Iterator[Figure]:
    """Four steps, and again with a save after two; both have to end with the same bits."""
    processes = sizes.processes()
    processes.join_alone()
    yield Figure("backends", dist.get_backend_config())
    total = torch.ones(1024, device=sizes.device)
    dist.all_reduce(total)
    gathered = processes.all("here")
    right = gathered == ["here"] and bool((total == 1).all())
    yield sizes.checked("a sum on the device and objects on the host", "right" if right else "wrong", right)
    recipe = sizes.recipe(sizes.few, "run.deterministic=true")
    batch = batch_on(sizes.device, recipe)
    straight = wrapped_run(recipe, processes, batch)
    for _ in range(4):
        take_step(straight)
    with tempfile.TemporaryDirectory() as place:
        folder, run = Folder(place), wrapped_run(recipe, processes, batch)
        for _ in range(2):
            take_step(run)
        began = time.perf_counter()
        state = State(step=run.step, settings=plain(recipe))
        size = ck.save(folder, ck.Checkpoint(ck.to_host(run.model.state_dict()), state, run.engine.optimizer_state()))
        yield Figure("save", f"{size / 1e6:.1f} MB in {time.perf_counter() - began:.2f} s")
        resumed, found = wrapped_run(recipe, processes, batch), ck.read(folder, 2)
        ck.load_model(resumed.model, found.model)
        resumed.engine.load_optimizer(found.optimizer)
        resumed.step = 2
    for _ in range(2):
        take_step(resumed)
    ends = [run.model.state_dict() for run in (straight, resumed)]
    differ = [name for name, value in ends[0].items() if not torch.equal(value, ends[1][name])]
    yield sizes.checked("weights that differ after a resume", len(differ), not differ)
    began = time.perf_counter()
    processes.close()
    yield Figure("end of the group", round(time.perf_counter() - began, 2), "s")


def wrapped_run(recipe: Recipe, processes: Any, batch: DeviceBatch) -> Any:
    """A run whose network exchanges gradients as with several processes."""
    run: SimpleNamespace = bare_run(recipe, processes, repeat(batch))
    ids = [processes.device.index] if processes.device.type == "cuda" else None
    forward = run.engine.network
    network = DistributedDataParallel(forward, device_ids=ids, gradient_as_bucket_view=True, **KEEP_BUFFERS)
    settle_buckets(network, batch.windows.take(slice(2)).tensors)
    run.engine.network = network
    return run
