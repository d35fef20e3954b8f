"""Pretext views made a batch at a time, compared with one window at a time.

    python -m bench.transforms [--batches 512 6144] [--repeats 9] [--quick]

The same recipe (reversal, permutation and warp by a coin flip each, axis permutation, rotation; with and without
jitter) on one core, with windows of 10 s. The code that works window by window (bench/plain_windows.py) is NumPy and
SciPy, as in the `__getitem__` of a data set; its windows are then stacked into a batch. Its warp fits a spline per
axis, as Um et al. do; a second row handles the three axes in one call of SciPy. Our rows begin with windows and their
places in the store, and include all random numbers. One training step is run first, as in a process that trains: until
larger blocks of memory have been freed, the C library returns freed memory to the system, and every pass would request
it again. Every round times each row once; the table shows medians. A second table splits the time of our batch by
transform. Tables are printed; figures are written to `transforms.json`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

import numpy as np
import torch

from train.networks import NetworkSettings, make_network
from train.networks.model import Model
from train.objectives.multitask import TASKS, Multitask, MultitaskSettings
from train.random import WindowRandom
from train.transforms.axes import permute_axes
from train.transforms.controls import noise_only, phase_randomised
from train.transforms.jitter import jitter
from train.transforms.rotation import rotate

from ..clock import in_turns
from ..command import machine, parser, write_json
from ..plain_windows import view
from ..tables import markdown_table

TICKS, JITTER_G = 300, 0.008
Way = Callable[[], Any]


def window_by_window(
    x_BCT: torch.Tensor, jitter_g: float, spline_an_axis: bool, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch of views and labels, collated as a loader does."""
    made = [view(x_CT, rng, jitter_g, spline_an_axis) for x_CT in x_BCT.numpy()]
    return torch.from_numpy(np.stack([x for x, _ in made])), torch.from_numpy(np.stack([labels for _, labels in made]))


def places(batch: int) -> WindowRandom:
    """The random numbers of windows from many lanes, days and starts."""
    index = torch.arange(batch)
    return WindowRandom.of(1, index % 64, index // 64, index * 31 % 5000, index * 17 % 86400)


def ways(batch: int, jitter_g: float, compiled: bool) -> dict[str, Way]:
    """Each way to make a batch of views."""
    x_BCT = torch.randn(batch, 3, TICKS, generator=torch.Generator().manual_seed(0))
    rng, views = np.random.default_rng(0), Multitask(MultitaskSettings(jitter_g=jitter_g)).views
    found: dict[str, Way] = {
        "window by window, a spline per axis": lambda: window_by_window(x_BCT, jitter_g, True, rng),
        "window by window, a spline per window": lambda: window_by_window(x_BCT, jitter_g, False, rng),
        "ours": lambda: views(x_BCT, places(batch)),
    }
    if compiled:
        fused = torch.compile(lambda x, random: views(x, random), fullgraph=True, dynamic=False)
        found["ours, torch.compile"] = lambda: fused(x_BCT, places(batch))
    return found


def compare(batch: int, jitter_g: float, repeats: int, compiled: bool) -> list[dict[str, Any]]:
    """A row per way: windows per second, and the ratio to the first way."""
    seconds = in_turns(ways(batch, jitter_g, compiled), repeats)
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
    """Run one step of a small network, so that memory is as in a process that trains."""
    objective, network = Multitask(MultitaskSettings()), make_network(NetworkSettings("harnet10", 0.125))
    model = Model(network, objective.heads(network.features))
    views, targets = objective.views(torch.randn(256, 3, TICKS), places(256))
    objective.loss(model(views), targets)[0].backward()


def parts(batch: int, repeats: int) -> list[dict[str, Any]]:
    """A row per transform and control of ours: microseconds per window."""
    x_BCT, random = torch.randn(batch, 3, TICKS, generator=torch.Generator().manual_seed(0)), places(batch)
    on = torch.ones(batch, dtype=torch.bool)
    steps: dict[str, Way] = {"keys": lambda: places(batch)}
    steps["labels"] = lambda: random.coins([task.purpose for task in TASKS])
    steps |= {task.name: partial(task.transform, x_BCT, random, on) for task in TASKS}
    steps["axis permutation"] = lambda: permute_axes(x_BCT, random)
    steps["rotation"] = lambda: rotate(x_BCT, random)
    steps["jitter"] = lambda: jitter(x_BCT, random, JITTER_G)
    steps["control: noise_only"] = lambda: noise_only(x_BCT, random)
    steps["control: phase_randomised"] = lambda: phase_randomised(x_BCT, random)
    seconds = in_turns(steps, 3 * repeats)
    return [{"batch": batch, "part": name, "us a window": 1e6 * median(each) / batch} for name, each in seconds.items()]


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown."""
    return "\n".join(markdown_table(list(rows[0]), [[cell(value) for value in row.values()] for row in rows]))


def cell(value: float | str) -> str:
    """A value as text."""
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 100 else f"{value:,.2f}"
    return str(value)


def main() -> None:
    """Measure, and print the tables."""
    arguments = parser(__doc__, "transforms", quick="batches of 512, 3 rounds, nothing compiled")
    arguments.add_argument("--batches", type=int, nargs="+", default=[512, 6144], help="windows in a batch")
    arguments.add_argument("--repeats", type=int, default=9, help="rounds; the median is shown")
    given = arguments.parse_args()
    batches, repeats = ([512], 3) if given.quick else (given.batches, given.repeats)
    torch.set_num_threads(1)
    print(f"one core of {machine()}, torch {torch.__version__}, numpy {np.__version__}\n")
    train_a_step()
    rows = [row for batch in batches for g in (0.0, JITTER_G) for row in compare(batch, g, repeats, not given.quick)]
    print(table(rows))
    each = [row for batch in batches for row in parts(batch, repeats)]
    print(f"\n{table(each)}")
    write_json(given.out / "transforms.json", {"ways": rows, "parts": each})


if __name__ == "__main__":
    main()
