"""The parts of a step that a compiler fuses, and the step up to its gradients: eager and compiled in turns.

    python -m bench.train.fused [--batch 128] [--width 1.0] [--precisions float32 bfloat16] [--rounds 9] [--threads 1]

One process, harnet10. In every round each part runs once eager and once compiled, one right after the other, so that
both sides of a ratio are of the same moment. Compilation and the first round are not counted. `views` has no gradient;
the other parts go forward and backward. `BatchNorm, ReLU, pad` is what precedes a convolution, once for each stage; the
convolutions themselves are the same library calls in both. The table shows medians, and the lowest and highest ratio.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from itertools import repeat
from statistics import median
from typing import Any

import torch
from torch import Tensor

from train.autocast import autocast
from train.distributed.processes import Processes
from train.networks.harnet import LAYOUT, PRESETS, BatchNorm, scaled, wrapped
from train.recipe import Recipe, load_recipe
from train.windows.feed import DeviceBatch
from train.windows.pool import Windows

from ..clock import in_turns
from ..command import machine
from ..tables import markdown_table
from .data import made_stream
from .ours import bare_run

Call = Callable[[], Any]
REACH = 2
"""Ticks that a convolution pads on each side."""


class Parts:
    """The parts of the step of a recipe, on windows that stay the same."""

    def __init__(self, recipe: Recipe, windows: Windows) -> None:
        feed = repeat(DeviceBatch(windows, windows.place_BP))
        self.run: Any = bare_run(recipe, Processes(recipe.run.threads), feed)
        self.bfloat16, self.windows = recipe.run.precision == "bfloat16", windows
        _, self.targets = self.run.engine.network.views(windows)  # makes the constants, too
        features = self.run.model.feature_extractor.features
        self.features_BF = torch.randn(len(windows), features, requires_grad=True)
        self.layers = list(before_convolutions(recipe))

    def views(self) -> Any:
        """Windows in counts to views in g, and targets."""
        return self.run.engine.network.views(self.windows)

    def padded(self) -> list[Tensor]:
        """What convolutions of all stages get."""
        return [wrapped(norm(x)[:, :, None], REACH, relu=True) for norm, x in self.layers]

    def heads(self) -> list[Tensor]:
        """Features to the loss."""
        model = self.run.model
        with autocast(self.features_BF.device, self.bfloat16):
            outputs = {name: model.get_submodule(name)(self.features_BF) for name in model.head_names}
            return [self.run.objective.loss(outputs, self.targets)[0]]

    def step(self) -> list[Tensor]:
        """Windows in counts to the loss."""
        return [self.run.engine.network(*self.windows.tensors)[0]]

    def calls(self, **options: Any) -> Iterator[tuple[str, Call, Call]]:
        """Name, eager code and compiled code of each part."""
        yield "views", self.views, torch.compile(self.views, **options)
        differentiated = {
            "BatchNorm, ReLU, pad": self.padded,
            "heads and loss": self.heads,
            "step up to its gradients": self.step,
        }
        for name, part in differentiated.items():
            gradients = [torch.randn_like(out) for out in part()]
            forms = part, torch.compile(part, **options)
            yield name, *(partial(there_and_back, form, gradients) for form in forms)  # type: ignore[misc]


def before_convolutions(recipe: Recipe) -> Iterator[tuple[BatchNorm, Tensor]]:
    """A BatchNorm of each stage with residual blocks, and its input (batch, channels, ticks)."""
    preset = PRESETS[recipe.network.preset]
    ticks, dtype = preset.ticks, torch.bfloat16 if recipe.run.precision == "bfloat16" else torch.float32
    for stage in preset.stages:
        channels = scaled(stage.channels, recipe.network.width)
        if stage.blocks:
            x_BC1T = torch.randn(recipe.run.batch, channels, 1, ticks).to(dtype).contiguous(memory_format=LAYOUT)
            yield BatchNorm(channels), x_BC1T.squeeze(2).requires_grad_()
        ticks //= stage.factor


def there_and_back(part: Callable[[], list[Tensor]], gradients: list[Tensor]) -> None:
    """Forward and backward. The gradients of weights add up, which costs both sides the same."""
    torch.autograd.backward(part(), gradients)


def measure(recipe: Recipe, rounds: int, backend: str = "inductor") -> Iterator[list[object]]:
    """Rows of the table."""
    with made_stream(recipe.data, recipe.run.batch, 1) as stream:
        parts = Parts(recipe, next(stream))
    for name, eager, compiled in parts.calls(backend=backend, fullgraph=True, dynamic=False):
        seconds = in_turns({"eager": eager, "compiled": compiled}, rounds)
        ratios = [one / other for one, other in zip(seconds["eager"], seconds["compiled"], strict=True)]
        times = [f"{1e3 * median(each):.2f}" for each in seconds.values()]
        yield [name, recipe.run.precision, *times, f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"]


def main() -> None:
    """Measure, and print the table."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--batch", type=int, default=128, help="windows")
    made.add_argument("--width", type=float, default=1.0, help="factor on the channels")
    made.add_argument("--precisions", nargs="+", choices=["float32", "bfloat16"], default=["float32", "bfloat16"])
    made.add_argument("--rounds", type=int, default=9)
    made.add_argument("--threads", type=int, default=1, help="torch threads")
    given = made.parse_args()
    rows: list[list[object]] = []
    for precision in given.precisions:
        sets = [f"run.batch={given.batch}", f"network.width={given.width}", f"run.precision={precision}"]
        sets += [f"run.threads={given.threads}", "run.compile=false", "run.graphs=false", "run.accumulate=1"]
        rows += measure(load_recipe("harnet10", [*sets, "data.lanes=16"]), given.rounds)
    print(f"harnet10, {given.batch} windows, {given.threads} threads; {machine()}; torch {torch.__version__}\n")
    print("\n".join(markdown_table(["part", "precision", "eager, ms", "compiled, ms", "times eager"], rows)))


if __name__ == "__main__":
    main()
