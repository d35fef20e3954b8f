"""What a run would do, without doing it: recordings are probed, a few are tried, and nothing is written.

The rate is measured on this cluster and these recordings: three of them, of a quarter, half and three quarters
of the sizes, are brought into a store that is thrown away.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field

from ingest.capacity.estimate import Estimate, Machines, Rates, Workload, estimate
from ingest.run.cluster import Died, Nodes, ray_session, stream
from ingest.run.ingest_task import Part
from ingest.run.inputs import Inputs
from ingest.run.phases import calibration_of, is_of_another_device, probe_all
from ingest.run.plan import Standing
from ingest.run.probe_task import Probed
from ingest.run.sample_task import Sample, SampleTask
from ingest.run.settings import IngestSettings
from ingest.run.sources import Source
from ingest.run.summary import Summary, count, reasons
from pipeline.progress import Progress, duration

TRIED_AT = (0.5, 0.25, 0.75)
"""Which recordings are tried, by their place among the sizes."""


@dataclass(frozen=True)
class DryRun:
    """What a run would find and take."""

    before: Summary
    probed: list[Probed]
    """Recordings that would be brought in."""
    rejected: list[tuple[str, str]]
    refused: int
    participants: int
    samples: list[Sample] = field(default_factory=list)
    estimate: Estimate | None = None
    """None where none of the tried recordings could be ingested."""

    def text(self) -> str:
        """A few lines for a person."""
        bytes_read = sum(probed.source.size for probed in self.probed)
        before = self.before
        lines = [
            "dry run: nothing was written.",
            f"recordings    {len(self.probed):,} to ingest ({_size(bytes_read)}), {len(self.rejected):,} to be "
            f"rejected, {before.done_before:,} done before, {len(before.rejected_before):,} rejected before"
            + (f", {self.refused:,} of another device" if self.refused else "")
            + (f", {before.left_out:,} without participant" if before.left_out else "")
            + (f", {before.withdrawn:,} of people who withdrew" if before.withdrawn else ""),
            f"participants  {self.participants:,} of the recordings to ingest",
            f"person-days   at most {sum(probed.days for probed in self.probed):,}",
        ]
        if self.estimate is not None:
            lines += _takes(self.estimate, [sample for sample in self.samples if not sample.reason])
        tried = [sample.reason for sample in self.samples if sample.reason]
        if tried:
            lines.append(f"tried         {len(tried)} of {len(self.samples)} would be rejected: {'; '.join(tried)}")
        return "\n".join([*lines, *reasons(self.rejected, "would be rejected:")])


def _takes(takes: Estimate, samples: list[Sample]) -> list[str]:
    days = sum(sample.signal_days for sample in samples)
    each = f"{sum(sample.bytes for sample in samples) / days / 1e6:.1f} MB a day of signal"
    speed = f"{sum(sample.seconds for sample in samples) / days:.2f} s a day of signal"
    peak = max(sample.peak_bytes for sample in samples)
    return [
        f"to be written {_size(takes.bytes_written)} ({each})",
        f"time          about {duration(takes.hours * 3600)} with {count(takes.tasks_at_once, 'task')} at a time "
        f"({speed}, at most {peak / 1e9:.2f} GB of memory, measured on {count(len(samples), 'recording')})",
        f"requests      {takes.requests.get:,.0f} to read, {takes.requests.list:,.0f} to list, "
        f"{takes.requests.put:,.0f} to write, on object storage",
    ]


def _size(size: float) -> str:
    unit, name = next(((10**power, name) for power, name in ((12, "TB"), (9, "GB")) if size >= 10**power), (1e6, "MB"))
    return f"{size / unit:,.1f} {name}"


def dry_run(
    settings: IngestSettings, inputs: Inputs, standing: Standing, todo: Sequence[Source], before: Summary
) -> DryRun:
    """Probe the recordings in `todo`, try a few, and tell what a run would do."""
    known, rejected, refused = [], [], 0
    with ray_session(settings.workers, settings.ray_address):
        with closing(probe_all(settings, inputs, todo)) as results:
            for probed in results:
                if probed is None:
                    continue
                if is_of_another_device(inputs, standing, probed):
                    refused += 1
                elif probed.reason:
                    rejected.append((probed.source.id, probed.reason))
                else:
                    known.append(probed)
        samples = _try(settings, inputs, known)
        takes = _estimate(settings, known, samples)
    people = {inputs.participants[probed.source.id] for probed in known}
    return DryRun(before, known, rejected, refused, len(people), samples, takes)


def _try(settings: IngestSettings, inputs: Inputs, known: list[Probed]) -> list[Sample]:
    by_size = [
        Part(probed.source, 0, probed.days, calibration_of(inputs, probed))
        for probed in sorted(known, key=lambda probed: probed.source.size)
    ]
    places = dict.fromkeys(int(place * len(by_size)) for place in TRIED_AT if by_size)
    tasks = [SampleTask(inputs.folder.url, by_size[i], settings.signal, settings.codec or "lz4") for i in places]
    samples: list[Sample] = []
    with (
        Progress("try", len(tasks), "recordings") as progress,
        closing(stream(tasks, settings.workers, gently=True)) as results,
    ):
        for result in results:
            if result is not None:
                found = result[1]
                samples.append(Sample(reason=found.reason) if isinstance(found, Died) else found)
            progress.update(len(samples))
    return samples


def _estimate(settings: IngestSettings, known: list[Probed], samples: list[Sample]) -> Estimate | None:
    good = [sample for sample in samples if sample.signal_days]
    if not good:
        return None
    nodes = Nodes()
    nodes.look()
    person_days = sum(probed.days for probed in known)
    signal_days = sum(sample.signal_days for sample in good)
    share = signal_days / sum(sample.person_days for sample in good)
    work = Workload(
        recordings=len(known),
        signal_days=share * person_days,
        person_days=person_days,
        bytes_read=sum(probed.source.size for probed in known),
        task_bytes=max(Part(probed.source, 0, 1).memory for probed in known),
    )
    rates = Rates(sum(s.seconds for s in good) / signal_days, sum(s.bytes for s in good) / signal_days)
    cpus = min(settings.workers or nodes.cpus, nodes.cpus)
    return estimate(work, Machines(1, max(cpus, 1), nodes.total_memory or float("inf")), rates)
