"""A task that looks at recordings: which calendar days they may touch, learned from header and ends alone."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from ingest.devices.location import require_wrist
from ingest.devices.registry import probe
from ingest.recording import Probe
from ingest.run.sources import Refused, RunFault, Source, Unread, open_source
from ingest.run.worker import place, time_limit, told
from ingest.settings import SignalSettings
from ingest.signal.zone import local_days
from pipeline.errors import UserError
from pipeline.identity import SHORT_ID
from pipeline.storage.folder import Folder, StorageUnavailable
from pipeline.storage.retry import with_retry

BUNDLE = 64
"""Recordings that one task looks at; a compressed one has to be read whole and is a task of its own."""
AT_ONCE = 8
WORKER_BYTES = 300e6
DEFAULTS = SignalSettings()


@dataclass(frozen=True)
class ProbeTask:
    """Some recordings to look at."""

    recordings: str
    sources: tuple[Source, ...]
    max_days: int
    settings: SignalSettings = DEFAULTS

    @property
    def name(self) -> str:
        """By what the log knows it."""
        more = f" (and {len(self.sources) - 1} more)" if len(self.sources) > 1 else ""
        return f"the probe of recording {self.sources[0].id[:SHORT_ID]}{more}"

    @property
    def memory(self) -> float:
        """Bytes that a worker needs for it, at most."""
        return WORKER_BYTES

    def alone(self) -> list[ProbeTask]:
        """The same work, one recording a task."""
        return [replace(self, sources=(source,)) for source in self.sources]

    def __call__(self) -> list[Probed]:
        """Look at the recordings, several at a time: it is waiting for storage, not work."""
        with time_limit(), ThreadPoolExecutor(AT_ONCE) as pool:
            folder = Folder(self.recordings)
            return list(pool.map(lambda source: probe_one(folder, source, self), self.sources))


@dataclass(frozen=True)
class Probed:
    """The calendar days that a recording touches at most, or why it is rejected. The serial is not yet hashed."""

    source: Source
    days: int = 0
    serial: str = ""
    reason: str = ""
    fault: str = ""
    passing: bool = False
    """Whether the reason lies elsewhere than in the file's bytes: what the store has of the recording stays."""


def probe_tasks(
    recordings: str, sources: Sequence[Source], max_days: int, settings: SignalSettings = DEFAULTS
) -> list[ProbeTask]:
    """Tasks that look at all of `sources`."""
    plain = [source for source in sources if not source.is_compressed]
    bundles = [tuple(plain[i : i + BUNDLE]) for i in range(0, len(plain), BUNDLE)]
    bundles += [(source,) for source in sources if source.is_compressed]
    return [ProbeTask(recordings, bundle, max_days, settings) for bundle in bundles]


def probe_one(folder: Folder, source: Source, task: ProbeTask) -> Probed:
    """The span of one recording; one that alone may not be read, of those beside it, is rejected."""

    def look() -> Probe:
        with open_source(folder, source) as file:
            found = probe(file, source.alias, source.size, source.told)
        if not task.settings.any_location:
            require_wrist(found.location)
        return found

    try:
        found = with_retry(look)
    except Refused:
        if not any(_is_readable(folder, other) for other in task.sources if other != source):
            raise
        return Probed(source, reason="the storage refuses to give it: check its own permissions", passing=True)
    except (RunFault, StorageUnavailable, MemoryError):
        raise
    except UserError as error:
        return Probed(source, reason=str(error), passing=isinstance(error, Unread))
    except Exception as error:
        return Probed(source, reason=place(error), fault=told(error, source), passing=True)
    days = local_days(found, task.settings)
    if days > task.max_days:
        return Probed(
            source,
            serial=found.serial,
            reason=f"it spans {days:,} days by its own clock, more than --max-days {task.max_days}: the clock was set "
            "during the recording, or its stamps are damaged",
        )
    return Probed(source, days, found.serial)


def _is_readable(folder: Folder, source: Source) -> bool:
    try:
        with open_source(folder, source) as file:
            return bool(file.read(1))
    except (UserError, OSError):
        return False
