"""A folder with what a reader of the docs has: recordings of simulated people, and the store that ingest makes of them.

The store is written without Ray, by the same steps as in a worker, so that tests of pages and examples stay fast.
"""

from __future__ import annotations

from pathlib import Path

from ingest.inspect.recording import inspect_processed, process_recording
from ingest.settings import TableSettings
from ingest.simulate.recording import simulate_recording
from pipeline.identity import Key
from pipeline.store.figures import json_value
from pipeline.store.person_day import PersonDay
from pipeline.store.schemas import PERSON_DAYS
from pipeline.store.store import Store

KEY = Key(bytes(range(32)))


def simulate_store(folder: Path, people: int, hours: float = 1.0) -> None:
    """Write `recordings/P0001.cwa` and so on, and `store`; each recording is within one day."""
    (folder / "recordings").mkdir()
    store = Store.create(str(folder / "store"), KEY, {"made": "for tests"}, people="named")
    store.grow(people)
    days, recordings = [], []
    for slot in range(people):
        name = f"P{slot + 1:04d}"
        path = folder / "recordings" / f"{name}.cwa"
        simulate_recording(path, 0, slot + 1, days=hours / 24)
        seen: list[PersonDay] = []
        found = inspect_processed(str(path), process_recording(str(path), TableSettings()), seen.append)
        store.write_day(slot, seen[0])
        ids = {"recording": KEY.recording(f"{name}.cwa"), "participant": KEY.participant(name)}
        plain = found.figures.plain()
        of_day = {
            column: json_value(found.days[0].figures.get(column, plain.get(column))) for column in PERSON_DAYS.names
        }
        days.append(of_day | ids | {"slot": slot, "day": found.days[0].date.item(), "day_index": 0, "serial": None})
        recordings.append(ids | {"status": "done", "person_days": 1, "figures": found.figures.to_json()})
    store.person_days.append(days)
    store.recordings.append(recordings)
