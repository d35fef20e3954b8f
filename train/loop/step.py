"""One training step: a batch from the stream, in pieces, through views, network and loss, and one update."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from train.autocast import autocast
from train.distributed.engine import Network
from train.loop.validate import CONTROLS, changed, windows_in_g
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
    recipe, device = run.recipe, run.processes.device
    started = time.perf_counter()
    windows, place_BP = next(run.feed)
    waited_s = time.perf_counter() - started
    figures: dict[str, Tensor] = {}

    def loss_of(network: Network, piece: Windows) -> Tensor:
        x, random = windows_in_g(piece, recipe.seed, run.counts_per_g, device)
        if recipe.data.control != "none":
            x = changed(CONTROLS[recipe.data.control], x, random)
        views, targets = run.objective.views(x, random)
        targets = run.objective.with_vectors(targets, piece.vector_BF)
        with autocast(device, bfloat16=recipe.run.precision == "bfloat16"):
            loss, sums = run.objective.loss(network(views), targets)
        for name, value in sums.items():
            figures[name] = figures[name] + value if name in figures else value
        return loss

    rate = rate_at(recipe.optimizer, recipe.run.batch, run.seen, recipe.run.windows)
    norm = run.engine.step(in_pieces(windows, recipe.run.accumulate), loss_of, rate)
    run.processes.average(run.statistics)
    run.step += 1
    if run.average:
        run.average.update(run.seen, recipe.run.batch)
    return StepResult(run.step, figures, norm, place_BP, waited_s)


def in_pieces(windows: Windows, pieces: int) -> list[Windows]:
    """Cut windows into equal pieces."""
    size = len(windows) // pieces
    return [windows.take(slice(start, start + size)) for start in range(0, len(windows), size)]
