"""How long the stream takes to plan a population of 700,000 person-days, from its tables alone.

    python -m bench.stream.scale [--people 100000] [--repeats 3]

Tables of that many people with seven days each are written once. Then a new process opens them, plans a run, and finds
the pools of late steps, with all days of every person and with one day of each person per round.
"""

from __future__ import annotations

import argparse
import json
import secrets
import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path

from pipeline.identity import Key
from pipeline.store.store import Store

from ..clock import peak_mb
from ..command import ROOT, module, parser
from ..scale.population import DAYS_EACH, population, write
from ..tables import markdown_table

EPOCHS = 1, 10, 100


def main() -> None:
    """Write the tables if they are missing, and measure in fresh processes."""
    arguments = parser(__doc__, "stream-scale")
    arguments.add_argument("--people", type=int, default=100_000, help="people with seven days each")
    arguments.add_argument("--repeats", type=int, default=3, help="runs; the median is shown")
    arguments.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = arguments.parse_args()
    folder = given.out / str(given.people)
    if given.inside:
        print(json.dumps(measured(str(folder))))
        return
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        make(folder, given.people)
    command = module("bench.stream.scale", "--people", given.people, "--out", given.out, "--inside")
    runs = [
        json.loads(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout)
        for _ in range(given.repeats)
    ]
    middle = {name: sorted(run[name] for run in runs)[given.repeats // 2] for name in runs[0]}
    rows = [[name, f"{value:,.3g}"] for name, value in middle.items()]
    print("\n".join(markdown_table([f"{given.people * DAYS_EACH:,} person-days", ""], rows)))


def make(folder: Path, people: int) -> None:
    """Make a store that has rows and no objects."""
    key = Key(secrets.token_bytes(32))
    store = Store.create(str(folder), key, {})
    for name, table in population(key, people).items():
        write(getattr(store, name), table)
    (folder / "complete").touch()


def measured(url: str) -> dict[str, float]:
    """Seconds of each step of a trainer before it reads a sample, and its peak memory."""
    from train.windows.members import choose_held_out, select
    from train.windows.plan import make_plan
    from train.windows.settings import DataSettings

    found = {"MB, with all that is imported": peak_mb()}
    began = time.perf_counter()
    store, data = Store.open(url), DataSettings()
    everyone = select(store, data.seconds, data.min_wear_hours, data.where)
    held = choose_held_out(everyone)
    plan = make_plan(everyone, held, data, seed=0)
    planned = time.perf_counter()
    found["s, open, choose members, deal lanes"] = planned - began
    for lane in plan.lanes:
        lane.pool_at(0)
    found["s, plan the first batch"] = time.perf_counter() - planned
    ways = {
        "": plan,
        ", one day of every person per round": make_plan(
            everyone, held, replace(data, one_day_per_participant=True), 0
        ),
    }
    for name, way in ways.items():
        for epochs in EPOCHS:
            position = way.epoch_windows * epochs // len(way.lanes)
            seeking = time.perf_counter()
            for lane in way.lanes:
                lane.pool_at(position)
            passed = time.perf_counter() - seeking
            found[f"ms per epoch skipped, to the step after {epochs} epochs{name}"] = 1e3 * passed / epochs
    return found | {"MB, peak": peak_mb()}


if __name__ == "__main__":
    main()
