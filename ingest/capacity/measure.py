"""What one real recording takes of this machine: brought into a store that is thrown away, by a warm process."""

from __future__ import annotations

import time
from dataclasses import dataclass
from tempfile import TemporaryDirectory

from ingest.run.ingest_task import IngestTask, Part
from ingest.run.probe_task import ProbeTask
from ingest.run.sources import list_sources
from ingest.settings import SignalSettings
from pipeline.errors import UserError
from pipeline.identity import Key
from pipeline.storage.folder import Folder
from pipeline.store.layout import is_in_array
from pipeline.store.store import Store

NOBODYS_KEY = Key(bytes(32))


@dataclass(frozen=True)
class Measured:
    """A recording, and what the second time of bringing it in took; the first loads libraries and compiled code."""

    bytes_read: int
    signal_days: float
    person_days: int
    stored_bytes: int
    cpu_s: float
    wall_s: float
    cold_s: float
    """The first time, from a new process."""
    peak_bytes: int


def measure(url: str) -> Measured:
    """Bring one recording in, twice; raises UserError when it is none or would be rejected."""
    folder, sources = list_sources(url, NOBODYS_KEY)
    if len(sources) != 1:
        raise UserError(f"{url}: expected one recording, found {len(sources):,}. Name one of them.")
    (probed,) = ProbeTask(folder.url, (sources[0],), max_days=366)()
    if probed.reason:
        raise UserError(f"{url} would be rejected: {probed.reason}.")
    with TemporaryDirectory(prefix="persondays-") as scratch:
        store = Store.create(scratch, NOBODYS_KEY, {})
        store.grow(probed.days)
        task = IngestTask(folder.url, scratch, (Part(sources[0], 0, probed.days),), SignalSettings(), epoch=0)
        began = time.perf_counter()
        task()
        cold_s = time.perf_counter() - began
        cpu_began = time.process_time()
        (found,) = task()
        cpu_s = time.process_time() - cpu_began
        if found.reason:
            raise UserError(f"{url} would be rejected: {found.reason}.")
        arrays = Folder(scratch)
        stored = sum(arrays.fs.size(arrays.at(name)) for name in arrays.names() if is_in_array(name))
    return Measured(
        bytes_read=sources[0].size,
        signal_days=sum(day["measured_seconds"] for day in found.days) / 86_400,
        person_days=len(found.days),
        stored_bytes=stored,
        cpu_s=cpu_s,
        wall_s=found.seconds,
        cold_s=cold_s,
        peak_bytes=found.peak_bytes,
    )
