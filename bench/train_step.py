"""A training step beside the published recipe written plainly, and what a GPU makes of it.

    python bench/train_step.py [--network harnet10] [--width 1.0] [--batches 128] [--precisions float32 bfloat16]
                               [--ways plain ours] [--compiled] [--rounds 3] [--steps 4] [--price 2.50]
                               [--quick] [--markdown]

Every row is a network trained from windows in memory: `plain` is textbook PyTorch (bench/train_plain.py), `ours` what
a run does (bench/train_ours.py), at the same batch, precision and number of threads; `ours, channels first` leaves the
harnets' windows as torch has them, to show what their layout gives. Neither reads a disk, so this needs torch, numpy,
scipy and numba, and no ray, deepspeed or zarr. Each cell is a process of its own; cells take turns in every round, and
the table has the median of rounds. `feed` is the stream alone: how many windows a second it draws,
cuts and puts on the device (reading and decompressing are `make bench-stream`'s). `of matrix rate` is the arithmetic
of the step, as torch counts it, over the rate of a large product in the same precision on the same device; on a GPU
the hours and the cost of the published run (the recipe's windows) follow. Tables on standard output, figures in
`train.json`; `--markdown` prints what is there and measures nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
OUT = ROOT / "runs" / "bench" / "train"
GPU = {
    "batches": [512, 1024, 2048, 4096, 8192],
    "precisions": ["float32", "tf32", "bfloat16"],
    "steps": 30,
    "rounds": 5,
}
CPU = {"batches": [128], "precisions": ["float32", "bfloat16"], "steps": 4, "rounds": 3}
WAYS = ("plain", "ours", "ours, channels first")
WARM_UP, FEED_S = 3, 5.0
WINDOWS = 16_384
"""That the plain data set holds."""


@dataclass(frozen=True)
class Cell:
    """One way to train at one size."""

    way: str
    network: str
    width: float
    batch: int
    precision: str
    compiled: bool
    threads: int
    workers: int
    steps: int
    objective: str = "multitask"
    engine: str = "ddp"


def measured(cell: Cell) -> dict[str, float]:
    """Train and time: windows a second, seconds a step, a GPU's peak memory, the arithmetic of a window."""
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(cell.threads)
    rounded = cell.precision != "float32"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = rounded
    torch.backends.cudnn.benchmark = True
    if cell.way == "feed":
        return fed(cell, device)
    steps, figures = begin(cell, device)
    for _ in range(WARM_UP):
        next(steps)
    wait_for(device)
    began = time.perf_counter()
    for _ in range(cell.steps):
        next(steps)
    wait_for(device)
    seconds = time.perf_counter() - began
    figures |= {"windows_s": cell.batch * cell.steps / seconds, "step_s": seconds / cell.steps}
    if device.type == "cuda":
        figures["memory_gb"] = torch.cuda.max_memory_allocated() / 1e9
    return figures


def begin(cell: Cell, device: Any) -> tuple[Iterator[int], dict[str, float]]:
    """The steps of a cell, and the arithmetic of a window."""
    if cell.way == "plain":
        from train_data import COUNTS_PER_G, made_stream
        from train_plain import TICKS, steps

        from train.windows.settings import DataSettings

        data = DataSettings(seconds=TICKS[cell.network] // 30, lanes=16)
        with made_stream(data, WINDOWS, 2) as stream:
            x_NCT = next(stream).signal_BCT.float().numpy() / COUNTS_PER_G
        run = steps(x_NCT, cell.network, cell.width, cell.batch, cell.precision, cell.workers, cell.compiled, device)
        return run, {}
    import torch
    from train_ours import Ours

    from train.networks import harnet

    if cell.way == "ours, channels first":
        harnet.LAYOUT = torch.contiguous_format
    ours = Ours(cell)
    return ours.steps(), {"flop": flop(ours.model, device)}


def flop(model: Any, device: Any) -> float:
    """Floating-point operations of a window, forward and backward: products and convolutions, as torch counts them."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    batch, ticks = 8, model.feature_extractor.ticks
    with FlopCounterMode(display=False) as counted:
        outputs = model(torch.randn(batch, 3, ticks, device=device))
        torch.stack([out.sum() for out in outputs.values() if out.requires_grad]).sum().backward()
    model.zero_grad(set_to_none=True)
    return counted.get_total_flops() / batch


def fed(cell: Cell, device: Any) -> dict[str, float]:
    """The stream alone, onto the device."""
    import torch
    from train_data import made_stream
    from train_ours import recipe_of

    from train.windows.feed import Feed

    torch.set_num_threads(1)
    with made_stream(recipe_of(cell).data, cell.batch, cell.workers) as stream:
        feed = Feed(stream, device)
        for _ in range(WARM_UP):
            next(feed)
        wait_for(device)
        count, began = 0, time.perf_counter()
        while time.perf_counter() - began < FEED_S or count < 3:
            next(feed)
            count += 1
        wait_for(device)
        return {"windows_s": cell.batch * count / (time.perf_counter() - began)}


def matrix_rate(precision: str) -> float:
    """Floating-point operations a second of a large product, the best of a few."""
    import torch

    gpu = torch.cuda.is_available()
    torch.backends.cuda.matmul.allow_tf32 = precision != "float32"
    size, dtype = (8192 if gpu else 2048), (torch.bfloat16 if precision == "bfloat16" else torch.float32)
    left, right = (torch.randn(size, size, device="cuda" if gpu else "cpu").to(dtype) for _ in range(2))
    best = 0.0
    for _ in range(6):
        wait_for(left.device)
        began = time.perf_counter()
        left @ right
        wait_for(left.device)
        best = max(best, 2 * size**3 / (time.perf_counter() - began))
    return best


def wait_for(device: Any) -> None:
    """Until a GPU has done what it was told."""
    if device.type == "cuda":
        import torch

        torch.cuda.synchronize()


# --- all cells, in turns --------------------------------------------------------------------------------------------


def alone(task: dict[str, Any]) -> dict[str, Any]:
    """The figures of one cell, from a process of its own; its last words where it broke off."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).resolve()), "--one", json.dumps(task)],
        capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": str(task.get("threads", 1))},
    )  # fmt: skip
    if done.returncode:
        words = [line for line in done.stderr.strip().splitlines() if line.strip()]
        return {"failed": "out of memory" if "out of memory" in done.stderr else words[-1] if words else "no words"}
    return json.loads(done.stdout.strip().splitlines()[-1])


def cells_of(given: argparse.Namespace) -> list[Cell]:
    """What is to be measured."""
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
    """All cells in turns, and the rate of a product in each precision."""
    cells = cells_of(given)
    seen: list[list[dict[str, Any]]] = [[] for _ in cells]
    for round_ in range(given.rounds):
        for number, cell in enumerate(cells):
            figures = alone(asdict(cell))
            seen[number].append(figures)
            told = figures.get("failed") or f"{figures['windows_s']:,.0f} windows/s"
            print(f"round {round_ + 1}: {describe(cell)}: {told}", file=sys.stderr)
    rates = {
        precision: alone({"matrix": precision, "threads": given.threads}).get("rate") for precision in given.precisions
    }
    rows = [asdict(cell) | summary(each) for cell, each in zip(cells, seen, strict=True)]
    return {
        "date": str(date.today()),
        "machine": machine(),
        "rounds": given.rounds,
        "matrix_rates": rates,
        "rows": rows,
    }


def summary(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """The median of each figure over rounds, with the range of windows a second."""
    good = [each for each in rounds if "failed" not in each]
    if not good:
        return {"failed": rounds[0]["failed"]}
    medians = {name: statistics.median(each[name] for each in good) for name in good[0]}
    return medians | {"from": min(each["windows_s"] for each in good), "to": max(each["windows_s"] for each in good)}


def describe(cell: Cell) -> str:
    """A cell in words."""
    return f"{cell.way}{', compiled' if cell.compiled else ''}, batch {cell.batch}, {cell.precision}"


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
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
        lines += ["", f"The stream alone, from memory: {feed['windows_s']:,.0f} windows/s, "
                  f"{feed['windows_s'] / fastest:.1f} times what the fastest step takes."]  # fmt: skip
    if where["gpu"]:
        lines += ["", f"Hours and cost are those of the published run's {windows:,} windows on one such GPU."]
    return "\n".join(lines)


def key(row: dict[str, Any]) -> tuple[Any, ...]:
    """What a row and the plain one beside it have in common; ours compiled is held against plain that is not."""
    return row["batch"], row["precision"]


def figures_of(
    row: dict[str, Any], plain: float | None, rates: dict[str, float | None], price: float, windows: int,
    where: dict[str, Any],
) -> list[str]:  # fmt: skip
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


def line(cells: list[str]) -> str:
    """A row of Markdown."""
    return f"| {' | '.join(cells)} |"


def arguments() -> argparse.Namespace:
    """What was asked for; what was not, by the device."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--network", default="harnet10", help="a preset; the plain way knows the harnets")
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--batches", type=int, nargs="+")
    parser.add_argument("--precisions", nargs="+", choices=["float32", "tf32", "bfloat16"])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS[:2])
    parser.add_argument("--objective", default="multitask", help="of ours; the plain way knows the multi-task one")
    parser.add_argument("--engine", default="ddp", choices=["ddp", "deepspeed"], help="of ours")
    parser.add_argument("--compiled", action="store_true", help="each cell compiled, too")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of torch")
    parser.add_argument("--workers", type=int, help="of the plain loader; threads of our stream")
    parser.add_argument("--price", type=float, default=2.5, help="of an hour of one GPU")
    parser.add_argument("--windows", type=int, help="of the published run; default: the recipe's")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--quick", action="store_true", help="a trial: one round of few steps, a quarter of the width")
    parser.add_argument("--markdown", action="store_true", help="the tables from train.json, nothing measured")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measure and tell, or tell what was measured."""
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
        given.out.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(found, indent=2) + "\n")
    print(markdown(json.loads(kept.read_text()), given.price, windows))


if __name__ == "__main__":
    main()
