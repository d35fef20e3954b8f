"""How much of each pretext task can be answered without knowing movement?

    python bench/shortcuts.py [--windows 150000] [--participants 12] [--days 2] [--quick]

The same small network (harnet10 with an eighth of its channels, the demo's recipe) is trained anew, for the same
number of windows, on four kinds of them: windows of simulated people; the same with their phases randomised; noise
with the mean and deviation of each (train/transforms/controls.py); and noise of 4 mg, about that of a sensor at rest.
Each kind without jitter and with 8 mg. A network is asked about its own kind of windows, of people whom it has not
seen, drawn so that no two share a second. What it knows of noise is the trace that a transform leaves; what it
knows of random phases is that and a change of spectrum; the rest of what it knows of real windows is movement.
A table on standard output and in `table.txt`, figures in `shortcuts.json`, a picture in `shortcuts.png`.

Recordings, store and the figures of each network are kept below --out, one folder a size: an interrupted bench goes
on. Remove the folder to begin anew.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from torch import Tensor

from pipeline.demo.command import NAME_PATTERN, persondays
from pipeline.pages.figures import CONTROL, INK, OURS, new_figure, save, style
from pipeline.store.day_reader import DayReader
from pipeline.store.store import Store
from train.distributed.processes import Processes
from train.loop.setup import Run, prepare
from train.loop.validate import Change, validate, windows_in_g
from train.optim.schedule import rate_at
from train.random import Purpose, WindowRandom
from train.recipe import Recipe, load_recipe
from train.transforms.controls import noise_only, phase_randomised
from train.windows.members import held_out, select
from train.windows.pool import Part, Windows, draw_pool
from train.windows.validation import LANE

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "runs" / "bench" / "shortcuts"
TASKS = ("reversal", "permutation", "warp")
STILL_G, JITTERS_G = 0.004, (0.0, 0.008)
WINDOWS_A_DAY = 1_000
QUICK = {"windows": 6_000, "participants": 4, "days": 1}
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
    """A store of simulated people, made by the commands that users have."""
    recordings, key, store = folder / "recordings", folder / "key", folder / "store"
    simulated = ("--participants", participants, "--days", days, "--seed", 0)
    ingested = ("--recordings", recordings, "--store", store, "--key-file", key, "--id-regex", NAME_PATTERN)
    if not (folder / "ready").exists():
        subprocess.run(persondays("simulate", recordings, *simulated), check=True, cwd=ROOT)
        if not key.exists():
            subprocess.run(persondays("new-key", key), check=True, cwd=ROOT)
        subprocess.run(persondays("ingest", *ingested), check=True, cwd=ROOT)
        (folder / "ready").touch()


def train_and_ask(cell: Cell, windows: int, folder: Path) -> Figures:
    """What a network that was trained on a kind of windows scores on others of them, people held out.

    A task's accuracy with its 99% interval. What was found before is read from its file.
    """
    kind, jitter_g = cell
    kept = folder / f"{kind.replace(' ', '-')}-{1e3 * jitter_g:g}mg-{windows}.json"
    if not kept.exists():
        recipe = load_recipe("demo", [f"run.windows={windows}", f"objective.multitask.jitter_g={jitter_g}"])
        store = Store.open(str(folder / "store"))
        run = prepare(recipe, store, None, Processes(threads=1))
        with run.stream:
            while run.seen < windows:
                step(run, KINDS[kind])
        asked = windows_held_out(store, recipe)
        changes = {kind: KINDS[kind]}
        found = validate(run.model, run.objective, asked, changes, recipe.seed, run.counts_per_g, run.processes)
        kept.write_text(json.dumps(found[kind], indent=2) + "\n")
        print(f"trained on {kind}, {1e3 * jitter_g:g} mg of jitter", file=sys.stderr)
    return json.loads(kept.read_text())


def step(run: Run, change: Change) -> None:
    """One step of training on changed windows."""
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
    """Windows of the people that are not trained on, up to 1,000 a day, no two with a second in common."""
    seconds = recipe.data.seconds
    everyone = select(store, seconds, recipe.data.min_wear_hours, None)
    days = everyone.of(held_out(everyone), kept=True).spaced(seconds)
    counts = days.starts.clip(max=WINDOWS_A_DAY)
    parts = [Part(slot, count) for slot, count in zip(days.slots.tolist(), counts.tolist(), strict=True)]
    return draw_pool(DayReader(store.folder), parts, seconds, recipe.seed, LANE, 1, spacing=seconds)


def table(found: dict[Cell, Figures]) -> str:
    """A row a task and jitter, a column a kind of windows."""
    asked = next(iter(found.values()))["windows"]
    lines = [f"accuracy on {asked:,} windows of people held out (99% interval); guessing is 0.50"]
    lines += ["| task | jitter | " + " | ".join(KINDS) + " |", "| --- | --- |" + " --- |" * len(KINDS)]
    for task, jitter_g in product(TASKS, JITTERS_G):
        each = [found[kind, jitter_g][task] for kind in KINDS]
        scores = " | ".join(f"{x['accuracy']:.2f} ({x['low']:.2f} to {x['high']:.2f})" for x in each)
        lines.append(f"| {task} | {1e3 * jitter_g:g} mg | {scores} |")
    return "\n".join(lines)


def picture(found: dict[Cell, Figures], windows: int, path: Path) -> None:
    """A panel a task: each kind of windows, without jitter and with."""
    with style():
        figure = new_figure(3.6)
        panels = figure.subplots(1, len(TASKS), sharey=True)
        for axes, task in zip(panels, TASKS, strict=True):
            for jitter_g, colour, marker, shift in zip(JITTERS_G, (CONTROL, OURS), "os", (-0.15, 0.15), strict=True):
                each = [found[kind, jitter_g][task] for kind in KINDS]
                middle = [x["accuracy"] for x in each]
                reach = [[x["accuracy"] - x["low"] for x in each], [x["high"] - x["accuracy"] for x in each]]
                places = [place + shift for place in range(len(KINDS))]
                label = f"jitter of {1e3 * jitter_g:g} mg" if jitter_g else "no jitter"
                axes.errorbar(places, middle, reach, fmt=marker, color=colour, capsize=3, markersize=5, label=label)
            axes.axhline(0.5, color=INK, linewidth=0.9, linestyle=":", label="guessing")
            axes.set(title=task, ylim=(0.45, 1.02), xlim=(-0.5, len(KINDS) - 0.5))
            names = [name.replace(" ", "\n", 1) for name in KINDS]
            axes.set_xticks(range(len(KINDS)), names, rotation=35, ha="right", rotation_mode="anchor")
            axes.grid(axis="x", visible=False)
        panels[0].set_ylabel("accuracy, people held out")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
        figure.suptitle(f"A small network, trained anew on {windows:,} windows of each kind", fontsize=11)
        save(figure, path)


def main() -> None:
    """Make the store, train the networks one a core, and tell."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--windows", type=int, default=150_000, help="to train each network on")
    arguments.add_argument("--participants", type=int, default=12, help="people to simulate")
    arguments.add_argument("--days", type=int, default=2, help="of each of them")
    arguments.add_argument("--quick", action="store_true", help="a trial: few people, few windows")
    arguments.add_argument("--out", type=Path, default=OUT)
    given = arguments.parse_args()
    if given.quick:
        vars(given).update(QUICK)
    folder = given.out.absolute() / f"{given.participants}-people-{given.days}-days"
    folder.mkdir(parents=True, exist_ok=True)
    make_store(folder, given.participants, given.days)
    cells = list(product(KINDS, JITTERS_G))
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        asked = pool.map(train_and_ask, cells, [given.windows] * len(cells), [folder] * len(cells))
        found = dict(zip(cells, asked, strict=True))
    text = table(found)
    (folder / "table.txt").write_text(text + "\n")
    figures = [{"windows": kind, "jitter_g": jitter_g, **found[kind, jitter_g]} for kind, jitter_g in cells]
    (folder / "shortcuts.json").write_text(json.dumps(figures, indent=2) + "\n")
    picture(found, given.windows, folder / "shortcuts.png")
    print(f"{text}\n\ntable, figures and picture: {folder}")


if __name__ == "__main__":
    main()
