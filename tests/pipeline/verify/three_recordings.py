"""A small store of three recordings of two participants, to be damaged; and what a report says of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import grid
from pipeline.identity import Key
from pipeline.store.day_figures import day_figures
from pipeline.store.layout import slot_object
from pipeline.store.person_day import PersonDay, motion
from pipeline.store.states import MEASURED
from pipeline.store.store import Store
from pipeline.verify.report import Report

KEY = Key(bytes(range(32)))
ANN, BOB = KEY.participant("Ann"), KEY.participant("Bob")
RECORDINGS = {
    KEY.recording(name): (person, days) for name, person, days in (("a", ANN, 2), ("b", ANN, 1), ("c", BOB, 2))
}

FIRST = {name: 3 * number for number, name in enumerate(RECORDINGS)}
"""Each recording was given three slots: some of them are unused."""

SLOTS = [first + day for name, first in FIRST.items() for day in range(RECORDINGS[name][1])]


def a_day(seed: int, minutes: int = 30) -> PersonDay:
    """Noise around gravity for some minutes."""
    random = np.random.default_rng(seed)
    signal = np.full((3, grid.TICKS_PER_DAY), grid.FILL, np.int16)
    ticks = slice(9 * grid.TICKS_PER_HOUR, 9 * grid.TICKS_PER_HOUR + minutes * 60 * 30)
    signal[:, ticks] = random.normal((0, 0, 1024), 40, (minutes * 60 * 30, 3)).T.round()
    state = np.zeros(grid.SECONDS_PER_DAY, np.uint8)
    state[9 * 3600 : 9 * 3600 + minutes * 60] = MEASURED
    return PersonDay(signal, motion(signal, state), state)


def plan_row(recording: str, participant: str, first: int, slots: int, source: str = "1") -> dict[str, Any]:
    return {
        "recording": recording,
        "participant": participant,
        "source": source,
        "first_slot": first,
        "slots": slots,
    }


def done_row(recording: str, participant: str, days: int, source: str = "1") -> dict[str, Any]:
    named = {"recording": recording, "participant": participant, "source": source}
    return named | {"status": "done", "person_days": days}


def day_row(store: Store, recording: str, participant: str, slot: int, index: int) -> dict[str, Any]:
    """Write a day, and return its row."""
    day = a_day(slot)
    store.write_day(slot, day)
    named = {"slot": slot, "recording": recording, "participant": participant, "day_index": index}
    return named | day_figures(day, grid.COUNTS_PER_G)


def make(url: str) -> Store:
    """A store of three recordings of two people, five days, as ingest leaves it."""
    store = Store.create(url, KEY, {"made": "for tests"})
    store.plan.append([plan_row(name, person, FIRST[name], 3) for name, (person, _) in RECORDINGS.items()])
    store.grow(9)
    store.person_days.append(
        [
            day_row(store, name, person, FIRST[name] + index, index)
            for name, (person, days) in RECORDINGS.items()
            for index in range(days)
        ]
    )
    store.recordings.append([done_row(name, person, days) for name, (person, days) in RECORDINGS.items()])
    return store


def found(report: Report) -> dict[str, Any]:
    """The kinds of faults, each with its slots or names."""
    return {each.kind: list[Any](each.slots) or list[Any](each.names) for each in report.findings if each.wrong}


def object_of(store: Store, array: str, slot: int) -> Path:
    return Path(store.folder.path) / slot_object(array, slot)


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(bytes(data))


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline", "verify", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[3])
