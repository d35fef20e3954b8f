"""How ingest scales from one worker to two, and how many workers one driver can keep busy.

    python -m bench.driver [--recordings 12] [--days 1] [--workers 1 10 100 1000] [--sleep 2] [--seconds 20]

The first part ingests simulated recordings with one worker process and with two, after a warm-up. The second part runs
the real driver (slots, tasks, results, rows, commits into a real store) with workers that only sleep. A small machine
cannot run a thousand processes, so sleeping workers are concurrent calls of a few async Ray actors, which replace the
remote function that the driver's loop calls. Every result has the content and size of a real week. The cost of starting
a task on a node is not measured. In the last row workers do not sleep, which gives the limit of the driver. Actors and
driver share this machine's cores, so the table also shows the driver's CPU time per recording. A table per part is
printed; figures are written to `driver.json`.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import ray

from ingest.run.cluster import ray_session, stream
from ingest.run.commit import Committer
from ingest.run.ingest_task import Assignment, Ingested, IngestTask
from ingest.run.inputs import Inputs
from ingest.run.phases import Phases
from ingest.run.plan import Catalogue
from ingest.run.settings import IngestSettings
from ingest.run.sources import Source, list_sources
from ingest.run.summary import Summary
from ingest.settings import SignalSettings
from ingest.simulate.cohort import SimulatedCohort, make
from pipeline.identity import Key
from pipeline.storage.folder import Folder
from pipeline.store.lease import Lease
from pipeline.store.store import Store

from ..clock import peak_mb
from ..command import parser, write_json

KEY = Key(bytes(range(32)))
SLOTS, RECORDING_BYTES = 8, 260_000_000
"""Calendar days that a recording of seven days touches, and its size."""
ACTORS = 2


def main() -> None:
    """Run both parts and print the tables."""
    arguments = parser(__doc__, "driver")
    arguments.add_argument("--recordings", type=int, default=12, help="recordings to simulate for the first part")
    arguments.add_argument("--days", type=float, default=1.0, help="days of each recording")
    arguments.add_argument("--workers", type=int, nargs="+", default=[1, 10, 100, 1000], help="sleeping workers")
    arguments.add_argument("--sleep", type=float, default=2.0, help="seconds a sleeping worker takes per recording")
    arguments.add_argument("--seconds", type=float, default=20.0, help="approximate duration of each row")
    arguments.add_argument("--fastest", type=int, default=5_000, help="recordings in the row without sleep")
    given = arguments.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    growth = grow(given)
    asleep = saturate(given)
    found = {"cpus": os.cpu_count(), "real workers": growth, "sleeping workers": asleep}
    write_json(given.out / "driver.json", found)
    for title, rows in (("real workers", growth), ("sleeping workers", asleep)):
        print(f"\n{title}\n" + "".join(f"{name:>26}" for name in rows[0]))
        for row in rows:
            print("".join(map(cell, row.values())))


def cell(value: float | None) -> str:
    """A value in its column."""
    if value is None:
        return f"{'-':>26}"
    return f"{value:>26,.2f}" if isinstance(value, float) else f"{value:>26,}"


def grow(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Ingest recordings with one worker process and with two, both warm."""
    raw = given.out / f"raw-{given.recordings}-{given.days:g}"
    make(SimulatedCohort(given.recordings, given.days, seed=0), raw, os.cpu_count() or 1)
    folder, sources = list_sources(str(raw), KEY)
    slots = int(np.ceil(given.days)) + 1
    rows: list[dict[str, Any]] = []
    for workers in (1, 2):
        store = fresh_store(given.out / "store")
        store.grow(slots * len(sources))
        parts = [Assignment(source, slots * i, slots) for i, source in enumerate(sources)]
        tasks = [IngestTask(folder.url, store.folder.url, (part,), SignalSettings(), 0) for part in parts]
        with ray_session(workers):
            ingest_all(tasks[:1] * workers, workers)
            began = time.perf_counter()
            found = ingest_all(tasks, workers)
            seconds = time.perf_counter() - began
        bad = [each.reason for each in found if each.reason]
        if bad:
            sys.exit(f"a recording was rejected: {bad[0]}")
        days = sum(len(each.days) for each in found)
        row = {"workers": workers, "person-days/s": days / seconds}
        row["MB/s"] = sum(source.size for source in sources) / 1e6 / seconds
        row["times one worker"] = row["person-days/s"] / (rows[0]["person-days/s"] if rows else row["person-days/s"])
        row["busy s per person-day"] = sum(each.seconds for each in found) / days
        rows.append(row)
    return rows


def ingest_all(tasks: list[IngestTask], workers: int) -> list[Ingested]:
    """The results of tasks, as the driver's loop receives them."""
    return [each for result in stream(tasks, workers) if result is not None for each in result[1]]


def saturate(given: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each number of sleeping workers, and one for workers that do not sleep."""
    template = result_of_a_week(given.out)
    rows = []
    with ray_session(ACTORS):
        for workers in given.workers:
            count = max(workers, round(workers * given.seconds / given.sleep))
            rows.append(run_asleep(given.out, template, workers, given.sleep, count))
        rows.append(run_asleep(given.out, template, max(given.workers), 0.0, given.fastest))
    return rows


def result_of_a_week(out: Path) -> Ingested:
    """A worker's result for a week, made from its result for a minute."""
    raw, store = out / "minute", fresh_store(out / "store")
    make(SimulatedCohort(1, 1 / 1440, seed=0), raw, 1)
    folder, (source,) = list_sources(str(raw), KEY)
    store.grow(1)
    (found,) = IngestTask(folder.url, store.folder.url, (Assignment(source, 0, 1),), SignalSettings(), 0)()
    (day,) = found.days
    return replace(found, days=[day | {"day_index": i} for i in range(SLOTS)])


def run_asleep(out: Path, template: Ingested, workers: int, seconds: float, count: int) -> dict[str, Any]:
    """Run `count` recordings through the driver, `workers` at a time; a worker sleeps for `seconds` per recording."""
    names = [f"{number:07d}.cwa" for number in range(count)]
    sources = [Source(name, KEY.recording(name), RECORDING_BYTES, "f") for name in names]
    people = {source.id: KEY.participant(source.name) for source in sources}
    store = fresh_store(out / "store")
    settings = IngestSettings(str(out), store.folder.url, workers=workers)
    inputs = Inputs(KEY, Folder(str(out)), sources, people, [])
    with Lease(store.folder) as lease:
        for table in (store.plan, store.person_days, store.recordings):
            table.fence(lease.epoch)
        committer = Committer(store, lease, Catalogue({}, frozenset()))
        committer.assign_slots([(source, SLOTS) for source in sources], people)
        phases = Phases(settings, inputs, sources, committer, Summary(store.folder.url))
        began, cpu_began = time.perf_counter(), time.process_time()
        with sleepers(template, seconds, workers):
            phases.ingest_planned()
        committer.commit()
        took, cpu = time.perf_counter() - began, time.process_time() - cpu_began
    rows = store.recordings.read(["status"]).num_rows
    if rows != count or store.person_days.read(["slot"]).num_rows != SLOTS * count:
        sys.exit(f"expected rows of {count} recordings, found {rows}")
    return {
        "workers": workers,
        "s a recording": seconds,
        "recordings": count,
        "recordings/s": count / took,
        "of what workers could": count / took * seconds / workers if seconds else None,
        "driver's CPU ms each": 1e3 * cpu / count,
        "driver's peak MB": peak_mb(),
    }


def fresh_store(folder: Path) -> Store:
    """A new, empty store; an older one is deleted."""
    shutil.rmtree(folder, ignore_errors=True)
    return Store.create(str(folder), KEY, {})


@contextmanager
def sleepers(template: Ingested, seconds: float, workers: int) -> Iterator[None]:
    """Replace the remote function that the driver's loop calls by actors that sleep."""

    class Sleeper:
        async def work(self, task: IngestTask) -> list[Ingested]:
            await asyncio.sleep(seconds)
            return [result_for(part, template) for part in task.assignments]

    each = -(-workers // ACTORS)
    actors: list[Any] = [
        ray.remote(Sleeper).options(num_cpus=0, max_concurrency=max(each, 1)).remote() for _ in range(ACTORS)
    ]
    turn = itertools.cycle(actors)

    class Remote:
        def options(self, **_: Any) -> Remote:
            return self

        def remote(self, task: IngestTask) -> Any:
            return next(turn).work.remote(task)

    with patch.object(ray, "remote", lambda _: Remote()):
        yield
    for actor in actors:
        ray.kill(actor)


def result_for(part: Assignment, template: Ingested) -> Ingested:
    """The template's result with the source and slots of another recording."""
    days = [day | {"slot": part.first_slot + i} for i, day in enumerate(template.days)]
    return replace(template, source=part.source, first_slot=part.first_slot, days=days)


if __name__ == "__main__":
    main()
