"""A dry run: recordings are probed, those whose ends make no sense are read, three are tried, and nothing is written.

The speed is measured on this cluster and these recordings: the three, at a quarter, half and three quarters of the
sizes, are ingested into a temporary store.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

from ingest.capacity.estimate import Estimate, Machines, Rates, Workload, estimate
from ingest.capacity.trial import Trial, TrialTask
from ingest.run.cluster import Died, Nodes, ray_session, stream
from ingest.run.driver import initial_summary, left_to_do, survey
from ingest.run.ingest_task import Assignment
from ingest.run.inputs import Inputs
from ingest.run.phases import calibration_of, is_of_another_device, probe_all
from ingest.run.plan import Catalogue
from ingest.run.probe_task import Probed
from ingest.run.settings import IngestSettings
from ingest.run.sources import Source
from ingest.run.summary import Summary, count, reason_lines
from pipeline.progress import Progress, duration
from pipeline.storage.folder import Folder
from pipeline.store.same_dates import Recorded, SameDates, same_dates

TRIED_AT = (0.5, 0.25, 0.75)
"""The recordings to try, by their place among the sizes."""


@dataclass(frozen=True)
class DryRun:
    """What a run would find, and an estimate of its cost."""

    before: Summary
    probed: list[Probed]
    """Recordings that would be ingested."""
    rejected: list[tuple[str, str]]
    refused: int
    participants: int
    same_dates: SameDates = field(default_factory=SameDates)
    """Recordings to ingest that seem to share a date with another one of their participant."""
    trials: list[Trial] = field(default_factory=list)
    estimate: Estimate | None = None
    """None where none of the recordings tried could be ingested."""

    def text(self) -> str:
        """The dry run as lines of text."""
        bytes_read = sum(probed.source.size for probed in self.probed)
        before = self.before
        lines = [
            "dry run: nothing was written.",
            f"recordings    {len(self.probed):,} to ingest ({_size(bytes_read)}), {len(self.rejected):,} to be "
            f"rejected, {before.done_before:,} done before, {len(before.rejected_before):,} rejected before"
            + (f", {self.refused:,} of another device" if self.refused else "")
            + (f", {before.left_out:,} without participant" if before.left_out else "")
            + (f", {before.withdrawn:,} of participants who withdrew" if before.withdrawn else ""),
            *(line.replace("files: ", "files         ") for line in before.joined_lines()),
            f"participants  {self.participants:,} in the recordings to ingest",
            f"person-days   at most {sum(probed.days for probed in self.probed):,}",
        ]
        if self.estimate is not None:
            lines += _cost(self.estimate, [trial for trial in self.trials if not trial.reason])
        reasons = [trial.reason for trial in self.trials if trial.reason]
        if reasons:
            lines.append(f"trials        {len(reasons)} of {len(self.trials)} would be rejected: {'; '.join(reasons)}")
        return "\n".join([*lines, *self.same_dates.lines(), *reason_lines(self.rejected, "would be rejected:")])


def _cost(cost: Estimate, trials: list[Trial]) -> list[str]:
    days = sum(trial.signal_days for trial in trials)
    each = f"{sum(trial.stored_bytes for trial in trials) / days / 1e6:.1f} MB per day of signal"
    speed = f"{sum(trial.seconds for trial in trials) / days:.2f} s per day of signal"
    peak = max(trial.peak_bytes for trial in trials)
    return [
        f"bytes written {_size(cost.bytes_written)} ({each})",
        f"time          about {duration(cost.hours * 3600)} with {count(cost.tasks_at_once, 'task')} at a time "
        f"({speed}, at most {peak / 1e9:.2f} GB of memory, measured on {count(len(trials), 'recording')})",
        f"requests      {cost.requests.get:,.0f} to read, {cost.requests.list:,.0f} to list, "
        f"{cost.requests.put:,.0f} to write, on object storage",
    ]


def _size(size: float) -> str:
    unit, name = next(((10**power, name) for power, name in ((12, "TB"), (9, "GB")) if size >= 10**power), (1e6, "MB"))
    return f"{size / unit:,.1f} {name}"


def plan_ingest(settings: IngestSettings) -> Summary | DryRun:
    """What `run_ingest` would do, without writing anything; its summary where nothing is left to do."""
    inputs, catalogue, _ = survey(replace(settings, name_map=None))
    todo = left_to_do(settings, inputs, catalogue)
    before = initial_summary(Folder(settings.store).url, inputs, catalogue, todo)
    return dry_run(settings, inputs, catalogue, todo, before) if todo else before


def dry_run(
    settings: IngestSettings, inputs: Inputs, catalogue: Catalogue, todo: Sequence[Source], before: Summary
) -> DryRun:
    """Probe the recordings in `todo`, try a few, and estimate what ingesting all of them takes."""
    known, open_, rejected, refused = list[Probed](), list[Probed](), [], 0
    with ray_session(settings.workers, settings.ray_address):
        with closing(probe_all(settings, inputs, todo)) as results:
            for probed in results:
                if probed is None:
                    continue
                if is_of_another_device(inputs, catalogue, probed):
                    refused += 1
                elif probed.is_open:
                    open_.append(probed)
                elif probed.reason:
                    rejected.append((probed.source.id, probed.reason))
                else:
                    known.append(probed)
        for probed, trial in _try("read", settings, inputs, open_):
            if trial.reason:
                rejected.append((probed.source.id, trial.reason))
            else:
                known.append(replace(probed, days=trial.person_days, reason="", is_open=False))
        by_size = sorted(known, key=lambda probed: probed.source.size)
        places = dict.fromkeys(int(place * len(by_size)) for place in TRIED_AT if by_size)
        trials = [trial for _, trial in _try("try", settings, inputs, [by_size[place] for place in places])]
        cost = _estimate(settings, known, trials)
    participants = {inputs.participants[probed.source.id] for probed in known}
    shared = same_dates(
        Recorded(probed.source.id, inputs.participants[probed.source.id], probed.serial or None, *probed.span)
        for probed in known
        if probed.span is not None
    )
    return DryRun(before, known, rejected, refused, len(participants), shared, trials, cost)


def _try(
    what: str, settings: IngestSettings, inputs: Inputs, recordings: Sequence[Probed]
) -> list[tuple[Probed, Trial]]:
    """The trials of some recordings."""
    codec = settings.codec or "lz4"
    by_id = {probed.source.id: probed for probed in recordings}
    tasks = [
        TrialTask(
            inputs.folder.url,
            Assignment(probed.source, 0, probed.days, calibration_of(inputs, probed)),
            settings.signal,
            codec,
            settings.max_days,
        )
        for probed in recordings
    ]
    trials: list[tuple[Probed, Trial]] = []
    with (
        Progress(what, len(tasks), "recordings") as progress,
        closing(stream(tasks, settings.workers, interrupt=True)) as results,
    ):
        for result in results:
            if result is not None:
                task, found = result
                trial = Trial(reason=found.reason) if isinstance(found, Died) else found
                trials.append((by_id[task.assignment.source.id], trial))
            progress.update(len(trials))
    return trials


def _estimate(settings: IngestSettings, known: list[Probed], trials: list[Trial]) -> Estimate | None:
    good = [trial for trial in trials if trial.signal_days]
    if not good:
        return None
    nodes = Nodes()
    nodes.poll()
    person_days = sum(probed.days for probed in known)
    signal_days = sum(trial.signal_days for trial in good)
    share = signal_days / sum(trial.person_days for trial in good)
    work = Workload(
        recordings=len(known),
        signal_days=share * person_days,
        person_days=person_days,
        bytes_read=sum(probed.source.size for probed in known),
        task_bytes=max(Assignment(probed.source, 0, 1).memory for probed in known),
        files_each=sum(len(probed.source.files) for probed in known) / len(known),
    )
    rates = Rates(
        sum(trial.seconds for trial in good) / signal_days, sum(trial.stored_bytes for trial in good) / signal_days
    )
    cpus = min(settings.workers or nodes.cpus, nodes.cpus)
    return estimate(work, Machines(1, max(cpus, 1), nodes.total_memory or float("inf")), rates)
