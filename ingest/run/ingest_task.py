"""A task that brings recordings into their slots: read, decode, process, write each day.

It returns what it found, good or bad, and raises only a RunFault, when storage fails and the run has to
stop. It knows a recording by its keyed id and the place to read it, so that no message of it can tell
more, and it never sees the key.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ingest.devices.registry import decode
from ingest.process import process
from ingest.run.plan import Row
from ingest.run.sources import RunFault, Source, Unread, is_of_storage, read_source
from ingest.run.worker import memory_gauge, place, time_limit, told
from ingest.settings import SignalSettings
from ingest.signal.calibrate import Calibration
from ingest.signal.quality import judged
from pipeline.errors import UserError
from pipeline.identity import SHORT_ID
from pipeline.storage.folder import Folder, StorageUnavailable
from pipeline.storage.retry import with_retry
from pipeline.store.figures import RecordingFigures
from pipeline.store.lease import TTL_S, LeaseLost, require_epoch
from pipeline.store.person_day import PersonDay
from pipeline.store.store import Store

WORKER_BYTES = 500e6
"""Memory of a worker, libraries and one person-day included (measured: 480 MB), without the recording."""
BYTES_PER_BYTE, BYTES_PER_PACKED_BYTE = 3, {".gz": 12, ".zip": 12, ".gt3x": 5, ".parquet": 12}
"""Memory that a byte of a recording takes: the file, and its samples in 16 bits (measured: 1.9 to 2.4; 10 and 3)."""
SMALL_BYTES = 4e6
"""Recordings up to this size share a task: the work of one is not much more than handing it out."""
BUNDLE, LEAST_TASKS = 64, 256
"""Most recordings of a bundle, and the number of tasks below which there are no bundles: all workers have some."""


@dataclass(frozen=True)
class Part:
    """One recording and its slots."""

    source: Source
    first_slot: int
    slots: int
    given: Calibration | None = None
    """Coefficients of its device, where it does not give its own."""

    @property
    def memory(self) -> float:
        """Bytes that a worker needs for it, at most."""
        packed = (each for suffix, each in BYTES_PER_PACKED_BYTE.items() if self.source.suffix.endswith(suffix))
        return WORKER_BYTES + next(packed, BYTES_PER_BYTE) * self.source.size


@dataclass(frozen=True)
class IngestTask:
    """Recordings to bring in, one after the other."""

    recordings: str
    store: str
    parts: tuple[Part, ...]
    settings: SignalSettings
    epoch: int
    """Of the lease under which the slots were given: a worker that outlived its driver's lease writes nothing."""

    @property
    def name(self) -> str:
        """By what the log knows it."""
        more = f" (and {len(self.parts) - 1} more)" if len(self.parts) > 1 else ""
        return f"recording {self.parts[0].source.id[:SHORT_ID]}{more}"

    @property
    def sources(self) -> list[Source]:
        """The recordings."""
        return [part.source for part in self.parts]

    @property
    def memory(self) -> float:
        """Bytes that a worker needs for it, at most."""
        return max(part.memory for part in self.parts)

    @property
    def size(self) -> int:
        """Bytes to read."""
        return sum(part.source.size for part in self.parts)

    def alone(self) -> list[IngestTask]:
        """The same work, one recording a task."""
        return [replace(self, parts=(part,)) for part in self.parts]

    def __call__(self) -> list[Ingested]:
        """Bring the recordings in."""
        folder, store = Folder(self.recordings), _open_store(self.store)
        return [_ingest_one(self, part, folder, store) for part in self.parts]


@dataclass(frozen=True)
class Ingested:
    """Figures of a recording and of its person-days, or why it is rejected. The serial number is not yet hashed."""

    source: Source
    first_slot: int = 0
    figures: RecordingFigures | None = None
    days: list[Row] = field(default_factory=list)
    reason: str = ""
    fault: str = ""
    passing: bool = False
    """Whether the reason lies elsewhere than in the file's bytes: what the store has of the recording stays."""
    seconds: float = 0.0
    """How long the worker was busy with it."""
    peak_bytes: int = 0
    """The most memory that the worker held meanwhile."""


def ingest_tasks(
    recordings: str, store: str, parts: Sequence[Part], settings: SignalSettings, epoch: int
) -> list[IngestTask]:
    """Tasks that bring in all of `parts`, the largest first so that none is left to run alone."""
    small = [part for part in parts if part.source.size <= SMALL_BYTES and not part.source.is_compressed]
    each = min(max(len(small) // LEAST_TASKS, 1), BUNDLE)
    bundles: list[tuple[Part, ...]] = [
        (part,) for part in parts if part.source.size > SMALL_BYTES or part.source.is_compressed
    ]
    bundles += [tuple(small[i : i + each]) for i in range(0, len(small), each)]
    tasks = [IngestTask(recordings, store, bundle, settings, epoch) for bundle in bundles]
    return sorted(tasks, key=lambda task: -task.size)


def _ingest_one(task: IngestTask, part: Part, folder: Folder, store: Store) -> Ingested:
    started = time.monotonic()
    with time_limit(), memory_gauge() as memory:
        try:
            found = _ingest(task, part, folder, store)
        except (RunFault, StorageUnavailable, MemoryError):
            raise
        except UserError as error:
            found = Ingested(part.source, reason=str(error), passing=isinstance(error, Unread))
        except Exception as error:
            found = Ingested(part.source, reason=place(error), fault=told(error, part.source), passing=True)
    return replace(found, seconds=time.monotonic() - started, peak_bytes=memory.peak)


def _ingest(task: IngestTask, part: Part, folder: Folder, store: Store) -> Ingested:
    recording = decode(read_source(folder, part.source), part.source.alias, part.source.told)
    processed = process(recording, task.settings, part.given)
    rows: list[Row] = []
    first_day, looked = None, float("-inf")
    for day, person_day, figures in processed.days():
        if first_day is None:
            first_day = day
        if time.monotonic() - looked > TTL_S:  # another driver may rule by now, and may have deleted these slots
            _require_lease(store, task.epoch)
            looked = time.monotonic()
        index = int((day - first_day).astype(int))
        if index >= part.slots:
            raise UserError(f"it holds more days than its ends tell ({part.slots}): its clock was set meanwhile")
        write_day(store, part.first_slot + index, person_day)
        rows.append({**figures, "slot": part.first_slot + index, "day": day.astype(object), "day_index": index})
    return Ingested(part.source, part.first_slot, judged(processed.figures, rows), rows)


def _require_lease(store: Store, epoch: int) -> None:
    try:
        require_epoch(store.folder, epoch)
    except LeaseLost as error:
        raise RunFault(str(error)) from None


def write_day(store: Store, slot: int, day: PersonDay) -> None:
    """Put a person-day into its slot; raises RunFault when the store does not take it, whatever the cause."""
    try:
        with store.folder.translate_errors():
            store.remove_leftovers(slot)
            store.write_day(slot, day)
    except StorageUnavailable:
        raise
    except Exception as error:
        cause = error.strerror if isinstance(error, OSError) and error.strerror else f"{type(error).__name__}: {error}"
        raise RunFault(
            f"{store.folder.url}: the store cannot be written ({cause}). Nothing half-written is taken for whole: "
            "mend it and run the same command again."
        ) from error


def _open_store(url: str) -> Store:
    try:
        return with_retry(lambda: Store.open(url))
    except StorageUnavailable:
        raise
    except UserError as error:
        raise RunFault(f"a worker cannot open the store. {error}") from None
    except Exception as error:
        if not is_of_storage(error):
            raise
        raise RunFault(f"{url}: a worker cannot open the store ({type(error).__name__}).") from None
