"""The two phases of a run that use Ray: learning how many days recordings span, and bringing them in."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

from ingest.run.cluster import Died, in_order, stream
from ingest.run.commit import Committer
from ingest.run.inputs import Inputs
from ingest.run.rows import Outcome, done, rejected
from ingest.run.settings import IngestSettings
from ingest.run.sources import Source
from ingest.run.summary import Summary
from ingest.run.tasks import (
    Ingested,
    IngestTask,
    Probed,
    ProbeTask,
    ingest_one,
    memory_to_ingest,
    memory_to_probe,
    probe_some,
)
from pipeline.identity import SHORT
from pipeline.progress import Progress

BUNDLE = 64
"""Recordings that one probe task looks at; a compressed one has to be read whole and is a task of its own."""

log = logging.getLogger(__name__)


@dataclass
class Phases:
    """Brings the recordings in `todo` to `committer`, and counts in `summary` what becomes of them."""

    settings: IngestSettings
    inputs: Inputs
    todo: Sequence[Source]
    committer: Committer
    summary: Summary
    _faults: set[str] = field(default_factory=set)

    def plan_slots(self) -> None:
        """Give slots to the recordings that have none, in the order of their ids whichever was probed first."""
        new = [source for source in self.todo if self.committer.standing.planned(source) is None]
        tasks = [ProbeTask(self.inputs.folder.url, bundle, self.settings.max_days) for bundle in bundles(new)]
        spans: list[tuple[Source, int]] = []
        seen = 0
        with (
            Progress("probe", len(new), "recordings") as progress,
            closing(self._probe(tasks)) as results,
        ):
            for some in results:
                for probed in some:
                    seen += 1
                    if self._is_of_another_device(probed):
                        self.summary.refused.append(probed.source.id)
                    elif probed.reason:
                        self._add(rejected(probed.source, self._person(probed.source), probed.reason), probed.fault)
                    else:
                        spans.append((probed.source, probed.days))
                if self.committer.is_due():
                    self.committer.give_slots(spans, self.inputs.participants)
                    self.committer.commit()
                    spans = []
                progress.update(seen)
        self.committer.give_slots(spans, self.inputs.participants)

    def _probe(self, tasks: list[ProbeTask]) -> Generator[list[Probed]]:
        """What is found, in the order of the tasks; recordings beside one whose worker died are probed again alone."""
        with closing(stream(probe_some, tasks, memory_to_probe, self.settings.workers)) as results:
            for result in in_order(tasks, results):
                if result is None:
                    yield []
                elif not isinstance(result[1], Died):
                    yield result[1]
                elif len(result[0].sources) > 1:
                    yield from self._probe([replace(result[0], sources=(source,)) for source in result[0].sources])
                else:
                    yield [Probed(result[0].sources[0], reason=result[1].reason)]

    def _is_of_another_device(self, probed: Probed) -> bool:
        serial = self.inputs.key.device(probed.serial)
        return bool(probed.serial) and self.committer.standing.is_of_another_device(probed.source.id, serial)

    def ingest_planned(self) -> None:
        """Bring every planned recording into its slots, the largest first so that none is left to run alone."""
        started, seen = time.monotonic(), len(self.summary.rejected) + len(self.summary.refused)
        tasks = [self._task(source) for source in self.todo if self.committer.standing.planned(source)]
        tasks.sort(key=lambda task: -task.source.size)
        with (
            Progress("ingest", len(self.todo), "recordings") as progress,
            closing(stream(ingest_one, tasks, memory_to_ingest, self.settings.workers)) as results,
        ):
            for result in results:
                if result is not None:
                    seen += 1
                    self._take(*result)
                if self.committer.is_due():
                    self.committer.commit()
                progress.update(seen, self.summary.note(time.monotonic() - started))

    def _take(self, task: IngestTask, found: Ingested | Died) -> None:
        person = self._person(task.source)
        if isinstance(found, Died):
            self._add(rejected(task.source, person, found.reason))
        elif found.reason:
            self._add(rejected(task.source, person, found.reason), found.fault)
        else:
            self._add(done(found, task.first_slot, person, self.inputs.key, self.settings.relative_dates))

    def _task(self, source: Source) -> IngestTask:
        planned = self.committer.standing.planned(source)
        assert planned is not None
        return IngestTask(
            self.inputs.folder.url,
            self.committer.store.folder.url,
            source,
            planned["first_slot"],
            planned["slots"],
            self.settings.signal,
        )

    def _person(self, source: Source) -> str:
        return self.inputs.participants[source.id]

    def _add(self, outcome: Outcome, fault: str = "") -> None:
        if fault and fault not in self._faults:
            self._faults.add(fault)
            log.error("recording %s is rejected by a fault of the program, shown once:\n%s", outcome.id[:SHORT], fault)
        self.summary.add(outcome.recording)
        self.summary.replaced += self.committer.standing.has_days(outcome.id)
        self.committer.add(outcome)


def bundles(sources: Sequence[Source]) -> list[tuple[Source, ...]]:
    """Recordings as probe tasks take them."""
    plain = [source for source in sources if not source.is_compressed]
    together = [tuple(plain[i : i + BUNDLE]) for i in range(0, len(plain), BUNDLE)]
    return [*together, *((source,) for source in sources if source.is_compressed)]
