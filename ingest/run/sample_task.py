"""A task that tries a recording: it is brought into a store that is thrown away, to learn what that takes here."""

from __future__ import annotations

from dataclasses import dataclass
from tempfile import TemporaryDirectory

from ingest.run.ingest_task import IngestTask, Part
from ingest.settings import SignalSettings
from pipeline.identity import SHORT_ID, Key
from pipeline.storage.folder import Folder
from pipeline.store.layout import Codec, is_in_array
from pipeline.store.store import Store

LONG_S = 60.0
"""What takes longer than this is tried once: its start weighs little."""


@dataclass(frozen=True)
class SampleTask:
    """One recording to try."""

    recordings: str
    part: Part
    settings: SignalSettings
    codec: Codec

    @property
    def name(self) -> str:
        """By what the log knows it."""
        return f"the trial of recording {self.part.source.id[:SHORT_ID]}"

    @property
    def memory(self) -> float:
        """Bytes that a worker needs for it, at most."""
        return self.part.memory

    def alone(self) -> list[SampleTask]:
        """The same work, one recording a task."""
        return [self]

    def __call__(self) -> Sample:
        """Try it, twice if it is quick: the first time loads libraries and compiled code."""
        with TemporaryDirectory(prefix="persondays-") as folder:
            store = Store.create(folder, Key(bytes(32)), {}, self.settings.counts_per_g, self.codec)
            store.grow(self.part.first_slot + self.part.slots)
            task = IngestTask(self.recordings, folder, (self.part,), self.settings, epoch=0)
            (found,) = task()
            if not found.reason and found.seconds < LONG_S:
                (found,) = task()
            if found.reason:
                return Sample(reason=found.reason)
            arrays = Folder(folder)
            written = sum(arrays.fs.size(arrays.at(name)) for name in arrays.names() if is_in_array(name))
        return Sample(
            signal_days=sum(day["measured_seconds"] for day in found.days) / 86_400,
            person_days=len(found.days),
            seconds=found.seconds,
            bytes=written,
            peak_bytes=found.peak_bytes,
        )


@dataclass(frozen=True)
class Sample:
    """What a recording took of a warm worker, waiting for its storage included, or why it would be rejected."""

    signal_days: float = 0.0
    person_days: int = 0
    seconds: float = 0.0
    bytes: int = 0
    peak_bytes: int = 0
    reason: str = ""
