"""One step from each of several saved states, by an engine and a number of processes: run by test_parity.py.

[torchrun ... ] -m tests.train.distributed.one_step STORE CHECKPOINTS OUT STEP,STEP,... [--set ...]

ReLU is replaced by SiLU. Where the input of a ReLU is 0 but for rounding, its gradient is there or not, as rounding has
it, and one such among some 10,000 moves a layer's gradient by a hundredth. That is no fault of who computes, and in
float32 happens in most steps: convolutions of 32 windows and of 16 round differently.
"""

from __future__ import annotations

import sys
from pathlib import Path

import safetensors.torch
import torch
from torch.nn import functional as F

from pipeline.storage.folder import Folder
from pipeline.store.store import Store
from train.checkpoint import format as ck
from train.distributed.processes import Processes
from train.loop.meter import Meter
from train.loop.setup import prepare
from train.loop.step import take_step
from train.recipe import load_recipe


def one_step(store: str, checkpoints: str, out: str, steps: list[int], settings: list[str]) -> None:
    """A file for each state: loss, norm of the gradient and updated weights, from the first process."""
    recipe = load_recipe("demo", settings)
    processes = Processes(recipe.run.threads)
    for step in steps:
        start = ck.read(Folder(checkpoints), step) if step else None
        run = prepare(recipe, Store.open(store), start, processes)
        with run.stream:
            meter = Meter()
            meter.add(take_step(run))
            stretch = meter.look(processes)
        if processes.first:
            loss = stretch.figures["loss_sum"] / stretch.figures["count"]
            found = {
                "loss": torch.tensor(loss),
                "norm": torch.tensor(stretch.norm),
                **ck.to_host(run.model.state_dict()),
            }
            safetensors.torch.save_file(found, Path(out) / f"{step}.safetensors")
    processes.close()


if __name__ == "__main__":
    F.relu = F.silu  # without a kink
    store, checkpoints, out, steps, *settings = sys.argv[1:]
    one_step(store, checkpoints, out, [int(step) for step in steps.split(",")], settings)
