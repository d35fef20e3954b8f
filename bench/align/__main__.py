"""How well `persondays align` finds the clocks of simulated devices, and whether it aligns different people.

    python -m bench.align [--participants 20] [--days 2] [--devices 2] [--seed 7] [--strangers 760]

People with several devices are simulated, ingested and aligned by the commands that a user types. Every row of the
table of alignments is then compared with the clocks that the simulator wrote down (`_clocks.parquet`): the error of the
offset is the largest over the row's seconds, at one of its ends, because both are lines. Then pairs of recordings of
different people are compared as if they were of one. Two days of 20 people with two devices need 0.6 GB of disk once
the recordings, 3 GB, are ingested and deleted. Figures are written to `align.json`.
"""

from __future__ import annotations

import multiprocessing
import shutil
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from ingest.align.pair import Pair, RecordedDay, align
from pipeline.errors import UnreadableDay
from pipeline.grid import TICKS_PER_SECOND
from pipeline.identity import Key, load_key, write_new_key
from pipeline.store.alignments import Alignment, read_alignments
from pipeline.store.store import Store

from ..command import ROOT, machine, module, parser, write_json
from ..tables import markdown_table


@dataclass(frozen=True)
class Clock:
    """The clock of a recording: after t true seconds from `start_s`, it shows `start_s + offset_s + t (1 + drift)`."""

    participant: str
    start_s: float
    offset_s: float
    drift: float

    def shown(self, true_s: float) -> float:
        """What the clock shows at a true time, both in seconds from 1970."""
        return self.start_s + self.offset_s + (true_s - self.start_s) * (1 + self.drift)

    def true(self, shown_s: float) -> float:
        """When the clock shows a time."""
        return self.start_s + (shown_s - self.start_s - self.offset_s) / (1 + self.drift)


@dataclass(frozen=True)
class Day:
    """A person-day: its recording, and the clock's seconds from 1970 at its midnight."""

    recording: str
    number: int

    @property
    def midnight_s(self) -> int:
        """Seconds from 1970 that the clock shows at its beginning."""
        return self.number * 86_400


def made_store(folder: Path, participants: int, days: float, devices: int, seed: int) -> tuple[Store, Key]:
    """Simulate and ingest, unless that is done; recordings are deleted once they are in the store."""
    raw, key_file = folder / "raw", folder / "key"
    if not (folder / "clocks.parquet").exists():
        folder.mkdir(parents=True, exist_ok=True)
        if not key_file.exists():
            write_new_key(key_file)
        persondays(
            "simulate", raw, "--participants", participants, "--days", days, "--devices", devices, "--seed", seed
        )
        ids = ("--id-regex", r"(P\d+)_", "--any-location")
        persondays("ingest", "--recordings", raw, "--store", folder / "store", "--key-file", key_file, *ids)
        for recording in raw.glob("P*"):
            recording.unlink()
        shutil.copy(raw / "_clocks.parquet", folder / "clocks.parquet")
    return Store.open(str(folder / "store")), load_key(key_file)


def persondays(*arguments: object) -> str:
    """Run a command of persondays in a process of its own, with its progress on the terminal."""
    done = subprocess.run(module("pipeline", *arguments), cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def read_clocks(path: Path, key: Key) -> dict[str, Clock]:
    """The true clocks, by the store's id of the recording."""
    return {
        key.recording(row["file"]): Clock(
            row["participant"],
            float(np.datetime64(row["start"], "us").astype(np.int64)) / 1e6,
            row["offset_s"],
            row["drift_ppm"] / 1e6,
        )
        for row in pq.read_table(path).to_pylist()
    }


def read_days(store: Store) -> dict[int, Day]:
    """The person-days of a store, by slot."""
    rows = store.person_days.read(["slot", "recording", "day"]).to_pylist()
    return {row["slot"]: Day(row["recording"], int(np.datetime64(row["day"], "D").astype(int))) for row in rows}


def errors(row: Alignment, day: Day, other: Day, clock: Clock, other_clock: Clock) -> tuple[float, float]:
    """The largest error of a row's offset over its seconds, in ticks, and that of its drift, in ppm."""
    away = []
    for second in (row.first_second, row.first_second + row.seconds):
        found = (second + row.drift_ppm / 1e6 * (second - row.first_second)) * TICKS_PER_SECOND + row.offset_ticks
        right = other_clock.shown(clock.true(day.midnight_s + second)) - other.midnight_s
        away.append(abs(found - right * TICKS_PER_SECOND))
    drift = (1 + other_clock.drift) / (1 + clock.drift) - 1
    return max(away), abs(row.drift_ppm - drift * 1e6)


def strangers(days: dict[int, Day], clocks: dict[str, Clock], count: int) -> list[Pair]:
    """Pairs of recordings of different people, `count` at most, drawn at random."""
    slots: dict[str, list[RecordedDay]] = {}
    for slot, day in sorted(days.items()):
        slots.setdefault(day.recording, []).append(RecordedDay(slot, day.number))
    pairs = [
        Pair(tuple(slots[a]), tuple(slots[b]))
        for a, b in combinations(sorted(slots), 2)
        if clocks[a].participant != clocks[b].participant
    ]
    chosen = np.random.default_rng(0).permutation(len(pairs))[:count]
    return [pairs[index] for index in sorted(chosen.tolist())]


def reason(pair: Pair, url: str) -> str:
    """Why a pair is refused; "" if it is aligned."""
    store = Store.open(url)
    with store.days as reader:
        try:
            return align(pair, reader, store.attributes.counts_per_g)[0].reason
        except UnreadableDay:
            return "unreadable"


def main() -> None:
    """Make the store, align, compare, and print the table."""
    arguments = parser(__doc__, "align", quick="3 people for 6 hours: a trial")
    arguments.add_argument("--participants", type=int, default=20, help="simulated people")
    arguments.add_argument("--days", type=float, default=2.0, help="length of a recording in days")
    arguments.add_argument("--devices", type=int, default=2, help="devices of each person")
    arguments.add_argument("--seed", type=int, default=7, help="of the simulator")
    arguments.add_argument("--strangers", type=int, default=760, help="pairs of different people to compare")
    arguments.add_argument("--processes", type=int, default=2, help="processes that compare them")
    given = arguments.parse_args()
    if given.quick:
        given.participants, given.days, given.strangers = 3, 0.25, 4
    cohort = f"{given.participants}-people-{given.days:g}-days-{given.devices}-devices-seed-{given.seed}"
    store, key = made_store(given.out / cohort, given.participants, given.days, given.devices, given.seed)
    began = time.perf_counter()
    print(persondays("align", store.folder.path))
    seconds = time.perf_counter() - began
    days, clocks = read_days(store), read_clocks(given.out / cohort / "clocks.parquet", key)
    rows = read_alignments(store, store.alignments.version)
    aligned = [row for row in rows if not row.refused]
    away = []
    for row in aligned:
        day, other = days[row.slot], days[row.other_slot]
        away.append(errors(row, day, other, clocks[day.recording], clocks[other.recording]))
    offset_R, drift_R = np.array(away).reshape(-1, 2).T
    pairs = {frozenset((days[row.slot].recording, days[row.other_slot].recording)) for row in aligned}
    refused = Counter(row.reason for row in rows if row.refused and row.slot < row.other_slot)
    compared = strangers(days, clocks, given.strangers)
    with multiprocessing.get_context("spawn").Pool(given.processes) as pool:
        apart = Counter(pool.imap_unordered(partial(reason, url=store.folder.path), compared, chunksize=8))
    found: dict[str, Any] = {
        "machine": machine(),
        "cohort": cohort,
        "pairs of devices": len(pairs) + refused.total(),
        "aligned": len(pairs),
        "refused": dict(refused),
        "rows": len(aligned),
        "offset error, ticks": spread(offset_R),
        "drift error, ppm": spread(drift_R),
        "pairs of different people": len(compared),
        "of them aligned": apart.pop("", 0),
        "of them refused": dict(apart),
        "seconds of align": seconds,
    }
    head = ["", "median", "95%", "largest"]
    names = ("offset error, ticks", "drift error, ppm")
    table = [[name, *(f"{found[name][part]:.2f}" for part in ("median", "95%", "largest"))] for name in names]
    print(f"{cohort.replace('-', ' ')}: {len(pairs)} of {found['pairs of devices']} pairs aligned, {len(aligned)} rows")
    print("\n".join(markdown_table(head, table)))
    print(f"of {len(compared)} pairs of different people, {found['of them aligned']} aligned")
    write_json(given.out / cohort / "align.json", found)


def spread(value_R: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, float]:
    """Median, 95% and largest; none without values."""
    if not value_R.size:
        return dict.fromkeys(("median", "95%", "largest"), float("nan"))
    return {
        "median": float(np.median(value_R)),
        "95%": float(np.quantile(value_R, 0.95)),
        "largest": float(value_R.max()),
    }


if __name__ == "__main__":
    main()
