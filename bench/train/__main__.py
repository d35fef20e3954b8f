"""A training step compared with the published recipe in plain PyTorch, on a CPU or a GPU.

    python -m bench.train [--network harnet10] [--width 1.0] [--batches 128] [--precisions float32 bfloat16]
                          [--ways plain ours] [--compiled] [--rounds 3] [--steps 4] [--price 2.50]
                          [--quick] [--markdown]

Every row trains a network from windows in memory: `plain` is textbook PyTorch (bench/train/plain.py), `ours` the steps
of a run (bench/train/ours.py), at the same batch, precision and number of threads. `ours, channels first` keeps torch's
default layout, to show the effect of the layout of the harnets. Neither reads a disk, so this needs torch, numpy, scipy
and numba, and no ray, deepspeed or zarr. Each cell runs in its own process; cells take turns in every round, and the
table shows medians over rounds. `feed` is the stream alone: windows per second drawn, cut and copied to the device
(`make bench-stream` measures reading and decompression). `of matrix rate` is the step's operations, as torch counts
them, divided by the rate of a large matrix product in the same precision on the same device. On a GPU, the hours and
the cost of the published run (the recipe's windows) follow. Tables are printed; figures are written to `train.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from dataclasses import asdict
from datetime import date
from typing import Any

from ..command import ROOT, figures_of_last_run, module, parser, write_json
from ..tables import line
from .cell import WAYS, Cell, matrix_rate, measured

GPU = {
    "batches": [512, 1024, 2048, 4096, 8192],
    "precisions": ["float32", "tf32", "bfloat16"],
    "steps": 30,
    "rounds": 5,
}
CPU = {"batches": [128], "precisions": ["float32", "bfloat16"], "steps": 4, "rounds": 3}


def alone(task: dict[str, Any]) -> dict[str, Any]:
    """Measure a cell in a process of its own; the last line of its error if it fails."""
    command = module("bench.train", "--one", json.dumps(task))
    environment = os.environ | {"OMP_NUM_THREADS": str(task.get("threads", 1))}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        words = [line for line in done.stderr.strip().splitlines() if line.strip()]
        return {"failed": "out of memory" if "out of memory" in done.stderr else words[-1] if words else "no words"}
    return json.loads(done.stdout.strip().splitlines()[-1])


def cells_of(given: argparse.Namespace) -> list[Cell]:
    """The cells to measure."""
    shared = {name: getattr(given, name) for name in ("network", "width", "threads", "workers", "objective", "engine")}
    found = []
    for batch in given.batches:
        for precision in given.precisions:
            for compiled in (False, True) if given.compiled else (False,):
                for way in given.ways if given.network.startswith("harnet") else ("ours",):
                    cell = Cell(way, batch=batch, precision=precision, compiled=compiled, steps=given.steps, **shared)
                    found.append(cell)
    feed = Cell("feed", batch=max(given.batches), precision="float32", compiled=False, steps=0, **shared)
    return [*found, feed]


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Measure all cells in turns, and the rate of a matrix product in each precision."""
    cells = cells_of(given)
    seen: list[list[dict[str, Any]]] = [[] for _ in cells]
    for round_ in range(given.rounds):
        for number, cell in enumerate(cells):
            figures = alone(asdict(cell))
            seen[number].append(figures)
            result = figures.get("failed") or f"{figures['windows_s']:,.0f} windows/s"
            print(f"round {round_ + 1}: {describe(cell)}: {result}", file=sys.stderr)
    rates = {
        precision: alone({"matrix": precision, "threads": given.threads}).get("rate") for precision in given.precisions
    }
    rows = [asdict(cell) | summary(each) for cell, each in zip(cells, seen, strict=True)]
    return {
        "date": str(date.today()),
        "machine": device_and_torch(),
        "rounds": given.rounds,
        "matrix_rates": rates,
        "rows": rows,
    }


def summary(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """The median of each figure over rounds, with the range of windows per second."""
    good = [each for each in rounds if "failed" not in each]
    if not good:
        return {"failed": rounds[0]["failed"]}
    medians = {name: statistics.median(each[name] for each in good) for name in good[0]}
    return medians | {"from": min(each["windows_s"] for each in good), "to": max(each["windows_s"] for each in good)}


def describe(cell: Cell) -> str:
    """A cell in words."""
    return f"{cell.way}{', compiled' if cell.compiled else ''}, batch {cell.batch}, {cell.precision}"


def device_and_torch() -> dict[str, Any]:
    """What the figures were measured on."""
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    cores = len(os.sched_getaffinity(0))
    return {"gpu": gpu, "cores": cores, "arch": platform.machine(), "torch": torch.__version__}


# --- the tables -----------------------------------------------------------------------------------------------------


def markdown(found: dict[str, Any], price: float, windows: int) -> str:
    """The tables of docs/benchmarks.md."""
    where = found["machine"]
    rows = [row for row in found["rows"] if row["way"] != "feed"]
    plain = {key(row): row.get("windows_s") for row in rows if row["way"] == "plain"}
    head = ["batch", "precision", "way", "windows/s", "times plain", "of matrix rate"]
    head += ["memory, GB", "hours", f"cost at {price:g} an hour"] if where["gpu"] else []
    lines = [
        f"{rows[0]['network']} at width {rows[0]['width']:g}, {where['gpu'] or 'CPU'}, {rows[0]['threads']} threads, "
        f"{rows[0]['workers']} workers, torch {where['torch']}, {found['date']}; medians of {found['rounds']}.",
        "",
        line(head),
        line(["---"] * len(head)),
    ]
    for row in rows:
        begun = [f"{row['batch']:,}", row["precision"], row["way"] + (", compiled" if row["compiled"] else "")]
        lines.append(line(begun + figures_of(row, plain.get(key(row)), found["matrix_rates"], price, windows, where)))
    feed = next(row for row in found["rows"] if row["way"] == "feed")
    fastest = max((row.get("windows_s", 0) for row in rows if row["way"] != "plain"), default=0)
    if "windows_s" in feed and fastest:
        times = feed["windows_s"] / fastest
        lines += [
            "",
            f"The stream alone, from memory: {feed['windows_s']:,.0f} windows/s, {times:.1f} times the fastest.",
        ]
    if where["gpu"]:
        lines += ["", f"Hours and cost are those of the published run's {windows:,} windows on one such GPU."]
    return "\n".join(lines)


def key(row: dict[str, Any]) -> tuple[Any, ...]:
    """The values that a row shares with the plain row it is compared with, which is never compiled."""
    return row["batch"], row["precision"]


def figures_of(
    row: dict[str, Any],
    plain: float | None,
    rates: dict[str, float | None],
    price: float,
    windows: int,
    where: dict[str, Any],
) -> list[str]:
    """A row's cells after the first three."""
    if "failed" in row:
        return [row["failed"]]
    speed, rate = row["windows_s"], rates.get(row["precision"])
    cells = [f"{speed:,.0f} ({row['from']:,.0f} to {row['to']:,.0f})", f"{speed / plain:.2f}" if plain else "-"]
    cells.append(f"{speed * row['flop'] / rate:.0%}" if "flop" in row and rate else "-")
    if where["gpu"]:
        hours = windows / speed / 3600
        cells += [f"{row['memory_gb']:.1f}", f"{hours:,.0f}", f"{hours * price:,.0f}"]
    return cells


def arguments() -> argparse.Namespace:
    """The command line; defaults that depend on the device are filled in later."""
    made = parser(__doc__, "train", quick="one round of few steps at a quarter of the width: a trial", markdown=True)
    made.add_argument("--network", default="harnet10", help="a preset; plain supports only the harnets")
    made.add_argument("--width", type=float, default=1.0, help="factor on the channels")
    made.add_argument("--batches", type=int, nargs="+", help="windows in a batch")
    made.add_argument("--precisions", nargs="+", choices=["float32", "tf32", "bfloat16"])
    made.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS[:2])
    made.add_argument("--objective", default="multitask", help="objective of ours; plain supports only multitask")
    made.add_argument("--engine", default="ddp", choices=["ddp", "deepspeed"], help="engine of ours")
    made.add_argument("--compiled", action="store_true", help="also measure each cell compiled")
    made.add_argument("--rounds", type=int)
    made.add_argument("--steps", type=int)
    made.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="torch threads")
    made.add_argument("--workers", type=int, help="workers of the plain loader, and threads of our stream")
    made.add_argument("--price", type=float, default=2.5, help="price of an hour of one GPU")
    made.add_argument("--windows", type=int, help="windows of the published run; default: from the recipe")
    made.add_argument("--one", help=argparse.SUPPRESS)
    return made.parse_args()


def main() -> None:
    """Measure and print, or print the last measurement."""
    given = arguments()
    if given.one:
        task = json.loads(given.one)
        print(json.dumps({"rate": matrix_rate(task["matrix"])} if "matrix" in task else measured(Cell(**task))))
        return
    from train.recipe import load_recipe

    windows = given.windows or load_recipe("harnet10").run.windows
    kept = given.out / "train.json"
    if not given.markdown:
        import torch

        defaults = GPU if torch.cuda.is_available() else CPU
        if given.quick:
            given.width, defaults = 0.25, defaults | {"batches": [128], "steps": 3, "rounds": 1}
        for name, value in (*defaults.items(), ("workers", max(2, min(given.threads - 1, 12)))):
            if getattr(given, name) is None:
                setattr(given, name, value)
        found = measure(given)
        write_json(kept, found)
    print(markdown(figures_of_last_run(kept), given.price, windows))


if __name__ == "__main__":
    main()
