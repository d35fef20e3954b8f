"""What a run has done: counts and text."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ingest.run.plan import DONE, Row
from pipeline.identity import SHORT_ID
from pipeline.progress import duration
from pipeline.store.same_dates import SameDates

if TYPE_CHECKING:
    from ingest.run.ingest_task import Ingested

REJECTED = "rejected (the table `recordings` of the store lists all; --retry-rejected tries them again):"
IDS_SHOWN = 6
"""Ids shown beside a reason; the table `recordings` has all of them."""


@dataclass
class Summary:
    """Counts of one run. `rejected` has (id, reason) of this run, `rejected_before` those of earlier runs."""

    store: str
    done: int = 0
    person_days: int = 0
    bytes: int = 0
    seconds: float = 0.0
    rejected: list[tuple[str, str]] = field(default_factory=list)
    done_before: int = 0
    rejected_before: list[tuple[str, str]] = field(default_factory=list)
    left_out: int = 0
    withdrawn: int = 0
    """Recordings left out because their participant withdrew."""
    files: int = 0
    """Files of recordings that were joined."""
    joined: int = 0
    """Recordings that were joined from files."""
    alone: int = 0
    """Recordings of one file that nothing said to join."""
    replaced: int = 0
    """Recordings that changed since an earlier run, whose stored days were replaced."""
    peak_bytes: int = 0
    """The most memory that a worker used."""
    work_s: float = 0.0
    """Seconds that workers were busy, summed over all."""
    refused: list[str] = field(default_factory=list)
    """Recordings not ingested because the file is now from another device; the store keeps its days of them."""
    duplicates: list[list[str]] = field(default_factory=list)
    """Groups of recordings of the store that have the same samples."""
    same_dates: SameDates = field(default_factory=SameDates)
    """Recordings of the store that share a date with another one of their participant."""
    kept: list[tuple[str, str]] = field(default_factory=list)
    """(id, reason) of recordings that changed, or that --again names, and that cannot be ingested: the store keeps its
    days of them."""

    @property
    def nothing_to_do(self) -> bool:
        """Whether the run found all recordings done."""
        return not (self.done or self.rejected or self.refused or self.kept)

    def add(self, recording: Row) -> None:
        """Count a new row of the table `recordings`."""
        self.bytes += recording["size"]
        self.person_days += recording["person_days"]
        if recording["status"] == DONE:
            self.done += 1
        else:
            self.rejected.append((recording["recording"], recording["reason"]))

    def add_cost(self, found: Ingested) -> None:
        """Count the time and memory that a worker used for a recording."""
        self.work_s += found.seconds
        self.peak_bytes = max(self.peak_bytes, found.peak_bytes)

    def progress_note(self, seconds: float) -> str:
        """Counts and rates for the progress line, `seconds` after ingesting began."""
        days_s, megabytes_s = self.person_days / seconds, self.bytes / 1e6 / seconds
        return (
            f"{self.person_days:,} person-days ({days_s:.1f}/s), {megabytes_s:,.0f} MB/s, "
            f"{len(self.rejected):,} rejected"
        )

    def text(self) -> str:
        """The summary as lines of text."""
        return "\n".join(
            [
                *self._counts(),
                *self.joined_lines(),
                *self._changed(),
                *self.same_dates.lines(),
                *reason_lines([*self.rejected_before, *self.rejected], REJECTED),
            ]
        )

    def _counts(self) -> list[str]:
        if self.nothing_to_do:
            rejected = f", {len(self.rejected_before):,} rejected" if self.rejected_before else ""
            return [f"nothing to do: {count(self.done_before, 'recording')} done{rejected}{self._left_out()}"]
        seconds = max(self.seconds, 1e-9)
        rate = f"{self.person_days / seconds:.1f} person-days/s, {self.bytes / 1e6 / seconds:,.0f} MB/s"
        before = f" (before: {self.done_before:,} done, {len(self.rejected_before):,} rejected)"
        return [
            f"{count(self.done, 'recording')} done, {len(self.rejected):,} rejected{self._left_out()}"
            + (before if self.done_before or self.rejected_before else ""),
            f"{count(self.person_days, 'person-day')} from {self.bytes / 1e6:,.1f} MB "
            f"in {duration(self.seconds)} ({rate})",
            *self._workers(),
            f"store: {self.store}",
        ]

    def joined_lines(self) -> list[str]:
        """What was joined, of all recordings that the run found; nothing where it was not asked to join."""
        if not self.joined:
            return []
        alone = f", and {count(self.alone, 'file')} not joined" if self.alone else ""
        return [f"files: {self.files:,} joined to {count(self.joined, 'recording')}{alone}"]

    def _workers(self) -> list[str]:
        if not self.person_days:
            return []
        peak = f", at most {self.peak_bytes / 1e9:.2f} GB of memory in one" if self.peak_bytes else ""
        return [f"workers: {self.work_s / self.person_days:.2f} s per person-day{peak}"]

    def _changed(self) -> list[str]:
        lines = []
        if self.replaced:
            lines.append(
                f"{count(self.replaced, 'recording')} had changed: new days replace those of the earlier state"
            )
        if self.kept:
            lines.append("not ingested again; the store keeps the days it had:")
            lines += [f"  {recording[:SHORT_ID]}  {reason}" for recording, reason in sorted(self.kept)]
        if self.duplicates:
            groups = "; ".join(_some(group) for group in self.duplicates[:IDS_SHOWN])
            more = f"; and {len(self.duplicates) - IDS_SHOWN:,} more groups" if len(self.duplicates) > IDS_SHOWN else ""
            lines.append(
                f"{count(sum(map(len, self.duplicates)), 'recording')} of the store have the same samples as another: "
                f"one file under several names? All are kept; check whose they are ({groups}{more})"
            )
        if self.refused:
            has = "has" if len(self.refused) == 1 else "have"
            lines.append(
                f"{count(len(self.refused), 'recording')} {has} the name of another device's recording and "
                f"{'was' if len(self.refused) == 1 else 'were'} not ingested; the store keeps the days it had. "
                f"Put both folders under one parent ({_some(self.refused)})"
            )
        return lines

    def _left_out(self) -> str:
        left_out = f", {self.left_out:,} left out (no participant)" if self.left_out else ""
        return left_out + (f", {self.withdrawn:,} left out (withdrawn)" if self.withdrawn else "")


def count(number: int, thing: str) -> str:
    """A number with its noun: 1 recording, 1,200 recordings."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def reason_lines(rejected: list[tuple[str, str]], title: str) -> list[str]:
    """A title and the reasons of rejection with ids, the most frequent first; nothing where none is rejected."""
    if not rejected:
        return []
    by_reason: dict[str, list[str]] = defaultdict(list)
    for recording, reason in rejected:
        by_reason[reason].append(recording)
    lines = ["", title]
    for reason, ids in sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0])):
        lines.append(f"  {len(ids):>6,}  {reason}")
        lines.append(f"          {_some(ids)}")
    return lines


def _some(recordings: list[str]) -> str:
    """The first few ids, short."""
    more = f" and {len(recordings) - IDS_SHOWN:,} more" if len(recordings) > IDS_SHOWN else ""
    return " ".join(recording[:SHORT_ID] for recording in sorted(recordings)[:IDS_SHOWN]) + more
