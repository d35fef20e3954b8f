"""How well `persondays align` finds the clocks of simulated devices, and whether it aligns different people.

    python -m bench.align [--participants 20] [--days 2] [--devices 2] [--seed 7] [--strangers 760]

People with several devices are simulated, ingested and aligned by the commands that a user types. Every row of the
table of alignments is then compared with the clocks that the simulator wrote down (`_clocks.parquet`): the error of the
offset is the largest over the row's seconds, at one of its ends, because both are lines. Then pairs of recordings of
different people are compared as if they were of one. Two days of 20 people with two devices need 0.6 GB of disk once
the recordings, 3 GB, are ingested and deleted. Figures are written to `align.json`.
"""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.identity import Key, load_key, write_new_key
from pipeline.store.alignments import read_alignments
from pipeline.store.store import Store

from ..command import ROOT, machine, module, parser, write_json
from ..tables import markdown_table
from .strangers import compare, strangers
from .truth import errors, read_clocks, read_days


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
    print(persondays("align", store.folder.path))
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
    apart = compare(store.folder.path, compared, given.processes)
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
