"""A small folder of simulated recordings, and the person-days that a run has to store of each."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ingest.devices.registry import decode
from ingest.process import Row, process
from ingest.run.settings import IngestSettings
from ingest.settings import SignalSettings
from ingest.simulate.recording import simulate_recording
from pipeline.identity import Key
from pipeline.storage.folder import Folder
from pipeline.store.person_day import PersonDay
from pipeline.store.store import Store

KEY = Key(bytes(range(32)))
ANNA = ("anna.smith/1000011_90001_0_0.cwa", "anna.smith/1000011_90001_1_0.cwa")
BEN = "1000022_90001_0_0.cwa"
CLARA = "clara/1000033_90001_0_0.CWA.GZ"
GOOD = (*ANNA, BEN, CLARA)
BAD = {
    "1000044_90001_0_0.cwa": "not an Axivity recording",
    "1000055_90001_0_0.cwa": "header of 1024 bytes",
    "1000066_90001_0_0.cwa.gz": "damaged or cut off",
    "1000077_90001_0_0.cwa": "--max-days",
}
MAP = "name,participant\nanna.smith/*,Anna Smith\n1000022_90001_0_0.cwa,Ben\nclara/*,Clara\n10000[4-7]*,Dora\n"
NAMING = ("anna", "smith", "clara", "90001", "10000")
"""Parts of the names, which no output of a run may contain."""
HOUR = 1 / 24
LONG = tuple(f"100004{number}_90001_0_0.cwa" for number in range(6))
"""Recordings of a whole day, which crosses a midnight."""


def make(folder: Path) -> None:
    """Write the cohort: four good recordings (Ben's crosses a midnight) and four that must be rejected."""
    for name in ("anna.smith", "clara"):
        (folder / name).mkdir(parents=True)
    for number, name in enumerate(ANNA):
        simulate_recording(folder / name, number, 1, days=HOUR)
    simulate_recording(folder / BEN, 0, 2, days=HOUR, start=np.datetime64("2024-05-06T23:30:00"))
    plain = folder / "plain.tmp"
    simulate_recording(plain, 0, 3, days=HOUR)
    (folder / CLARA).write_bytes(gzip.compress(plain.read_bytes(), 1))
    garbage, empty, cut, long = (folder / name for name in BAD)
    garbage.write_bytes(b"not a recording" * 1000)
    empty.write_bytes(b"")
    cut.write_bytes((folder / CLARA).read_bytes()[:100_000])
    for target, start in ((long, "2024-03-04T10:00:00"), (plain, "2025-03-04T10:00:00")):
        simulate_recording(target, 0, 4, days=HOUR / 60, start=np.datetime64(start))
    long.write_bytes(long.read_bytes() + plain.read_bytes()[1024:])
    plain.unlink()
    (folder / "notes.txt").write_text("these are nobody's")


def make_long(folder: Path) -> None:
    """Write recordings that take a worker some tenths of a second each; all have the same content."""
    simulate_recording(folder / LONG[0], 0, 5, days=1)
    for name in LONG[1:]:
        (folder / name).hardlink_to(folder / LONG[0])


def settings(folder: Path, store: Path | str, **more: object) -> IngestSettings:
    """Settings of a run whose key and map of participants are beside the folder."""
    key, people = folder.parent / "key", folder.parent / "people.csv"
    key.write_text(KEY.secret.hex())
    people.write_text(MAP)
    given: dict[str, Any] = {"recordings": str(folder), "store": str(store), "key_file": key, "participants": people}
    return IngestSettings(**given | more)


@dataclass(frozen=True)
class Expected:
    """A person-day as the signal steps give it."""

    day: np.datetime64
    person_day: PersonDay
    figures: Row


def expected(path: Path, signal: SignalSettings | None = None) -> list[Expected]:
    """Decode and process one recording in this process."""
    processed = process(decode(path.read_bytes(), path.name), signal or SignalSettings())
    return [Expected(*found) for found in processed.days()]


def rows(store: str | Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """All rows of `person_days` and `recordings`, sorted."""
    opened = Store.open(str(store))
    return (
        opened.person_days.read().sort_by("slot").to_pylist(),
        opened.recordings.read().sort_by("recording").to_pylist(),
    )


def objects(store: str | Path) -> list[str]:
    """The names of all chunks and shards."""
    return [name for name in Folder(str(store)).names() if "/c/" in name]
