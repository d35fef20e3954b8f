"""The two phases of a run that use Ray: probing how many days recordings span, and ingesting them."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from ingest.run.cluster import Died, stream
from ingest.run.commit import Committer
from ingest.run.ingest_task import Assignment, Ingested, ingest_tasks
from ingest.run.inputs import Inputs
from ingest.run.metrics import Metrics
from ingest.run.plan import Catalogue
from ingest.run.probe_task import Probed, probe_tasks
from ingest.run.rows import Outcome, done, rejected
from ingest.run.settings import IngestSettings
from ingest.run.sources import Source
from ingest.run.summary import Summary
from ingest.signal.calibrate import Calibration
from pipeline.identity import SHORT_ID
from pipeline.progress import Progress

log = logging.getLogger(__name__)


@dataclass
class Phases:
    """Ingests the recordings in `todo` through `committer`, and counts the outcomes in `summary`."""

    settings: IngestSettings
    inputs: Inputs
    todo: Sequence[Source]
    committer: Committer
    summary: Summary
    _metrics: Metrics = field(default_factory=Metrics)
    _faults: set[str] = field(default_factory=set)
    _given: dict[str, Calibration] = field(default_factory=dict)
    """Coefficients from --calibration, by recording."""
    _open: list[Source] = field(default_factory=list)
    """Recordings without slots, because their ends do not show how many days they have."""

    def plan_slots(self) -> None:
        """Assign slots to the recordings that have none, in the order of their ids whichever was probed first."""
        new = [source for source in self.todo if self.committer.catalogue.planned(source) is None]
        spans: list[tuple[Source, int]] = []
        self._find_coefficients_of_planned()
        with closing(probe_all(self.settings, self.inputs, new)) as results:
            for probed in results:
                if probed is not None:
                    self._find_coefficients(probed)
                    if is_of_another_device(self.inputs, self.committer.catalogue, probed):
                        self.summary.refused.append(probed.source.id)
                    elif probed.is_open:
                        self._open.append(probed.source)
                    elif probed.reason:
                        self._add(rejected(probed.source, self._participant(probed.source), probed.reason), probed)
                    else:
                        spans.append((probed.source, probed.days))
                if self.committer.is_due():
                    self.committer.assign_slots(spans, self.inputs.participants)
                    self.committer.commit()
                    spans = []
        self.committer.assign_slots(spans, self.inputs.participants)

    def _find_coefficients_of_planned(self) -> None:
        """Probe the recordings that already have slots for their devices: no table says which those are."""
        planned = [source for source in self.todo if self.committer.catalogue.planned(source) is not None]
        if self.inputs.calibrations and planned:
            with closing(probe_all(self.settings, self.inputs, planned)) as results:
                for probed in filter(None, results):
                    self._find_coefficients(probed)

    def _find_coefficients(self, probed: Probed) -> None:
        given = calibration_of(self.inputs, probed)
        if given is not None:
            self._given[probed.source.id] = given

    def ingest_planned(self) -> None:
        """Ingest every planned recording into its slots; those that need others get them once, at the end."""
        seen = len(self.summary.rejected) + len(self.summary.refused)
        more = self._ingest("ingest", self.todo, seen)
        if more:
            spans = sorted(more.items(), key=lambda span: span[0].id)  # whichever was read first
            self.committer.assign_slots(spans, self.inputs.participants)
            self._open = []
            for source in self._ingest("ingest again", list(more), 0):
                changed = "it changed while it was ingested: run the same command again"
                self._add_ingested(Ingested(source, reason=changed, is_external=True))

    def _ingest(self, what: str, sources: Sequence[Source], seen: int) -> dict[Source, int]:
        """Ingest recordings into their slots; returns those that need more slots, and how many."""
        started, more = time.monotonic(), dict[Source, int]()
        url, store, settings = self.inputs.folder.url, self.committer.store.folder.url, self.settings
        assignments = self._assignments(sources)
        tasks = ingest_tasks(url, store, assignments, settings.signal, self.committer.lease.epoch, settings.max_days)
        with (
            Progress(what, len(sources), "recordings") as progress,
            closing(stream(tasks, settings.workers)) as results,
        ):
            for result in results:
                if result is not None:
                    task, found = result
                    for each in _each(found, task.sources, Ingested):
                        seen += 1
                        if each.more_slots:
                            more[each.source] = each.more_slots
                        else:
                            self._add_ingested(each)
                if self.committer.is_due():
                    self.committer.commit()
                progress.update(seen, self.summary.progress_note(time.monotonic() - started))
        return more

    def _assignments(self, sources: Sequence[Source]) -> list[Assignment]:
        planned = ((source, self.committer.catalogue.planned(source)) for source in sources)
        assigned = [
            Assignment(source, row["first_slot"], row["slots"], self._given.get(source.id))
            for source, row in planned
            if row
        ]
        return [*assigned, *(Assignment(source, given=self._given.get(source.id)) for source in self._open)]

    def _add_ingested(self, found: Ingested) -> None:
        self.summary.add_cost(found)
        participant = self._participant(found.source)
        if found.reason:
            self._add(rejected(found.source, participant, found.reason), found)
        else:
            self._add(done(found, participant, self.inputs.key, self.settings.relative_dates))

    def _participant(self, source: Source) -> str:
        return self.inputs.participants[source.id]

    def _add(self, outcome: Outcome, found: Probed | Ingested | None = None) -> None:
        if found and found.fault and found.fault not in self._faults:
            self._faults.add(found.fault)
            message = "recording %s cannot be ingested because of a fault of the program, shown once:\n%s"
            log.error(message, outcome.id[:SHORT_ID], found.fault)
        was_ingested = self.committer.catalogue.has_days(outcome.id)
        if was_ingested and not outcome.is_done and (self.inputs.again or (found and found.is_external)):
            self.summary.kept.append((outcome.id, outcome.recording["reason"]))
            return
        self.summary.add(outcome.recording)
        self.summary.replaced += was_ingested and not self.inputs.again
        self._metrics.add(outcome.recording)
        self.committer.add(outcome)


def probe_all(settings: IngestSettings, inputs: Inputs, sources: Sequence[Source]) -> Generator[Probed | None]:
    """Yield the result of the probe of each recording, compressed ones last, and None about every second, as a tick."""
    tasks = probe_tasks(inputs.folder.url, sources, settings.max_days, settings.signal)
    waiting = deque(source for task in tasks for source in task.sources)
    known: dict[str, Probed] = {}
    seen = 0
    with (
        Progress("probe", len(sources), "recordings") as progress,
        closing(stream(tasks, settings.workers)) as results,
    ):
        for result in results:
            if result is not None:
                task, found = result
                known |= {probed.source.id: probed for probed in _each(found, task.sources, Probed)}
                seen += len(task.sources)
            while waiting and waiting[0].id in known:
                yield known.pop(waiting.popleft().id)
            progress.update(seen)
            yield None


def _each(found: list[Any] | Died, sources: Sequence[Source], kind: Callable[..., Any]) -> list[Any]:
    """The result for each recording of a task, also where the task's workers died."""
    if isinstance(found, Died):
        return [kind(source, reason=found.reason, is_external=True) for source in sources]
    return found


def calibration_of(inputs: Inputs, probed: Probed) -> Calibration | None:
    """The coefficients from --calibration for the device of a recording."""
    return inputs.calibrations.get(inputs.key.device(probed.serial)) if probed.serial else None


def is_of_another_device(inputs: Inputs, catalogue: Catalogue, probed: Probed) -> bool:
    """Whether a recording of the store would be replaced by one of another device."""
    return bool(probed.serial) and catalogue.is_of_another_device(probed.source.id, inputs.key.device(probed.serial))
