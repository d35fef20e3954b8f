"""One ingest driver and a population: recordings per second, time and memory of their tables.

    python -m bench.scale [--recordings 100000] [--people 100000] [--workers 2]

Recordings of one simulated minute (twenty different files under many names) are ingested by the real command, which is
then run again with nothing to do. Then the tables of a population, which has rows but no objects, are written, opened,
queried and read as a driver reads them, and people are withdrawn from them. A table is printed; figures are written to
`scale.json`.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

from ingest.run.plan import Catalogue
from ingest.simulate.recording import simulate_recording
from pipeline.identity import Key, write_new_key
from pipeline.store.store import Store
from pipeline.withdraw.forget import forget
from pipeline.withdraw.prove import prove

from ..clock import peak_mb
from ..command import ROOT, parser, write_json
from .population import DAYS_EACH, population, write

MINUTE = 1 / 1440
DIFFERENT, PER_FOLDER = 20, 1000
WITHDRAW = 10


def main() -> None:
    """Run both parts and print the table."""
    arguments = parser(__doc__, "scale")
    arguments.add_argument("--recordings", type=int, default=100_000, help="recordings of one minute to ingest")
    arguments.add_argument("--people", type=int, default=100_000, help="people with seven days each, in the tables")
    arguments.add_argument("--workers", type=int, default=2, help="workers that ingest")
    given = arguments.parse_args()
    given.out = given.out / "scratch"
    shutil.rmtree(given.out, ignore_errors=True)
    given.out.mkdir(parents=True)
    found = {"cpus": os.cpu_count(), **through_the_driver(given), **tables(given.out / "tables", given.people)}
    write_json(given.out.parent / "scale.json", found)
    for name, value in found.items():
        print(f"{name:<44}{value:>16,.2f}" if isinstance(value, float) else f"{name:<44}{value:>16,}")


def through_the_driver(given: argparse.Namespace) -> dict[str, Any]:
    """Ingest, and ingest again with nothing to do."""
    make_recordings(given.out / "base", given.out / "raw", given.recordings)
    write_new_key(given.out / "key")
    first, first_peak = ingest(given)
    again, again_peak = ingest(given)
    store = Store.open(str(given.out / "store"))
    done = store.recordings.read(["status"])["status"].to_pylist().count("done")
    if done != given.recordings:
        sys.exit(f"{done} of {given.recordings} recordings are done")
    return {
        "recordings of a minute": given.recordings,
        "workers": given.workers,
        "seconds, Ray's start included": first,
        "recordings/s": given.recordings / first,
        "driver's peak, MB": first_peak,
        "seconds of a run with nothing to do": again,
        "its peak, MB": again_peak,
    }


def make_recordings(base: Path, raw: Path, count: int) -> None:
    """Make a few files and link them under many names."""
    base.mkdir()
    for number in range(DIFFERENT):
        simulate_recording(base / f"{number}.cwa", number, 1, days=MINUTE)
    for number in range(count):
        folder = raw / f"{number // PER_FOLDER:04d}"
        folder.mkdir(parents=True, exist_ok=True)
        os.link(base / f"{number % DIFFERENT}.cwa", folder / f"{number:07d}.cwa")


def ingest(given: argparse.Namespace) -> tuple[float, float]:
    """Seconds and peak memory (MB) of the command."""
    command = [sys.executable, "-m", "ingest", "--recordings", str(given.out / "raw")]
    command += ["--store", str(given.out / "store"), "--key-file", str(given.out / "key")]
    started = time.monotonic()
    process = subprocess.Popen([*command, "--workers", str(given.workers)], cwd=ROOT)
    peak = [0.0]
    watch = threading.Thread(target=follow, args=(process, peak))
    watch.start()
    status = process.wait()
    watch.join()
    if status:
        sys.exit(f"ingest ended with {status}")
    return time.monotonic() - started, peak[0]


def follow(process: subprocess.Popen[bytes], peak: list[float]) -> None:
    """Keep the peak memory of a process as long as it runs."""
    while process.poll() is None:
        peak[0] = max(peak[0], peak_mb(process.pid))
        time.sleep(0.1)


def tables(folder: Path, people: int) -> dict[str, Any]:
    """Write a population's tables, and time what drivers and trainers do with them."""
    timings: dict[str, float] = {}
    key = Key(secrets.token_bytes(32))
    store = Store.create(str(folder), key, {})
    rows = population(key, people)
    with timed(timings, "write"):
        for name, table in rows.items():
            write(getattr(store, name), table)
    with timed(timings, "open"):
        opened = Store.open(str(folder))
        _ = opened.person_days.version
    with timed(timings, "query three columns where wear_hours > 16"):
        selected = opened.person_days.query("wear_hours > 16", ["slot", "participant", "eligible_10s"]).num_rows
    with timed(timings, "read as a driver does"):
        known = opened.recordings.read(["recording", "participant", "source", "status", "reason", "serial"])
        with_days = opened.person_days.read(["recording"])["recording"].unique().to_pylist()
        catalogue = Catalogue({row["recording"]: row for row in known.to_pylist()}, frozenset(with_days))
        catalogue.add_plan(opened.plan.read().to_pylist())
    assert selected
    assert catalogue.end_of_plan == people * DAYS_EACH
    gone = rows["plan"]["participant"][:WITHDRAW].to_pylist()
    with timed(timings, f"withdraw {WITHDRAW} people"):
        found = forget(opened, gone, date.today())
    assert found.person_days == WITHDRAW * DAYS_EACH
    with timed(timings, "prove it"):
        prove(opened)
    return {"rows of person_days": people * DAYS_EACH, **{f"s, {name}": value for name, value in timings.items()}}


@contextmanager
def timed(timings: dict[str, float], name: str) -> Iterator[None]:
    """Store the seconds of a block under a name."""
    started = time.monotonic()
    yield
    timings[name] = time.monotonic() - started


if __name__ == "__main__":
    main()
