"""One step from each of several saved states, with a given engine and number of processes; test_parity.py runs this.

[torchrun ... ] -m tests.train.distributed.one_step STORE CHECKPOINTS OUT STEP,STEP,... [--set ...]

ReLU is replaced by SiLU. If the input of a ReLU is close to 0, rounding decides whether its gradient is 0, and one such
input among some 10,000 changes a layer's gradient by a hundredth. This is not an error, and in float32 it happens in
most steps, because convolutions of 32 windows and of 16 round differently.
"""

from __future__ import annotations

import sys
from pathlib import Path

import safetensors.torch
import torch
from torch.nn import functional as F

from pipeline.storage.folder import Folder
from pipeline.store.store import Store
from tests.train.runs import RECIPE
from train.checkpoint import format as ck
from train.distributed.process_exit import exit_without_destructors
from train.distributed.processes import Processes
from train.loop.meter import Meter
from train.loop.setup import prepare
from train.loop.step import take_step
from train.networks import harnet
from train.recipe import load_recipe


def one_step(store: str, checkpoints: str, out: str, steps: list[int], settings: list[str]) -> None:
    """Write a file for each state: loss, gradient norm and updated weights, from the first process."""
    recipe = load_recipe(RECIPE, settings)
    processes = Processes(recipe.run.threads)
    for step in steps:
        start = ck.read(Folder(checkpoints), step) if step else None
        run = prepare(recipe, Store.open(store), start, processes)
        with run.stream:
            meter = Meter(processes.device)
            meter.add(take_step(run))
            (reading,) = meter.read(processes)
        if processes.first:
            loss = reading.figures["loss_sum"] / reading.figures["count"]
            found = {
                "loss": torch.tensor(loss),
                "norm": torch.tensor(reading.norm),
                **ck.to_host(run.model.state_dict()),
            }
            safetensors.torch.save_file(found, Path(out) / f"{step}.safetensors")
    processes.close()


def main() -> int:
    """Read the command line and take the steps."""
    F.relu = F.silu  # smooth
    harnet.wrapped = harnet.plain_wrapped  # which uses it
    store, checkpoints, out, steps, *settings = sys.argv[1:]
    one_step(store, checkpoints, out, [int(step) for step in steps.split(",")], settings)
    return 0


if __name__ == "__main__":
    exit_without_destructors(main)
