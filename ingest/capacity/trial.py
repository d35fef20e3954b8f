"""A trial: one recording is ingested into a temporary store, to measure what that costs on this machine."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from tempfile import TemporaryDirectory

from ingest.join import by_folder
from ingest.run.ingest_task import Assignment, IngestTask
from ingest.run.probe_task import ProbeTask
from ingest.run.sources import list_sources
from ingest.settings import SignalSettings
from pipeline.errors import UserError
from pipeline.identity import SHORT_ID, Key
from pipeline.storage.folder import Folder
from pipeline.store.layout import Codec, is_in_array
from pipeline.store.store import Store

TRIAL_KEY = Key(bytes(32))
"""The key of temporary stores."""
MAX_WARM_UP_S = 60.0
"""A recording that takes longer is ingested once: loading libraries and compiled code then weighs little."""
MAX_DAYS = 366


@dataclass(frozen=True)
class Trial:
    """The cost of a recording in a warm process, or why it would be rejected."""

    signal_days: float = 0.0
    person_days: int = 0
    seconds: float = 0.0
    """Includes waiting for storage."""
    cpu_s: float = 0.0
    cold_s: float = 0.0
    """Seconds of the first time, which loads libraries and compiled code."""
    stored_bytes: int = 0
    peak_bytes: int = 0
    reason: str = ""


@dataclass(frozen=True)
class TrialTask:
    """One recording to try; its slots are those of the temporary store."""

    recordings: str
    assignment: Assignment
    settings: SignalSettings
    codec: Codec
    max_days: int = MAX_DAYS

    @property
    def name(self) -> str:
        """The name of the task in the log."""
        return f"the trial of recording {self.assignment.source.id[:SHORT_ID]}"

    @property
    def memory(self) -> float:
        """Bytes that a worker needs for it at most."""
        return self.assignment.memory

    def split(self) -> list[TrialTask]:
        """The same work, one recording per task."""
        return [self]

    def __call__(self) -> Trial:
        """Ingest the recording, twice if it is quick, and measure the last time."""
        with TemporaryDirectory(prefix="persondays-") as folder:
            store = Store.create(folder, TRIAL_KEY, {}, self.settings.counts_per_g, self.codec)
            store.grow(self.assignment.first_slot + self.assignment.slots)
            task = IngestTask(self.recordings, folder, (self.assignment,), self.settings, 0, self.max_days)
            began, cpu_began = time.perf_counter(), time.process_time()
            (found,) = task()
            if found.more_slots:
                store.grow(self.assignment.first_slot + found.more_slots)
                task = replace(task, assignments=(replace(self.assignment, slots=found.more_slots),))
                (found,) = task()
            cold_s = time.perf_counter() - began
            if not found.reason and found.seconds < MAX_WARM_UP_S:
                cpu_began = time.process_time()
                (found,) = task()
            cpu_s = time.process_time() - cpu_began
            if found.reason:
                return Trial(reason=found.reason)
            arrays = Folder(folder)
            stored = sum(arrays.fs.size(arrays.at(name)) for name in arrays.names() if is_in_array(name))
        return Trial(
            signal_days=sum(day["measured_seconds"] for day in found.days) / 86_400,
            person_days=len(found.days),
            seconds=found.seconds,
            cpu_s=cpu_s,
            cold_s=cold_s,
            stored_bytes=stored,
            peak_bytes=found.peak_bytes,
        )


def try_recording(url: str, join_folders: bool = False) -> tuple[int, Trial]:
    """The size in bytes and the trial of one recording, which with `join_folders` is in the files of a folder.

    Raises UserError if it would be rejected.
    """
    folder, sources = list_sources(url, TRIAL_KEY, join=by_folder if join_folders else None)
    if len(sources) != 1:
        more = "" if join_folders else ", or join parts of one with --join-folders"
        raise UserError(f"{url}: expected one recording, found {len(sources):,}. Name one of them{more}.")
    (probed,) = ProbeTask(folder.url, (sources[0],), MAX_DAYS)()
    if probed.reason and not probed.is_open:
        raise UserError(f"{url} would be rejected: {probed.reason.rstrip('.')}.")
    trial = TrialTask(folder.url, Assignment(sources[0], 0, probed.days), SignalSettings(), "lz4")()
    if trial.reason:
        raise UserError(f"{url} would be rejected: {trial.reason.rstrip('.')}.")
    return sources[0].size, trial
