"""What a step asks of a device: operations, bytes moved, bytes kept for the backward pass.

    python -m bench.train.counted [RECIPE] [--set run.precision=bfloat16 ...]

A step of eager code up to its gradients runs once on the CPU. An operation moves the bytes of its inputs and outputs; a
cache may make them fewer, and several passes more. Weights count too: choose a batch as large as that of a process.
"""

from __future__ import annotations

import argparse
from collections import Counter
from itertools import repeat
from typing import Any

import torch
from torch import Tensor

from train.distributed.processes import Processes
from train.recipe import Recipe, load_recipe
from train.windows.feed import DeviceBatch
from train.windows.pool import ANCHOR, Windows

from ..tables import line
from .operations import Counted
from .ours import bare_run

KINDS = {
    "convolution": ("convolution",),
    "BatchNorm": ("batch_norm",),
    "ReLU": ("relu", "threshold"),
    "circular padding": ("cat", "clone", "copy", "slice"),
    "addition": ("add",),
}


class Kept:
    """Bytes of all tensors but weights that autograd keeps for the backward pass, each memory once."""

    def __init__(self) -> None:
        self.storages: dict[Any, int] = {}
        self.tensors: list[Tensor] = []
        self.hooks = torch.autograd.graph.saved_tensors_hooks(self._keep, lambda tensor: tensor)

    def _keep(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if not isinstance(tensor if tensor._base is None else tensor._base, torch.nn.Parameter):
            self.tensors.append(tensor)  # so that no other one gets its address
            self.storages[storage._cdata] = storage.nbytes()
        return tensor

    @property
    def total(self) -> int:
        """Their number."""
        return sum(self.storages.values())


def count(recipe: Recipe) -> tuple[Counted, int]:
    """Return what forward and backward did, and the bytes kept between them. For objectives without companions."""
    windows = Windows(
        torch.zeros(recipe.run.batch, 1, 3, recipe.data.ticks, dtype=torch.int16),
        torch.zeros(recipe.run.batch, ANCHOR, dtype=torch.int64),
        torch.zeros(recipe.run.batch, 0),
    )
    run: Any = bare_run(recipe, Processes(threads=1), repeat(DeviceBatch(windows, windows.place_BP)))
    forward, kept, counted = run.engine.network, Kept(), Counted()
    with torch.no_grad():
        forward(*windows.tensors)  # makes the constants
    with counted, kept.hooks:
        loss, _ = forward(*windows.tensors)
    with counted:
        loss.backward()
    return counted, kept.total


def table(counted: Counted, kept: int, windows: int) -> str:
    """Kilobytes a window by kind, as Markdown."""
    moved: Counter[str] = Counter()
    rest = dict(counted.moved)
    for kind, parts in KINDS.items():
        for name in [name for name in rest if any(part in name for part in parts)]:
            moved[kind] += rest.pop(name)
    moved["all others"] = sum(rest.values())
    cells = [f"{value / windows / 1e6:.2f}" for value in (*moved.values(), sum(moved.values()), kept)]
    head = ["operations", *(f"{kind}, MB" for kind in moved), "all, MB", "kept, MB"]
    return "\n".join((line(head), line(["---"] * len(head)), line([f"{counted.total:,}", *cells])))


def main() -> None:
    """Count, and print a table: MB a window."""
    parsed = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parsed.add_argument("recipe", nargs="?", default="harnet10")
    parsed.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
    given = parsed.parse_args()
    recipe = load_recipe(given.recipe, [*given.set, "run.compile=false", "run.graphs=false", "run.accumulate=1"])
    counted, kept = count(recipe)
    print(f"{recipe.name}, {recipe.run.precision}, a step of {recipe.run.batch:,} windows; a window:\n")
    print(table(counted, kept, recipe.run.batch))


if __name__ == "__main__":
    main()
