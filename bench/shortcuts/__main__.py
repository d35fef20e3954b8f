"""How much of each pretext task can be answered without recognising movement?

    python -m bench.shortcuts [--windows 150000] [--participants 12] [--days 2] [--quick]

The same small network (harnet10 with an eighth of its channels, the demo's recipe) is trained from scratch, for the
same number of windows, on four kinds of windows: of simulated people; the same with their phases randomised; noise
with the mean and deviation of each (train/transforms/controls.py); and noise of 4 mg, about that of a sensor at rest.
Each kind comes without jitter and with 8 mg. A network is validated on its own kind of windows, of people it has not
seen, no two of which share a second. Accuracy on noise comes from the trace that a transform leaves; accuracy on random
phases from that trace and a change of spectrum; the rest of the accuracy on real windows from movement. A table is
printed and written to `table.txt`, figures to `shortcuts.json`, a picture to `shortcuts.png`.

Recordings, store and the figures of each network are kept below --out, one folder a size: an interrupted run resumes.
Remove the folder to start again.
"""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path

from pipeline.pages.figures import CONTROL, INK, OURS, new_figure, save, style

from ..command import parser, write_json
from ..tables import markdown_table
from .networks import JITTERS_G, KINDS, TASKS, Cell, Figures, make_store, train_and_validate

QUICK = {"windows": 6_000, "participants": 4, "days": 1}


def table(found: dict[Cell, Figures]) -> str:
    """A row per task and jitter, a column per kind of windows."""
    count = next(iter(found.values()))["windows"]
    lines = [f"accuracy on {count:,} windows of people held out (99% interval); guessing is 0.50"]
    rows = []
    for task, jitter_g in product(TASKS, JITTERS_G):
        each = [found[kind, jitter_g][task] for kind in KINDS]
        scores = [f"{x['accuracy']:.2f} ({x['low']:.2f} to {x['high']:.2f})" for x in each]
        rows.append([task, f"{1e3 * jitter_g:g} mg", *scores])
    return "\n".join([*lines, *markdown_table(["task", "jitter", *KINDS], rows)])


def picture(found: dict[Cell, Figures], windows: int, path: Path) -> None:
    """Draw one panel per task: each kind of windows, without jitter and with."""
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
        figure.suptitle(f"A small network, trained from scratch on {windows:,} windows of each kind", fontsize=11)
        save(figure, path)


def main() -> None:
    """Make the store, train the networks one a core, and print the table."""
    arguments = parser(__doc__, "shortcuts", quick="a trial: few people, few windows")
    arguments.add_argument("--windows", type=int, default=150_000, help="windows to train each network on")
    arguments.add_argument("--participants", type=int, default=12, help="participants to simulate")
    arguments.add_argument("--days", type=int, default=2, help="days of each participant")
    given = arguments.parse_args()
    if given.quick:
        vars(given).update(QUICK)
    folder = given.out / f"{given.participants}-people-{given.days}-days"
    folder.mkdir(parents=True, exist_ok=True)
    make_store(folder, given.participants, given.days)
    cells = list(product(KINDS, JITTERS_G))
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        results = pool.map(train_and_validate, cells, [given.windows] * len(cells), [folder] * len(cells))
        found = dict(zip(cells, results, strict=True))
    text = table(found)
    (folder / "table.txt").write_text(text + "\n")
    figures = [{"windows": kind, "jitter_g": jitter_g, **found[kind, jitter_g]} for kind, jitter_g in cells]
    write_json(folder / "shortcuts.json", figures)
    picture(found, given.windows, folder / "shortcuts.png")
    print(f"{text}\n\ntable, figures and picture: {folder}")


if __name__ == "__main__":
    main()
