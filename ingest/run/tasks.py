"""What a worker does: probe a few recordings, or bring one into its slots of the store.

A task returns what it found, good or bad; it raises only a RunFault, when storage fails and the run has
to stop. It knows a recording by its keyed id and the place to read it, so that no message of it can
tell more, and it never sees the key.
"""

from __future__ import annotations

import faulthandler
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from ingest.devices import decode, probe
from ingest.process import process
from ingest.run.plan import Row
from ingest.run.sources import RunFault, Source, is_of_storage, open_source, read_source
from ingest.settings import SignalSettings
from pipeline.errors import UserError
from pipeline.person_day import PersonDay
from pipeline.storage import Folder
from pipeline.store import Store

PROBES_AT_ONCE = 8
PROBE_BYTES, INGEST_BYTES = 300e6, 500e6
"""Memory of a worker, libraries and one person-day included (measured: 480 MB), without the recording."""
BYTES_PER_BYTE, BYTES_PER_COMPRESSED_BYTE = 3, 12
"""Memory that a byte of a recording takes: the file, and its samples in 16 bits (measured: 1.9 to 2.4, and 10)."""
TIME_LIMIT_S = 4 * 3600.0
"""A worker that is busy with one task for longer has hung: it ends itself, which counts as a death."""


@dataclass(frozen=True)
class ProbeTask:
    """Some recordings to look at."""

    recordings: str
    sources: tuple[Source, ...]
    max_days: int


@dataclass(frozen=True)
class Probed:
    """The calendar days that a recording touches at most, or why it is rejected. The serial is not yet hashed."""

    source: Source
    days: int = 0
    serial: str = ""
    reason: str = ""
    fault: str = ""


@dataclass(frozen=True)
class IngestTask:
    """One recording and its slots."""

    recordings: str
    store: str
    source: Source
    first_slot: int
    slots: int
    settings: SignalSettings


@dataclass(frozen=True)
class Ingested:
    """Figures of a recording and of its person-days, or why it is rejected. The serial number is not yet hashed."""

    source: Source
    figures: Row = field(default_factory=dict)
    days: list[Row] = field(default_factory=list)
    reason: str = ""
    fault: str = ""


def probe_some(task: ProbeTask) -> list[Probed]:
    """Header and ends of some recordings, several at a time: it is waiting for storage, not work."""
    with time_limit(), ThreadPoolExecutor(PROBES_AT_ONCE) as pool:
        folder = Folder(task.recordings)
        return list(pool.map(lambda source: probe_one(folder, source, task.max_days), task.sources))


def probe_one(folder: Folder, source: Source, max_days: int) -> Probed:
    """The span of one recording."""
    try:
        with open_source(folder, source) as file:
            found = probe(file, source.alias, source.size)
    except RunFault:
        raise
    except UserError as error:
        return Probed(source, reason=str(error))
    except Exception as error:
        return Probed(source, reason=_place(error), fault=_told(error, source))
    days = len(found.days)
    if days > max_days:
        return Probed(
            source,
            serial=found.serial,
            reason=f"it spans {days:,} days by its own clock, more than --max-days {max_days}: the clock was set "
            "during the recording, or its stamps are damaged",
        )
    return Probed(source, days, found.serial)


def ingest_one(task: IngestTask) -> Ingested:
    """Decode and process a recording, and write its person-days into its slots."""
    with time_limit():
        folder, store = Folder(task.recordings), _open_store(task.store)
        try:
            return _ingest(task, folder, store)
        except RunFault:
            raise
        except UserError as error:
            return Ingested(task.source, reason=str(error))
        except Exception as error:
            return Ingested(task.source, reason=_place(error), fault=_told(error, task.source))


def _ingest(task: IngestTask, folder: Folder, store: Store) -> Ingested:
    recording = decode(read_source(folder, task.source), task.source.alias)
    processed = process(recording, task.settings)
    rows: list[Row] = []
    first_day = None
    for day, person_day, figures in processed.days():
        first_day = day if first_day is None else first_day
        index = int((day - first_day).astype(int))
        if index >= task.slots:
            raise UserError(f"it holds more days than its ends tell ({task.slots}): its clock was set meanwhile")
        write_day(store, task.first_slot + index, person_day)
        rows.append({**figures, "slot": task.first_slot + index, "day": day.astype(object), "day_index": index})
    return Ingested(task.source, dict(processed.figures), rows)


def write_day(store: Store, slot: int, day: PersonDay) -> None:
    """Put a person-day into its slot; raises RunFault when the store does not take it, whatever the cause."""
    try:
        with store.folder.explained():
            store.write_day(slot, day)
    except Exception as error:
        cause = error.strerror if isinstance(error, OSError) and error.strerror else f"{type(error).__name__}: {error}"
        raise RunFault(
            f"{store.folder.url}: the store cannot be written ({cause}). Nothing half-written is taken for whole: "
            "mend it and run the same command again."
        ) from error


def _open_store(url: str) -> Store:
    try:
        return Store.open(url)
    except UserError as error:
        raise RunFault(f"a worker cannot open the store. {error}") from None
    except Exception as error:
        if not is_of_storage(error):
            raise
        raise RunFault(f"{url}: a worker cannot open the store ({type(error).__name__}).") from None


def _place(error: Exception) -> str:
    """A fault of the program in one line: its type and our innermost line. Its own text may name a file."""
    places = [(frame.f_globals.get("__name__", ""), line) for frame, line in traceback.walk_tb(error.__traceback__)]
    ours = [place for place in places if place[0].split(".")[0] in ("ingest", "pipeline")]
    module, line = (ours or places)[-1]
    return f"fault of the program, {type(error).__name__} at {module}:{line}"


def _told(error: BaseException, source: Source) -> str:
    """The traceback of an exception and of what led to it: lines of code, and texts without the source's name."""
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    earlier = f"{_told(before, source)}\nwhich led to\n" if before else ""
    frames = "".join(traceback.format_tb(error.__traceback__))
    return f"{earlier}{frames}{type(error).__name__}: {source.scrub(str(error))}"


@contextmanager
def time_limit(seconds: float = TIME_LIMIT_S) -> Iterator[None]:
    """End this process when the context lasts longer."""
    faulthandler.dump_traceback_later(seconds, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def memory_to_probe(task: ProbeTask) -> float:
    """Bytes that a worker needs for it, at most."""
    return PROBE_BYTES


def memory_to_ingest(task: IngestTask) -> float:
    """Bytes that a worker needs for it, at most."""
    each = BYTES_PER_COMPRESSED_BYTE if task.source.is_compressed else BYTES_PER_BYTE
    return INGEST_BYTES + each * task.source.size
