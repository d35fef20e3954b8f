"""One training step: a batch from the stream, in pieces, through views, network and loss, and one update."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from train.distributed.engine import Network
from train.optim.schedule import rate_at
from train.windows.pool import Windows

if TYPE_CHECKING:
    from train.loop.run import Run


@dataclass(frozen=True)
class StepResult:
    """What a step leaves behind. Figures and norm are on the device, so that nothing has to wait for them."""

    number: int
    figures: dict[str, Tensor]
    """The objective's figures for this process's windows."""
    norm: Tensor
    """Norm of the gradient over all processes, before clipping."""
    place_BP: Tensor
    """Where this process's windows come from (`Windows.place_BP`), on the host."""
    waited_s: float
    """Time that this process waited for data."""


def take_step(run: Run) -> StepResult:
    """Train on the next batch."""
    recipe = run.recipe
    started = time.perf_counter()
    windows, place_BP = next(run.feed)
    waited_s = time.perf_counter() - started
    figures: dict[str, Tensor] = {}

    def loss_of(network: Network, piece: Windows) -> Tensor:
        if recipe.run.graphs:
            torch.compiler.cudagraph_mark_step_begin()
        loss, sums = network(*piece.tensors)
        for name, value in sums.items():
            figures[name] = figures[name] + value if name in figures else value
        return loss

    rate = rate_at(recipe.optimizer, recipe.run.batch, run.seen, recipe.run.windows)
    norm = run.engine.step(in_pieces(windows, recipe.run.accumulate), loss_of, rate)
    run.processes.average(run.statistics)
    run.step += 1
    if run.average:
        run.average.update(run.seen, recipe.run.batch)
    if recipe.run.graphs:  # the next step writes its figures to the same memory
        figures = {name: value.clone() for name, value in figures.items()}
    return StepResult(run.step, figures, norm, place_BP, waited_s)


def in_pieces(windows: Windows, pieces: int) -> list[Windows]:
    """Cut windows into equal pieces."""
    size = len(windows) // pieces
    return [windows.take(slice(start, start + size)) for start in range(0, len(windows), size)]
