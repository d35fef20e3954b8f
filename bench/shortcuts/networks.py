"""Networks trained on one kind of windows each, and their accuracy on that kind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from torch import Tensor

from pipeline.demo.command import NAME_PATTERN, persondays
from pipeline.store.day_reader import DayReader
from pipeline.store.store import Store
from train.distributed.processes import Processes
from train.loop.run import Run
from train.loop.setup import prepare
from train.loop.validate import Change, validate, windows_in_g
from train.optim.schedule import rate_at
from train.random import Purpose, WindowRandom
from train.recipe import Recipe, load_recipe
from train.transforms.controls import noise_only, phase_randomised
from train.windows.members import choose_held_out, select
from train.windows.pool import DayDraw, Windows, draw_pool
from train.windows.validation import LANE

from ..command import ROOT, write_json

TASKS = ("reversal", "permutation", "warp")
STILL_G, JITTERS_G = 0.004, (0.0, 0.008)
WINDOWS_PER_DAY = 1_000
MULTITASK = (
    *("objective.name=multitask", "objective.multitask.rotation=false", "objective.multitask.axis_permutation=false"),
    *("run.batch=128", "data.lanes=16"),
)
Cell = tuple[str, float]
Figures = dict[str, Any]


def still(x_BCT: Tensor, random: WindowRandom) -> Tensor:
    """White gaussian noise of 4 mg."""
    return STILL_G * random.normal(Purpose.CONTROL, x_BCT[0].numel()).view_as(x_BCT)


KINDS: dict[str, Change] = {
    "simulated people": lambda x_BCT, random: x_BCT,
    "phases randomised": phase_randomised,
    "noise, their size": noise_only,
    "noise of 4 mg": still,
}


def make_store(folder: Path, participants: int, days: int) -> None:
    """Make a store of simulated people with persondays' own commands."""
    recordings, key, store = folder / "recordings", folder / "key", folder / "store"
    simulated = ("--participants", participants, "--days", days, "--seed", 0)
    ingested = ("--recordings", recordings, "--store", store, "--key-file", key, "--id-regex", NAME_PATTERN)
    if not (folder / "ready").exists():
        subprocess.run(persondays("simulate", recordings, *simulated), check=True, cwd=ROOT)
        if not key.exists():
            subprocess.run(persondays("new-key", key), check=True, cwd=ROOT)
        subprocess.run(persondays("ingest", *ingested), check=True, cwd=ROOT)
        (folder / "ready").touch()


def train_and_validate(cell: Cell, windows: int, folder: Path) -> Figures:
    """Train a network on one kind of windows and return its accuracies on the same kind, of people held out.

    Each accuracy has a 99% interval. The result of an earlier run is read from its file.
    """
    kind, jitter_g = cell
    kept = folder / f"{kind.replace(' ', '-')}-{1e3 * jitter_g:g}mg-{windows}.json"
    if not kept.exists():
        recipe = load_recipe("demo", [*MULTITASK, f"run.windows={windows}", f"objective.multitask.jitter_g={jitter_g}"])
        store = Store.open(str(folder / "store"))
        run = prepare(recipe, store, None, Processes(threads=1))
        with run.stream:
            while run.seen < windows:
                step(run, KINDS[kind])
        held = windows_held_out(store, recipe)
        changes = {kind: KINDS[kind]}
        found = validate(run.model, run.objective, held, changes, recipe.seed, run.counts_per_g, run.processes)
        write_json(kept, found[kind])
        print(f"trained on {kind}, {1e3 * jitter_g:g} mg of jitter", file=sys.stderr)
    return json.loads(kept.read_text())


def step(run: Run, change: Change) -> None:
    """Take one step of training on changed windows."""
    x_BCT, random = windows_in_g(next(run.stream), run.recipe.seed, run.counts_per_g, run.processes.device)
    views, targets = run.objective.views(change(x_BCT, random), random)
    for group in run.optimizer.param_groups:
        group["lr"] = rate_at(run.recipe.optimizer, run.recipe.run.batch, run.seen, run.recipe.run.windows)
    loss, _ = run.objective.loss(run.model(views), targets)
    run.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    run.optimizer.step()
    run.step += 1


def windows_held_out(store: Store, recipe: Recipe) -> Windows:
    """Windows of the people held out, up to 1,000 per day, no two of which share a second."""
    seconds = recipe.data.seconds
    everyone = select(store, seconds, recipe.data.min_wear_hours, None)
    days = everyone.of_participants(choose_held_out(everyone)).spaced(seconds)
    counts = days.starts.clip(max=WINDOWS_PER_DAY)
    parts = [DayDraw(slot, count) for slot, count in zip(days.slots.tolist(), counts.tolist(), strict=True)]
    return draw_pool(DayReader(store.folder), parts, seconds, recipe.seed, LANE, 1, spacing=seconds)
