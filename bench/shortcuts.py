"""How much of each pretext task can be answered without knowing movement?

    python bench/shortcuts.py [--windows 120000] [--participants 12] [--days 2] [--quick]

The same small network (harnet10 with an eighth of its channels, the demo's recipe) is trained anew, for the same
number of windows, on windows of simulated people, on noise only, and on windows whose phases are randomised
(train/controls.py), each without jitter and with 8 mg. Each is asked about its own kind of windows, of people whom
it has not seen, drawn so that no two share a second. What it knows of noise is the trace that a transform leaves;
what it knows of random phases is that and changes of the spectrum; the rest of what it knows of real windows is
movement. A table on standard output and in `table.txt`, figures in `shortcuts.json`, a picture in `shortcuts.png`.

What takes time is kept: recordings, store and trained networks lie below --out, one folder a size. Remove it to
begin anew.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from pipeline.day_reader import DayReader
from pipeline.demo.command import NAME_PATTERN, persondays
from pipeline.pictures import CONTROL, INK, OURS, new_figure, save, style
from pipeline.storage import Folder
from pipeline.store import Store
from train import checkpoint as ck
from train.model import Model
from train.networks import make_network
from train.objectives import make_objective
from train.processes import Processes
from train.recipe import Recipe, load_recipe
from train.validate import CONTROLS, Change, validate
from train.windows.members import select
from train.windows.pool import Part, Windows, draw_pool
from train.windows.validation import LANE

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "runs" / "bench" / "shortcuts"
KINDS = {"none": "simulated people", "phase": "phases randomised", "noise": "noise only"}
"""What a network is trained on and asked about, by the recipe's `data.control`."""
JITTERS_G = (0.0, 0.008)
WINDOWS_A_DAY = 1_000
QUICK = {"windows": 6_000, "participants": 4, "days": 1}
Cell = tuple[str, float]
Figures = dict[str, Any]


def make_store(folder: Path, participants: int, days: int) -> Store:
    """The store of simulated people, made by the commands that users have."""
    recordings, key, store = folder / "recordings", folder / "key", folder / "store"
    if not (folder / "ready").exists():
        steps = [persondays("simulate", recordings, "--participants", participants, "--days", days, "--seed", 0)]
        steps += [persondays("new-key", key)] if not key.exists() else []
        steps += [
            persondays(
                "ingest", "--recordings", recordings, "--store", store, "--key-file", key, "--id-regex", NAME_PATTERN
            )
        ]
        for step in steps:
            subprocess.run(step, check=True, cwd=ROOT)
        (folder / "ready").touch()
    return Store.open(str(store))


def overrides(cell: Cell, windows: int) -> list[str]:
    """The demo's recipe made that of a cell: one thread, looked at when it is done."""
    kind, jitter_g = cell
    run = {"windows": windows, "validate_every": windows, "save_every": windows, "keep": 1, "threads": 1}
    settings = {f"run.{name}": value for name, value in run.items()}
    settings |= {"data.threads": 1, "data.control": kind, "objective.multitask.jitter_g": jitter_g}
    return [f"{name}={value}" for name, value in settings.items()]


def train(cell: Cell, windows: int, store: Path, folder: Path) -> Path:
    """The checkpoints of a cell; one that was trained before is left as it is."""
    kind, jitter_g = cell
    checkpoints = folder / f"{kind}-{1e3 * jitter_g:g}mg-{windows}"
    sets = [word for setting in overrides(cell, windows) for word in ("--set", setting)]
    command = [sys.executable, "-m", "train", "demo", "--store", str(store), "--checkpoints", str(checkpoints), *sets]
    found = subprocess.run(
        command, cwd=ROOT, stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    if found.returncode:
        sys.exit(f"training on {KINDS[kind]} failed:\n{found.stderr}")
    print(f"trained on {KINDS[kind]}, {1e3 * jitter_g:g} mg of jitter", file=sys.stderr)
    return checkpoints


def held_out_windows(store: Store, checkpoint: ck.Checkpoint, recipe: Recipe) -> Windows:
    """Windows of the people that a run has not seen, up to 1,000 a day, no two with a second in common."""
    seconds = recipe.data.seconds
    people = set(checkpoint.state["validation_participants"])
    days = select(store, seconds, recipe.data.min_wear_hours, None).of(people, kept=True).spaced(seconds)
    counts = days.starts.clip(max=WINDOWS_A_DAY)
    parts = [Part(slot, count) for slot, count in zip(days.slots.tolist(), counts.tolist(), strict=True)]
    return draw_pool(DayReader(store.folder), parts, seconds, recipe.seed, LANE, 1, spacing=seconds)


def ask(cell: Cell, windows: int, checkpoints: Path, store: Store) -> Figures:
    """What a trained network scores on its own kind of windows: each task's accuracy with its 99% interval."""
    recipe = load_recipe("demo", overrides(cell, windows))
    folder = Folder(str(checkpoints))
    found = ck.read(folder, max(ck.complete(folder)))
    objective, network = make_objective(recipe.objective), make_network(recipe.network)
    model = Model(network, objective.heads(network.features))
    ck.load_model(model, found.model)
    changes: dict[str, Change] = {"none": lambda x_BCT, random: x_BCT, **CONTROLS}
    own = {cell[0]: changes[cell[0]]}
    asked = held_out_windows(store, found, recipe)
    processes = Processes(os.cpu_count())
    return validate(model, objective, asked, own, recipe.seed, store.attributes.counts_per_g, processes)[cell[0]]


def table(found: dict[Cell, Figures]) -> str:
    """A row a task and jitter, a column a kind of windows."""
    first = next(iter(found.values()))
    tasks = [name for name, value in first.items() if isinstance(value, dict)]
    lines = [f"accuracy on {first['windows']:,} windows of people held out (99% interval); guessing is 0.50"]
    lines += ["| task | jitter | " + " | ".join(KINDS.values()) + " |", "| --- | --- |" + " --- |" * len(KINDS)]
    for task, jitter_g in product(tasks, JITTERS_G):
        each = [found[kind, jitter_g][task] for kind in KINDS]
        scores = " | ".join(f"{x['accuracy']:.2f} ({x['low']:.2f} to {x['high']:.2f})" for x in each)
        lines.append(f"| {task} | {1e3 * jitter_g:g} mg | {scores} |")
    return "\n".join(lines)


def picture(found: dict[Cell, Figures], windows: int, path: Path) -> None:
    """A panel a task: each kind of windows, without jitter and with."""
    tasks = [name for name, value in next(iter(found.values())).items() if isinstance(value, dict)]
    with style():
        figure = new_figure(3.4)
        panels = figure.subplots(1, len(tasks), sharey=True)
        for axes, task in zip(panels, tasks, strict=True):
            for jitter_g, colour, marker, shift in zip(JITTERS_G, (CONTROL, OURS), "os", (-0.13, 0.13), strict=True):
                each = [found[kind, jitter_g][task] for kind in KINDS]
                middle = [x["accuracy"] for x in each]
                reach = [[x["accuracy"] - x["low"] for x in each], [x["high"] - x["accuracy"] for x in each]]
                places = [place + shift for place in range(len(KINDS))]
                label = f"jitter of {1e3 * jitter_g:g} mg" if jitter_g else "no jitter"
                axes.errorbar(places, middle, reach, fmt=marker, color=colour, capsize=3, markersize=5, label=label)
            axes.axhline(0.5, color=INK, linewidth=0.9, linestyle=":", label="guessing")
            axes.set(title=task, ylim=(0.45, 1.02), xlim=(-0.5, len(KINDS) - 0.5))
            axes.set_xticks(range(len(KINDS)), [name.replace(" ", "\n") for name in KINDS.values()])
            axes.grid(axis="x", visible=False)
        panels[0].set_ylabel("accuracy, people held out")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
        figure.suptitle(f"A small network, trained anew on {windows:,} windows of each kind", fontsize=11)
        save(figure, path)


def main() -> None:
    """Make the store, train the networks two at a time, ask, and tell."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--windows", type=int, default=120_000, help="to train each network on")
    arguments.add_argument("--participants", type=int, default=12, help="people to simulate")
    arguments.add_argument("--days", type=int, default=2, help="of each of them")
    arguments.add_argument("--quick", action="store_true", help="a trial: few people, few windows")
    arguments.add_argument("--out", type=Path, default=OUT)
    given = arguments.parse_args()
    if given.quick:
        vars(given).update(QUICK)
    folder = given.out.absolute() / f"{given.participants}-people-{given.days}-days"
    folder.mkdir(parents=True, exist_ok=True)
    store = make_store(folder, given.participants, given.days)
    cells = list(product(KINDS, JITTERS_G))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        trained = list(pool.map(lambda cell: train(cell, given.windows, folder / "store", folder), cells))
    torch.manual_seed(0)
    found = {cell: ask(cell, given.windows, made, store) for cell, made in zip(cells, trained, strict=True)}
    text = table(found)
    (folder / "table.txt").write_text(text + "\n")
    figures = [{"windows": kind, "jitter_g": jitter_g, **found[kind, jitter_g]} for kind, jitter_g in cells]
    (folder / "shortcuts.json").write_text(json.dumps(figures, indent=2) + "\n")
    picture(found, given.windows, folder / "shortcuts.png")
    print(f"{text}\n\ntable, figures and picture: {folder}")


if __name__ == "__main__":
    main()
