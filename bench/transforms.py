"""How fast are pretext views made a batch at a time, beside one window at a time?

    python bench/transforms.py [--batches 512 6144] [--repeats 9] [--quick]

The same recipe (reversal, permutation and warp by a coin each, axis permutation, rotation; with and without jitter)
on one core, windows of 10 s. The per-window way is ours, in NumPy and SciPy, as a data set's `__getitem__` has it in
code that is written for the reference recipe: a random generator, a branch on each coin, the windows stacked to a
batch at the end. Its warp makes a spline for each axis, as Um et al. do; a second row has the three axes in one
call of SciPy. Our rows begin at the windows and their places in the store and include all random numbers. A training
step is taken first, as in a process that trains: until larger pieces of memory have been freed, the C library gives
what is freed back to the system, and each pass would ask for it anew. Every round times each way once; the table
shows medians. Then what our batch's time goes into, a transform at a time. The tables on standard output, the
figures in `transforms.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from plain_windows import view

from train.networks.harnet import Harnet
from train.networks.model import Model
from train.objectives.multitask import TASKS, Multitask, MultitaskSettings
from train.random import WindowRandom
from train.transforms.axes import permute_axes
from train.transforms.controls import noise_only, phase_randomised
from train.transforms.jitter import jitter
from train.transforms.rotation import rotate

OUT = Path(__file__).resolve().parents[1] / "runs" / "bench" / "transforms"
TICKS, JITTER_G = 300, 0.008
Way = Callable[[], Any]


# --- one window at a time -------------------------------------------------------------------------------------------


def window_by_window(
    x_BCT: torch.Tensor, jitter_g: float, spline_an_axis: bool, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch of views and labels, as a loader collates them."""
    made = [view(x_CT, rng, jitter_g, spline_an_axis) for x_CT in x_BCT.numpy()]
    return torch.from_numpy(np.stack([x for x, _ in made])), torch.from_numpy(np.stack([labels for _, labels in made]))


# --- the comparison -------------------------------------------------------------------------------------------------


def places(batch: int) -> WindowRandom:
    """The random numbers of windows from many lanes, days and starts."""
    index = torch.arange(batch)
    return WindowRandom.of(1, index % 64, index // 64, index * 31 % 5000, index * 17 % 86400)


def ways(batch: int, jitter_g: float, compiled: bool) -> dict[str, Way]:
    """Each way to make a batch of views."""
    x_BCT = torch.randn(batch, 3, TICKS, generator=torch.Generator().manual_seed(0))
    rng, views = np.random.default_rng(0), Multitask(MultitaskSettings(jitter_g=jitter_g)).views
    found: dict[str, Way] = {
        "window by window, a spline an axis": lambda: window_by_window(x_BCT, jitter_g, True, rng),
        "window by window, a spline a window": lambda: window_by_window(x_BCT, jitter_g, False, rng),
        "ours": lambda: views(x_BCT, places(batch)),
    }
    if compiled:
        fused = torch.compile(lambda x, random: views(x, random), fullgraph=True, dynamic=False)
        found["ours, torch.compile"] = lambda: fused(x_BCT, places(batch))
    return found


def interleaved(ways: dict[str, Way], repeats: int) -> dict[str, list[float]]:
    """Seconds of each way in each round, one after the other in every round; a round before is thrown away."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for round_ in range(repeats + 1):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            if round_:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def compare(batch: int, jitter_g: float, repeats: int, compiled: bool) -> list[dict[str, Any]]:
    """A row a way: windows a second, and how many times the first way's."""
    seconds = interleaved(ways(batch, jitter_g, compiled), repeats)
    slowest = median(next(iter(seconds.values())))
    return [
        {
            "batch": batch,
            "jitter, mg": 1e3 * jitter_g,
            "way": name,
            "windows/s": batch / median(each),
            "from": batch / max(each),
            "to": batch / min(each),
            "times the first": slowest / median(each),
        }
        for name, each in seconds.items()
    ]


def train_a_step() -> None:
    """One step of a small network, so that memory is as it is where views are made."""
    objective, network = Multitask(MultitaskSettings()), Harnet("harnet10", 0.125)
    model = Model(network, objective.heads(network.features))
    views, targets = objective.views(torch.randn(256, 3, TICKS), places(256))
    objective.loss(model(views), targets)[0].backward()


def parts(batch: int, repeats: int) -> list[dict[str, Any]]:
    """A row a transform and control of ours: microseconds a window."""
    x_BCT, random = torch.randn(batch, 3, TICKS, generator=torch.Generator().manual_seed(0)), places(batch)
    on = torch.ones(batch, dtype=torch.bool)
    steps: dict[str, Way] = {"keys": lambda: places(batch)}
    steps["labels"] = lambda: random.coins([task.purpose for task in TASKS])
    steps |= {task.name: lambda task=task: task.transform(x_BCT, random, on) for task in TASKS}
    steps["axis permutation"] = lambda: permute_axes(x_BCT, random)
    steps["rotation"] = lambda: rotate(x_BCT, random)
    steps["jitter"] = lambda: jitter(x_BCT, random, JITTER_G)
    steps["control: noise_only"] = lambda: noise_only(x_BCT, random)
    steps["control: phase_randomised"] = lambda: phase_randomised(x_BCT, random)
    seconds = interleaved(steps, 3 * repeats)
    return [{"batch": batch, "part": name, "us a window": 1e6 * median(each) / batch} for name, each in seconds.items()]


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown."""
    cells = [list(rows[0])] + [[cell(value) for value in row.values()] for row in rows]
    wide = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * (width - 1) + ":" for width in wide])
    lines = [" | ".join(f"{text:>{width}}" for text, width in zip(row, wide, strict=True)) for row in cells]
    return "\n".join(f"| {line} |" for line in lines)


def cell(value: float | str) -> str:
    """A value as text."""
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 100 else f"{value:,.2f}"
    return str(value)


def main() -> None:
    """Run and tell."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--batches", type=int, nargs="+", default=[512, 6144])
    arguments.add_argument("--repeats", type=int, default=9)
    arguments.add_argument("--quick", action="store_true", help="batches of 512, 3 rounds, nothing compiled")
    arguments.add_argument("--out", type=Path, default=OUT)
    given = arguments.parse_args()
    batches, repeats = ([512], 3) if given.quick else (given.batches, given.repeats)
    torch.set_num_threads(1)
    given.out.mkdir(parents=True, exist_ok=True)
    print(f"one core of {os.cpu_count()}, {platform.machine()}, torch {torch.__version__}, numpy {np.__version__}\n")
    train_a_step()
    rows = [row for batch in batches for g in (0.0, JITTER_G) for row in compare(batch, g, repeats, not given.quick)]
    print(table(rows))
    each = [row for batch in batches for row in parts(batch, repeats)]
    print(f"\n{table(each)}")
    (given.out / "transforms.json").write_text(json.dumps({"ways": rows, "parts": each}, indent=2) + "\n")


if __name__ == "__main__":
    main()
