"""One run of `persondays align`: which pairs are left, then Ray tasks, and commits under the lease.

All rows of a pair of recordings are in one commit, also the two that say that it was refused. So a run that is stopped
at any moment leaves pairs that are decided and pairs that are not, and the next one reads only the latter.
"""

from __future__ import annotations

import time
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.align.pairs import Candidates, find_candidates, spans, undecided
from ingest.align.task import Aligned, AlignTask
from pipeline.errors import UserError
from pipeline.grid import TICKS_PER_DAY, TICKS_PER_SECOND
from pipeline.progress import Progress
from pipeline.storage.folder import StorageUnavailable
from pipeline.store.alignments import REFUSED, Alignment, without_stale_rows, write_alignments
from pipeline.store.lease import Lease
from pipeline.store.schemas import ALIGNMENTS
from pipeline.store.store import Store

COMMIT_S, COMMIT_ROWS = 60.0, 20_000
MIN_TASKS, MAX_BUNDLE = 256, 32
"""Number of tasks below which pairs are not bundled, and the most pairs in a bundle."""
IDS = ["slot", "other_slot"]


@dataclass
class Result:
    """What a run did, and what the table holds after it."""

    store: str
    candidates: Candidates
    decided_before: int
    new: int = 0
    """Pairs of recordings that it decided."""
    unreadable: int = 0
    died: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    """Of the pairs that it decided."""
    rows: pa.Table = field(default_factory=ALIGNMENTS.empty_table)
    """All rows of the table, those of refused pairs too."""


def run_align(url: str, workers: int | None = None, ray_address: str | None = None) -> Result:
    """Decide every pair of recordings of a store that is not decided; raises UserError if there is nothing to align."""
    store = Store.open(url)
    candidates = find_candidates(store)
    known = _known(store)
    left = undecided(candidates.pairs, known)
    result = Result(store.folder.url, candidates, len(candidates.pairs) - len(left))
    if left or without_stale_rows(store) is not None:
        with Lease(store.folder) as lease:
            _align_under(lease, store, workers, ray_address, result)
    if store.alignments.exists:
        result.rows = store.alignments.read()
    return result


def _known(store: Store) -> list[tuple[int, int]]:
    if not store.alignments.exists:
        return []
    store.alignments.refresh()
    rows = store.alignments.read(IDS)
    return list(zip(*(rows[name].to_pylist() for name in IDS), strict=True))


def _align_under(lease: Lease, store: Store, workers: int | None, ray_address: str | None, result: Result) -> None:
    from ingest.run.cluster import Died, ray_session, stream
    from ingest.run.driver import stopped_by_signals

    store.alignments.create()
    store.alignments.fence(lease.epoch)
    kept = without_stale_rows(store)
    if kept is not None:
        lease.check()
        store.alignments.overwrite(kept)
    left = undecided(result.candidates.pairs, _known(store))
    if not left:
        return
    size = min(max(len(left) // MIN_TASKS, 1), MAX_BUNDLE)
    by_size = sorted(left, key=lambda pair: (-pair.seconds, pair.slots))
    committer = Committer(store, lease)
    with ray_session(workers, ray_address), stopped_by_signals(), Progress("align", len(left), "pairs") as progress:
        try:
            tasks = [AlignTask(store.folder.url, bundle) for bundle in spans(by_size, size)]
            with closing(stream(tasks, workers)) as found:
                for each in found:
                    if each is not None:
                        task, aligned = each
                        if isinstance(aligned, Died):
                            result.died[aligned.reason] += len(task.pairs)
                        else:
                            _take(aligned, committer, result)
                    committer.commit_if_due()
                    progress.update(result.new + result.unreadable + result.died.total(), f"{result.refused:,} refused")
        except StorageUnavailable:
            raise
        except BaseException:
            with suppress(Exception):
                committer.commit()
            raise
        committer.commit()
    lease.check()
    store.alignments.compact()


def _take(aligned: list[Aligned], committer: Committer, result: Result) -> None:
    for each in aligned:
        if each.rows is None:
            result.unreadable += 1
        else:
            result.new += 1
            result.refused += each.rows[0].refused
            committer.rows += each.rows


class Committer:
    """Commits rows a minute after the last commit, or when there are many."""

    def __init__(self, store: Store, lease: Lease) -> None:
        self.store, self.lease, self.rows = store, lease, list[Alignment]()
        self._last = time.monotonic()

    def commit_if_due(self) -> None:
        """Commit if it is time."""
        if len(self.rows) >= COMMIT_ROWS or time.monotonic() - self._last >= COMMIT_S:
            self.commit()

    def commit(self) -> None:
        """Commit the rows so far."""
        self._last = time.monotonic()
        batch, self.rows = self.rows, []
        if batch:
            self.lease.check()
            write_alignments(self.store, batch)


def summary(result: Result) -> str:
    """What a run did and what the table holds, for a terminal."""
    candidates, rows = result.candidates, result.rows
    refused, aligned = rows.filter(_is_refused(rows)), rows.filter(pc.invert(_is_refused(rows)))
    once = aligned.filter(pc.less(aligned["slot"], aligned["other_slot"]))
    hours = (pc.sum(once["eligible_5s"]).as_py() or 0) / 3600  # nearly: a start stands for a second
    lines = [
        f"aligned       {once.num_rows:,} pair{'' if once.num_rows == 1 else 's'} of person-days, {hours:,.1f} hours "
        f"together ({len(candidates.pairs):,} pairs of recordings of {candidates.participants:,} participants; "
        f"{result.decided_before:,} decided before, {result.new:,} now)"
    ]
    if once.num_rows:
        half_a_day = TICKS_PER_DAY / 2  # the offset of a day to the next one is that of the clocks and a day
        offset_D = np.abs((once["offset_ticks"].to_numpy() + half_a_day) % TICKS_PER_DAY - half_a_day)
        drift_D = np.abs(once["drift_ppm"].to_numpy())
        lines.append(
            f"clocks        differ by {np.median(offset_D) / TICKS_PER_SECOND:.1f} s (median; at most "
            f"{offset_D.max() / TICKS_PER_SECOND:,.1f}) and drift by {np.median(drift_D):.1f} ppm (at most "
            f"{drift_D.max():.1f})"
        )
    methods = refused.filter(pc.less(refused["slot"], refused["other_slot"]))["method"].to_pylist()
    reasons = Counter(method.removeprefix(REFUSED) for method in methods)
    lines += [f"refused       {_counted(reasons)}"] if reasons else []
    lines += [f"not compared  {_counted(candidates.left_out)}"] if candidates.left_out else []
    if result.unreadable:
        lines.append(f"unreadable    {_pairs(result.unreadable)}: run `persondays verify --repair`, then align again")
    lines += [f"not decided   {_counted(result.died)}"] if result.died else []
    if candidates.without_location:
        lines.append(
            f"note: {candidates.without_location:,} recordings in pairs do not say where they were worn; `location` is "
            "null in their rows, so data.where cannot choose them by place"
        )
    return "\n".join(lines)


def _is_refused(rows: pa.Table) -> pa.ChunkedArray:
    return pc.starts_with(rows["method"], REFUSED)


def _counted(reasons: Counter[str]) -> str:
    listed = "; ".join(f"{count:,} {reason}" for reason, count in sorted(reasons.items(), key=lambda each: -each[1]))
    return f"{_pairs(reasons.total())}: {listed}"


def _pairs(count: int) -> str:
    return f"{count:,} pair{'' if count == 1 else 's'} of recordings"


def require_alignments(result: Result) -> None:
    """Raise UserError if not a single pair of the store is aligned."""
    if pc.all(_is_refused(result.rows)).as_py() in (True, None):
        raise UserError(
            f"{result.store}: no pair of recordings could be aligned; the reasons are listed above, and docs/align.md "
            "explains them."
        )
