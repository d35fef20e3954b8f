"""A task that probes recordings: how many calendar days they may touch, from their header and end alone.

The probe only plans slots, because ends may be wrong: a Stop Date that was planned and not reached, a download in
another time zone, first blocks of the year 2000. Where they make no sense, the reason is open: the recording gets no
slots yet, and decoding it decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import accumulate, groupby

import numpy as np

from ingest.devices.joined import join_probes
from ingest.devices.location import require_wrist
from ingest.devices.registry import probe
from ingest.recording import Probe
from ingest.run.sources import AccessDenied, Source, StorageFault, UnreadableRecording, of_file, open_source
from ingest.run.worker import fault_location, time_limit, traceback_without_names
from ingest.settings import SignalSettings
from ingest.signal.timing import too_long
from ingest.signal.zone import local_days
from pipeline.errors import UserError
from pipeline.identity import SHORT_ID
from pipeline.storage.folder import Folder, StorageUnavailable
from pipeline.storage.retry import with_retry

BUNDLE = 64
"""Files that one task probes; a recording that is compressed has to be read to its end and is a task of its own."""
THREADS = 8
WORKER_BYTES = 300e6
DEFAULTS = SignalSettings()


@dataclass(frozen=True)
class ProbeTask:
    """Recordings to probe."""

    recordings: str
    sources: tuple[Source, ...]
    max_days: int
    settings: SignalSettings = DEFAULTS

    @property
    def name(self) -> str:
        """The name of the task in the log."""
        more = f" (and {len(self.sources) - 1} more)" if len(self.sources) > 1 else ""
        return f"the probe of recording {self.sources[0].id[:SHORT_ID]}{more}"

    @property
    def memory(self) -> float:
        """Bytes that a worker needs for it at most."""
        return WORKER_BYTES

    def split(self) -> list[ProbeTask]:
        """The same work, one recording per task."""
        return [replace(self, sources=(source,)) for source in self.sources]

    def __call__(self) -> list[Probed]:
        """Probe the recordings, several at a time: the task waits for storage more than it computes."""
        with time_limit(), ThreadPoolExecutor(THREADS) as pool:
            folder = Folder(self.recordings)
            return list(pool.map(lambda source: probe_one(folder, source, self), self.sources))


@dataclass(frozen=True)
class Probed:
    """The calendar days to plan for a recording, or why it seems unusable. The serial is not yet hashed."""

    source: Source
    days: int = 0
    serial: str = ""
    span: tuple[np.datetime64, np.datetime64] | None = None
    """When it seems to begin and end, by the device's clock."""
    reason: str = ""
    is_open: bool = False
    """Whether decoding may show that the reason does not hold."""
    fault: str = ""
    is_external: bool = False
    """Whether the reason is not in the bytes of the file: the store then keeps what it has of the recording."""


def probe_tasks(
    recordings: str, sources: Sequence[Source], max_days: int, settings: SignalSettings = DEFAULTS
) -> list[ProbeTask]:
    """Tasks that probe all of `sources`."""
    plain = [source for source in sources if not source.is_compressed]
    before = accumulate((len(source.files) for source in plain), initial=0)
    bundles = [
        tuple(source for _, source in bundle)
        for _, bundle in groupby(zip(before, plain, strict=False), lambda pair: pair[0] // BUNDLE)
    ]
    bundles += [(source,) for source in sources if source.is_compressed]
    return [ProbeTask(recordings, bundle, max_days, settings) for bundle in bundles]


def probe_one(folder: Folder, source: Source, task: ProbeTask) -> Probed:
    """The span of one recording. It is rejected if the storage refuses it alone, and others of the task can be read."""

    try:
        labels = [file.id[:SHORT_ID] for file in source.files]
        found = join_probes(labels, [_probe_file(folder, source, file) for file in source.files])
    except AccessDenied:
        if not any(_is_readable(folder, other) for other in task.sources if other != source):
            raise
        return Probed(source, reason="the storage denies access to it: check its permissions", is_external=True)
    except (StorageFault, StorageUnavailable, MemoryError):
        raise
    except UserError as error:
        is_external = isinstance(error, UnreadableRecording)
        return Probed(source, reason=str(error), is_open=not is_external, is_external=is_external)
    except Exception as error:
        return Probed(
            source, reason=fault_location(error), fault=traceback_without_names(error, source), is_external=True
        )
    if not task.settings.any_location:
        try:
            require_wrist(found.location)
        except UserError as error:
            return Probed(source, serial=found.serial, reason=str(error))
    days = local_days(found, task.settings)
    if days > task.max_days:
        return Probed(source, serial=found.serial, reason=too_long(days, task.max_days), is_open=True)
    return Probed(source, days, found.serial, (found.start, found.end))


def _probe_file(folder: Folder, source: Source, file: Source) -> Probe:
    """What the ends of a file of a recording show."""

    def read() -> Probe:
        with open_source(folder, file) as opened:
            found = probe(opened, file.alias, file.size, file.table)
        return found

    with of_file(source, file):
        return with_retry(read)


def _is_readable(folder: Folder, source: Source) -> bool:
    try:
        with open_source(folder, source.files[0]) as file:
            return bool(file.read(1))
    except (UserError, OSError):
        return False
