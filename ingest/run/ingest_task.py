"""A task that ingests recordings into their slots: read, decode, process, write each day.

It returns the result, good or bad, and raises only a StorageFault, when storage fails and the run has to stop. A
recording that turns out to span more days than were planned is not written: the driver plans it again. A task knows a
recording by its keyed id and by where to read it, so that its messages name nobody, and it never sees the key.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ingest.devices.registry import Part, decode, decode_parts
from ingest.process import Row, process
from ingest.recording import Recording
from ingest.run.sources import Source, StorageFault, UnreadableRecording, is_of_storage, of_file, read_source
from ingest.run.worker import fault_location, measure_memory, time_limit, traceback_without_names
from ingest.settings import SignalSettings
from ingest.signal.calibrate import Calibration
from ingest.signal.quality import judged
from ingest.signal.timing import MAX_DAYS
from pipeline.errors import UserError
from pipeline.identity import SHORT_ID
from pipeline.storage.folder import Folder, StorageUnavailable
from pipeline.storage.retry import with_retry
from pipeline.store.figures import RecordingFigures
from pipeline.store.lease import TTL_S, LeaseLost, require_epoch
from pipeline.store.person_day import PersonDay
from pipeline.store.store import Store

WORKER_BYTES = 500e6
"""Memory of a worker without the recording: libraries and one person-day (measured: 480 MB)."""
BYTES_PER_BYTE, BYTES_PER_PACKED_BYTE = 3, {".gz": 12, ".zip": 12, ".gt3x": 5, ".parquet": 12}
"""Memory per byte of a recording: the file, and its samples in 16 bits (measured: 1.9 to 2.4; 10 and 3)."""
SMALL_BYTES = 4e6
"""Recordings up to this size share a task: processing one takes hardly longer than scheduling it."""
MAX_BUNDLE, MIN_TASKS = 64, 256
"""Recordings in a bundle at most, and the number of tasks below which nothing is bundled: every worker gets some."""


NO_SLOT = -1
"""The first slot of a recording that has none yet."""


@dataclass(frozen=True)
class Assignment:
    """One recording and its slots; none where its ends do not show how many days it has."""

    source: Source
    first_slot: int = NO_SLOT
    slots: int = 0
    given: Calibration | None = None
    """Coefficients of its device, used where the recording does not determine its own."""

    @property
    def memory(self) -> float:
        """Bytes that a worker needs for it at most."""
        return WORKER_BYTES + sum(_memory_per_byte(file) * file.size for file in self.source.files)


def _memory_per_byte(file: Source) -> float:
    packed = (each for suffix, each in BYTES_PER_PACKED_BYTE.items() if file.suffix.endswith(suffix))
    return next(packed, BYTES_PER_BYTE)


@dataclass(frozen=True)
class IngestTask:
    """Recordings to ingest, one after the other."""

    recordings: str
    store: str
    assignments: tuple[Assignment, ...]
    settings: SignalSettings
    epoch: int
    """Of the lease under which the slots were assigned: a worker that outlives its driver's lease writes nothing."""
    max_days: int = MAX_DAYS

    @property
    def name(self) -> str:
        """The name of the task in the log."""
        more = f" (and {len(self.assignments) - 1} more)" if len(self.assignments) > 1 else ""
        return f"recording {self.assignments[0].source.id[:SHORT_ID]}{more}"

    @property
    def sources(self) -> list[Source]:
        """The recordings."""
        return [each.source for each in self.assignments]

    @property
    def memory(self) -> float:
        """Bytes that a worker needs for it at most."""
        return max(each.memory for each in self.assignments)

    @property
    def size(self) -> int:
        """Bytes to read."""
        return sum(each.source.size for each in self.assignments)

    def split(self) -> list[IngestTask]:
        """The same work, one recording per task."""
        return [replace(self, assignments=(each,)) for each in self.assignments]

    def __call__(self) -> list[Ingested]:
        """Ingest the recordings."""
        folder, store = Folder(self.recordings), _open_store(self.store)
        return [_ingest_one(self, each, folder, store) for each in self.assignments]


@dataclass(frozen=True)
class Ingested:
    """Figures of a recording and of its person-days, or why it is rejected. The serial number is not yet hashed."""

    source: Source
    first_slot: int = 0
    figures: RecordingFigures | None = None
    """None where it is rejected."""
    days: list[Row] = field(default_factory=list)
    more_slots: int = 0
    """The slots that it needs, where they are more than were planned; nothing was written then."""
    reason: str = ""
    fault: str = ""
    is_external: bool = False
    """Whether the reason is not in the bytes of the file: the store then keeps what it has of the recording."""
    seconds: float = 0.0
    """How long the worker was busy with it."""
    peak_bytes: int = 0
    """The most memory that the worker used meanwhile."""


def ingest_tasks(
    recordings: str,
    store: str,
    assignments: Sequence[Assignment],
    settings: SignalSettings,
    epoch: int,
    max_days: int = MAX_DAYS,
) -> list[IngestTask]:
    """Tasks that ingest all of `assignments`, the largest first so that none runs alone at the end."""
    small = [each for each in assignments if each.source.size <= SMALL_BYTES and not each.source.is_compressed]
    size = min(max(len(small) // MIN_TASKS, 1), MAX_BUNDLE)
    bundles: list[tuple[Assignment, ...]] = [
        (each,) for each in assignments if each.source.size > SMALL_BYTES or each.source.is_compressed
    ]
    bundles += [tuple(small[i : i + size]) for i in range(0, len(small), size)]
    tasks = [IngestTask(recordings, store, bundle, settings, epoch, max_days) for bundle in bundles]
    return sorted(tasks, key=lambda task: -task.size)


def _ingest_one(task: IngestTask, assignment: Assignment, folder: Folder, store: Store) -> Ingested:
    started, source = time.monotonic(), assignment.source
    with time_limit(), measure_memory() as memory:
        try:
            found = _ingest(task, assignment, folder, store)
        except (StorageFault, StorageUnavailable, MemoryError):
            raise
        except UserError as error:
            found = Ingested(source, reason=str(error), is_external=isinstance(error, UnreadableRecording))
        except Exception as error:
            fault = traceback_without_names(error, source)
            found = Ingested(source, reason=fault_location(error), fault=fault, is_external=True)
    return replace(found, seconds=time.monotonic() - started, peak_bytes=memory.peak_bytes)


def _ingest(task: IngestTask, assignment: Assignment, folder: Folder, store: Store) -> Ingested:
    source = assignment.source
    processed = process(_decoded(folder, source, task.settings), task.settings, assignment.given, task.max_days)
    needed = processed.span_days
    if needed > assignment.slots:
        return Ingested(source, more_slots=needed)
    rows: list[Row] = []
    first_day, checked = None, float("-inf")
    for day, person_day, figures in processed.days():
        if first_day is None:
            first_day = day
        if time.monotonic() - checked > TTL_S:  # another driver may have the lease by now and have deleted these slots
            _require_lease(store, task.epoch)
            checked = time.monotonic()
        index = int((day - first_day).astype(int))
        slot = assignment.first_slot + index
        write_day(store, slot, person_day)
        rows.append({**figures, "slot": slot, "day": day.astype(object), "day_index": index})
    return Ingested(source, assignment.first_slot, judged(processed.figures, rows), rows)


def _decoded(folder: Folder, source: Source, settings: SignalSettings) -> Recording:
    """The recording in a file, or in several; errors name a part by its id."""
    if not source.parts:
        return decode(read_source(folder, source), source.alias, source.table, settings)

    def part(file: Source) -> Part:
        def read() -> Any:
            with of_file(source, file):
                return read_source(folder, file)

        return Part(file.id[:SHORT_ID], file.alias, read)

    return decode_parts([part(file) for file in source.parts], source.table, settings)


def _require_lease(store: Store, epoch: int) -> None:
    try:
        require_epoch(store.folder, epoch)
    except LeaseLost as error:
        raise StorageFault(str(error)) from None


def write_day(store: Store, slot: int, day: PersonDay) -> None:
    """Write a person-day to its slot; raises StorageFault when that fails, whatever the cause."""
    try:
        with store.folder.translate_errors():
            store.remove_leftovers(slot)
            store.write_day(slot, day)
    except StorageUnavailable:
        raise
    except Exception as error:
        cause = error.strerror if isinstance(error, OSError) and error.strerror else f"{type(error).__name__}: {error}"
        raise StorageFault(
            f"{store.folder.url}: the store cannot be written ({cause}). Partly written objects do no harm: fix the "
            "cause and run the same command again."
        ) from error


def _open_store(url: str) -> Store:
    try:
        return with_retry(lambda: Store.open(url))
    except StorageUnavailable:
        raise
    except UserError as error:
        raise StorageFault(f"a worker cannot open the store. {error}") from None
    except Exception as error:
        if not is_of_storage(error):
            raise
        raise StorageFault(f"{url}: a worker cannot open the store ({type(error).__name__}).") from None
