"""Where the CPU time of ingesting a week to the store goes: the functions that take most of it.

    python -m bench.ingest.steps [--days 7] [--only axivity|actigraph|geneactiv] [--repeats 5]

The same call as `to the store` of bench.ingest, profiled. The time of a function is its own, with that of the compiled
code that it calls. Medians; the first call is not counted.
"""

from __future__ import annotations

import cProfile
import os
import pstats
import resource
import statistics
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from ..clock import warm_cache
from ..command import ROOT, parser
from .material import SIMULATED, simulated
from .ours import store_ready

SHOWN = 16
"""Functions that are shown; the rest are added up."""


def profiled(path: Path) -> dict[str, float]:
    """Own CPU milliseconds of each function in one call, and the total of the process."""
    profile = cProfile.Profile(time.thread_time)
    warm_cache(path)
    with store_ready(path) as call:
        before = resource.getrusage(resource.RUSAGE_SELF)
        profile.runcall(call)
        after = resource.getrusage(resource.RUSAGE_SELF)
    found: dict[str, float] = defaultdict(float)
    statistics_of: Any = pstats.Stats(profile)
    for (file, _, function), (_, _, own_s, _, _) in statistics_of.stats.items():
        found[named(file, function)] += own_s * 1e3
    found["all"] = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e3
    return found


def named(file: str, function: str) -> str:
    """A function as folder/file:function; one that is not written in Python by its own name."""
    if not Path(file).is_absolute():
        return function
    place = Path(file)
    return f"{place.relative_to(ROOT) if place.is_relative_to(ROOT) else place.name}:{function}"


def main() -> None:
    """Profile, and print a table for each device."""
    arguments = parser(__doc__, "ingest")
    arguments.add_argument("--days", type=float, default=7, help="length of the simulated recordings")
    arguments.add_argument("--only", choices=list(SIMULATED))
    arguments.add_argument("--repeats", type=int, default=5, help="calls; medians are shown")
    given = arguments.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    given.out.mkdir(parents=True, exist_ok=True)
    for kind in [given.only] if given.only else SIMULATED:
        path = simulated(kind, given.days, given.out)
        calls = [profiled(path) for _ in range(given.repeats + 1)][1:]
        own_ms = {name: statistics.median(call.get(name, 0.0) for call in calls) for name in calls[-1]}
        total = own_ms.pop("all")
        top = sorted(own_ms, key=lambda name: -own_ms[name])[:SHOWN]
        print(f"{kind}, {given.days:g} days: {total:.0f} ms of CPU time")
        for name in top:
            print(f"  {own_ms[name]:7.1f} ms {own_ms[name] / total:5.1%}  {name}")
        print(f"  {total - sum(own_ms[name] for name in top):7.1f} ms         all others")


if __name__ == "__main__":
    main()
