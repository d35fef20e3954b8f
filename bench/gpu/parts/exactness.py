"""The device against the CPU: random words exactly, views to 1e-5, loss and gradients; and the same bits twice."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from bench.train.data import COUNTS_PER_G
from bench.train.ours import bare_model, bare_run
from train.loop.precision import set_numerics
from train.loop.step import take_step
from train.loop.validate import windows_in_g
from train.objectives import make_objective
from train.random import philox, philox_in_torch

from ..batch import batch_on, drawn
from ..figure import Figure, Sizes

CPU = torch.device("cpu")
ALL_TRANSFORMS = ("objective.multitask.scaling=1", "objective.multitask.jitter_g=0.008")
WORDS = 4_096


def words(sizes: Sizes) -> Iterator[Figure]:
    """Random words of the device against the compiled loop of the CPU."""
    generator = torch.Generator().manual_seed(0)
    numbers = [torch.randint(0, 1 << 32, (WORDS,), generator=generator) for _ in range(6)]
    right = philox((numbers[0], numbers[1], numbers[2], numbers[3]), (numbers[4], numbers[5]))
    moved = [each.to(sizes.device) for each in numbers]
    found = philox_in_torch((moved[0], moved[1], moved[2], moved[3]), (moved[4], moved[5]))
    differ = sum(int((a != b.cpu()).sum()) for a, b in zip(right, found, strict=True))
    yield Figure(f"random words that differ, of {4 * WORDS:,}", differ, status="fails" if differ else "ok")


def views(sizes: Sizes) -> Iterator[Figure]:
    """Views and targets of the device against those of the CPU."""
    for name, sets in (
        ("multitask", ALL_TRANSFORMS),
        ("simclr", ("objective.name=simclr",)),
        ("masked", ("objective.name=masked",)),
    ):
        recipe = sizes.recipe(sizes.few, *sets)
        objective, windows = make_objective(recipe.objective), drawn(recipe)
        of_cpu, of_device = (
            objective.views(*windows_in_g(windows, recipe.seed, COUNTS_PER_G, device)) for device in (CPU, sizes.device)
        )
        away = _away(of_cpu[0], of_device[0])
        yield sizes.checked(f"views, {name}: largest difference", f"{away:.1e}", away <= 1e-5, "g")
        away = _away(of_cpu[1].double(), of_device[1].double())
        yield sizes.checked(f"targets, {name}: largest difference", f"{away:.1e}", away <= 1e-4)


def gradients(sizes: Sizes) -> Iterator[Figure]:
    """Loss and gradients of the device in float32 against those of the CPU, from the same weights and views."""
    recipe = sizes.recipe(min(sizes.few, 64), "run.precision=float32")
    set_numerics(recipe.run, sizes.device)
    windows, found = drawn(recipe), []
    for device in (CPU, sizes.device):
        objective, model = bare_model(recipe, device)
        x, random = windows_in_g(windows, recipe.seed, COUNTS_PER_G, CPU)
        seen, targets = (each.to(device) for each in objective.views(x, random))
        loss = objective.loss(model(seen), targets)[0]
        loss.backward()
        flat = torch.cat([weight.grad.flatten().cpu() for weight in model.parameters() if weight.grad is not None])
        found.append((loss.item(), flat))
    (loss_cpu, own), (loss_device, other) = found
    away = abs(loss_device / loss_cpu - 1)
    yield sizes.checked("loss: relative difference", f"{away:.1e}", away <= 1e-4)
    away = ((other - own).norm() / own.norm()).item()
    yield sizes.checked("gradients: length of the difference over theirs", f"{away:.1e}", away <= 1e-3)


def deterministic(sizes: Sizes) -> Iterator[Figure]:
    """Two steps in deterministic mode, and again: all weights have to be the same to the bit."""
    recipe = sizes.recipe(sizes.few, "run.deterministic=true")
    batch, ends = batch_on(sizes.device, recipe), []
    for _ in range(2):
        run = bare_run(recipe, sizes.processes(), iter([batch] * 2))
        for _ in range(2):
            take_step(run)  # type: ignore[arg-type]
        ends.append(run.model.state_dict())
    differ = [name for name, value in ends[0].items() if not torch.equal(value, ends[1][name])]
    yield sizes.checked("weights that differ after two deterministic steps", len(differ), not differ)


def _away(own: Tensor, other: Tensor) -> float:
    return (own - other.cpu()).abs().max().item()
