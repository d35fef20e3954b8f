"""One driver and a population: how many recordings a second it takes through, and what it needs for that.

    python bench/scale.py [--recordings 100000] [--people 100000] [--out runs/bench/scale]

Recordings of one simulated minute (twenty different files under many names) go through the real command, and
through it again with nothing to do; then tables of a population are written and opened, queried, looked at as a
driver does, and people withdrawn from them (who have rows, but no objects). One table on standard output, the
figures in `scale.json`.
"""

from __future__ import annotations

import argparse
import json
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

import numpy as np
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ingest.run.plan import Standing
from ingest.simulate.recording import simulate_recording
from pipeline.identity import Key, write_new_key
from pipeline.store.schemas import SCHEMAS
from pipeline.store.store import Store
from pipeline.store.tables import StoreTable
from pipeline.withdraw.forget import forget
from pipeline.withdraw.prove import prove

ROOT = Path(__file__).resolve().parents[1]
MINUTE = 1 / 1440
DIFFERENT, A_FOLDER = 20, 1000
DAYS_EACH = 7
WITHDRAW = 10


def main() -> None:
    """Run both parts and tell."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--recordings", type=int, default=100_000, help="of one minute, through the driver")
    arguments.add_argument("--people", type=int, default=100_000, help="with seven days each, in the tables")
    arguments.add_argument("--workers", type=int, default=2)
    arguments.add_argument("--out", type=Path, default=ROOT / "runs" / "bench" / "scale")
    given = arguments.parse_args()
    given.out = given.out / "scratch"
    shutil.rmtree(given.out, ignore_errors=True)
    given.out.mkdir(parents=True)
    found = {"cpus": os.cpu_count(), **through_the_driver(given), **tables(given.out / "tables", given.people)}
    (given.out.parent / "scale.json").write_text(json.dumps(found, indent=2) + "\n")
    for name, value in found.items():
        print(f"{name:<44}{value:>16,.2f}" if isinstance(value, float) else f"{name:<44}{value:>16,}")


def through_the_driver(given: argparse.Namespace) -> dict[str, Any]:
    """Ingest, and ingest again."""
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
        "driver's peak, MB": first_peak / 1e6,
        "seconds of a run with nothing to do": again,
        "its peak, MB": again_peak / 1e6,
    }


def make_recordings(base: Path, raw: Path, count: int) -> None:
    """A few files under many names."""
    base.mkdir()
    for number in range(DIFFERENT):
        simulate_recording(base / f"{number}.cwa", number, 1, days=MINUTE)
    for number in range(count):
        folder = raw / f"{number // A_FOLDER:04d}"
        folder.mkdir(parents=True, exist_ok=True)
        os.link(base / f"{number % DIFFERENT}.cwa", folder / f"{number:07d}.cwa")


def ingest(given: argparse.Namespace) -> tuple[float, int]:
    """Seconds and the most resident memory, in bytes, of the command."""
    command = [sys.executable, "-m", "ingest", "--recordings", str(given.out / "raw")]
    command += ["--store", str(given.out / "store"), "--key-file", str(given.out / "key")]
    started = time.monotonic()
    process = subprocess.Popen([*command, "--workers", str(given.workers)], cwd=ROOT)
    peak = [0]
    watch = threading.Thread(target=follow, args=(process, peak))
    watch.start()
    status = process.wait()
    watch.join()
    if status:
        sys.exit(f"ingest ended with {status}")
    return time.monotonic() - started, peak[0]


def follow(process: subprocess.Popen[bytes], peak: list[int]) -> None:
    """Keep the kernel's own high-water mark of a process, as long as it lives."""
    while process.poll() is None:
        try:
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            peak[0] = next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:")), peak[0])
        except OSError:
            return
        time.sleep(0.1)


def tables(folder: Path, people: int) -> dict[str, Any]:
    """Write a population's tables, and time what a driver and a trainer do with them."""
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
    with timed(timings, "look as a driver does"):
        known = opened.recordings.read(["recording", "participant", "source", "status", "reason", "serial"])
        with_days = opened.person_days.read(["recording"])["recording"].unique().to_pylist()
        standing = Standing({row["recording"]: row for row in known.to_pylist()}, frozenset(with_days))
        standing.add_plan(opened.plan.read().to_pylist())
    assert selected
    assert standing.end_of_plan == people * DAYS_EACH
    gone = rows["plan"]["participant"][:WITHDRAW].to_pylist()
    with timed(timings, f"withdraw {WITHDRAW} people"):
        found = forget(opened, gone, date.today())
    assert found.person_days == WITHDRAW * DAYS_EACH
    with timed(timings, "prove it"):
        prove(opened)
    return {"rows of person_days": people * DAYS_EACH, **{f"s, {name}": value for name, value in timings.items()}}


def population(key: Key, people: int) -> dict[str, pa.Table]:
    """Rows as ingest makes them, for a recording of seven days each."""
    rng = np.random.default_rng(0)
    recordings = np.array([key.recording(str(number)) for number in range(people)])
    participants = np.array([key.participant(str(number)) for number in range(people)])
    count = people * DAYS_EACH
    wear = rng.integers(0, 86_401, count, dtype=np.int32)
    known: dict[str, dict[str, Any]] = {
        "plan": {
            "recording": recordings, "participant": participants, "source": recordings,
            "first_slot": np.arange(0, count, DAYS_EACH), "slots": np.full(people, DAYS_EACH),
        },
        "recordings": {
            "recording": recordings, "participant": participants, "source": recordings,
            "size": np.full(people, 258_000_000), "status": np.full(people, "done"),
            "person_days": np.full(people, DAYS_EACH), "serial": recordings, "figures": np.full(people, "{}"),
        },
        "person_days": {
            "slot": np.arange(count), "recording": recordings.repeat(DAYS_EACH),
            "participant": participants.repeat(DAYS_EACH), "day_index": np.tile(np.arange(DAYS_EACH), people),
            "device": np.full(count, "AX3"), "wear_seconds": wear, "eligible_10s": wear,
            "checksum": np.char.mod("%064x", np.arange(count)),
        },
    }  # fmt: skip
    made = {}
    for name, columns in known.items():
        schema = SCHEMAS[name]
        size = people if name != "person_days" else count
        arrays = [
            pa.array(columns[f.name]).cast(f.type) if f.name in columns else pa.nulls(size, f.type) for f in schema
        ]
        made[name] = pa.Table.from_arrays(arrays, schema=schema)
    return made


def write(table: StoreTable, rows: pa.Table) -> None:
    """One commit of many rows, in the way of the table itself."""
    from deltalake import write_deltalake

    write_deltalake(table.delta, rows, mode="append", writer_properties=table._writer())
    table.refresh()


@contextmanager
def timed(timings: dict[str, float], name: str) -> Iterator[None]:
    """Put the seconds of a block under a name."""
    started = time.monotonic()
    yield
    timings[name] = time.monotonic() - started


if __name__ == "__main__":
    main()
