"""A small store of six participants in every state that ingest leaves, and an independent search for their traces."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from pipeline import grid
from pipeline.identity import Key
from pipeline.store.layout import ARRAYS
from pipeline.store.person_day import PersonDay, motion
from pipeline.store.states import MEASURED
from pipeline.store.store import Store

KEY = Key(bytes(range(32)))
ANN, BOB, CLARA, DORA, EMIL, FAY = PEOPLE = [
    KEY.participant(name) for name in ("Ann", "Bob", "Clara", "Dora", "Emil", "Fay")
]
SHARED_DEVICE = KEY.device("4711")
SLOTS = {ANN: [0, 1, 2, 5, 6, 7], BOB: [3, 4], DORA: [8, 9], EMIL: [10, 11]}
"""Every slot ever given to a participant; Clara was rejected before she got any, Fay is not in the store."""
KEPT = {ANN: [2, 5, 6], BOB: [3, 4], EMIL: [10]}
"""Slots with a row."""
TODAY = date(2026, 3, 4)


def a_day(seed: int, minutes: int = 20) -> PersonDay:
    """Noise around gravity for some minutes."""
    random = np.random.default_rng(seed)
    size = minutes * 60 * 30
    signal = np.full((3, grid.TICKS_PER_DAY), grid.FILL, np.int16)
    signal[:, grid.TICKS_PER_HOUR : grid.TICKS_PER_HOUR + size] = random.normal((0, 0, 1024), 40, (size, 3)).T.round()
    state = np.zeros(grid.SECONDS_PER_DAY, np.uint8)
    state[3600 : 3600 + minutes * 60] = MEASURED
    return PersonDay(signal, motion(signal, state), state)


def recordings_of(person: str) -> list[str]:
    """Keyed ids of a participant's recordings."""
    names = {ANN: ["a0", "a1"], BOB: ["b"], CLARA: ["c"], DORA: ["d"], EMIL: ["e"]}
    return [KEY.recording(name) for name in names.get(person, [])]


def plan_row(person: str, number: int, first: int, slots: int) -> dict[str, Any]:
    recording = recordings_of(person)[number]
    return {
        "recording": recording,
        "participant": person,
        "source": f"{first:016x}",
        "first_slot": first,
        "slots": slots,
    }


def day_row(person: str, number: int, slot: int, index: int, checksum: str) -> dict[str, Any]:
    return {
        "slot": slot,
        "recording": recordings_of(person)[number],
        "participant": person,
        "day_index": index,
        "serial": SHARED_DEVICE if person in (ANN, EMIL) else KEY.device(person),
        "measured_seconds": 1200,
        "wear_seconds": 1200,
        "checksum": checksum,
    }


def recording_row(person: str, number: int, days: int) -> dict[str, Any]:
    serial = SHARED_DEVICE if person in (ANN, EMIL) else KEY.device(person)
    return {
        "recording": recordings_of(person)[number],
        "participant": person,
        "source": "0" * 16,
        "size": 1000,
        "status": "done" if days else "rejected",
        "reason": None if days else "not a recording",
        "person_days": days,
        "serial": serial if days else None,
        "figures": f'{{"serial": "{serial}"}}' if days else None,
    }


def make(url: str) -> Store:
    """Create the store: several commits of each table, a replaced recording, and one whose ingest was killed."""
    store = Store.create(url, KEY, {"made": "for tests"})
    store.plan.append([plan_row(ANN, 0, 0, 2), plan_row(ANN, 0, 2, 1), plan_row(BOB, 0, 3, 2)])
    store.plan.append([plan_row(ANN, 1, 5, 3), plan_row(DORA, 0, 8, 2), plan_row(EMIL, 0, 10, 2)])
    store.grow(12)
    days = {slot: a_day(slot) for slot in (2, 3, 4, 5, 6, 8, 10)}
    for slot, day in days.items():
        store.write_day(slot, day)
    sums = {slot: day.checksum() for slot, day in days.items()}
    store.person_days.append(
        [day_row(ANN, 0, 0, 0, "f" * 64), day_row(BOB, 0, 3, 0, sums[3]), day_row(BOB, 0, 4, 1, sums[4])]
    )
    store.person_days.replace(recordings_of(ANN)[:1], [day_row(ANN, 0, 2, 0, sums[2])])
    store.person_days.append([day_row(ANN, 1, slot, slot - 5, sums[slot]) for slot in (5, 6)])
    store.person_days.append([day_row(EMIL, 0, 10, 0, sums[10])])
    store.recordings.append([recording_row(ANN, 0, 1), recording_row(BOB, 0, 2), recording_row(CLARA, 0, 0)])
    store.recordings.append([recording_row(ANN, 1, 2), recording_row(EMIL, 0, 1)])
    store.recordings.compact()
    return store


def reopen(store: Store) -> Store:
    """Open a store again, as the next command does."""
    return Store.open(store.folder.url)


def days_of(store: Store, people: Iterable[str]) -> dict[int, str]:
    """Checksums of the days of these participants, read from the arrays, by slot."""
    slots = [slot for person in people for slot in KEPT.get(person, [])]
    return {slot: store.read_day(slot).checksum() for slot in slots}


def rows_of(store: Store, people: Iterable[str]) -> list[dict[str, Any]]:
    """All rows of these participants, in all tables."""
    tables = [table.read().to_pylist() for table in (store.plan, store.person_days, store.recordings)]
    wanted = set(people)
    return sorted((row for rows in tables for row in rows if row["participant"] in wanted), key=repr)


def traces(files: dict[str, bytes], people: Iterable[str]) -> list[str]:
    """Where these participants, their recordings or slots are found by plain search: raw, decoded and in names."""
    people = list(people)
    ids = [*people, *(recording for person in people for recording in recordings_of(person))]
    slots = {slot for person in people for slot in SLOTS.get(person, [])}
    found = []
    for name, data in files.items():
        if name.startswith("withdrawn/"):
            continue
        decoded = repr(pq.read_table(io.BytesIO(data)).to_pylist()) if name.endswith(".parquet") else ""
        found += [f"{id_[:12]} in {name}" for id_ in ids if id_.encode() in data or id_ in decoded or id_ in name]
        at = re.match(rf"({'|'.join(ARRAYS)})/c/(\d+)", name)
        if at and int(at[2]) in slots:
            found.append(f"slot {at[2]}: {name}")
    return found


def files_in(folder: Path | str) -> dict[str, bytes]:
    """Every file below a folder, hidden and unfinished ones too."""
    root = Path(folder)
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
