"""Workers, nodes and drivers that are killed or stopped, as real processes: the store ends as if nothing had been."""

from __future__ import annotations

from pathlib import Path

from tests.ingest import cohort
from tests.ingest.runs import (
    assert_as_if_undisturbed,
    days_written,
    ended_well,
    kill_worker,
    start,
    until,
)


class Steps:
    """Where the only worker of a run is, as seen from outside."""

    def __init__(self, recordings: Path, store: Path) -> None:
        self.recordings, self.store = recordings, store
        self._read_with: int | None = None

    def reading(self, worker: int) -> bool:
        """It has a recording mapped."""
        try:
            return str(self.recordings) in Path(f"/proc/{worker}/maps").read_text()
        except OSError:
            return False

    def processing(self, worker: int) -> bool:
        """It had one mapped, and has written nothing of it yet."""
        if self.reading(worker):
            self._read_with = self._begun()
            return False
        return self._read_with == self._begun()

    def writing(self, worker: int) -> bool:
        """A day is there in part."""
        return days_written(self.store) < self._begun()

    def _begun(self) -> int:
        return len(list((self.store / "signal" / "c").glob("*")))


def test_a_worker_killed_in_each_step_costs_nothing(
    long_folder: Path, long_undisturbed: Path, ray_here: str, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    steps = Steps(long_folder, store)
    run = start(long_folder, store, ray_here, "--workers", "1")
    kill_worker(run, "ray::ProbeTask", at=lambda worker: True)
    for step in (steps.reading, steps.processing, steps.writing):
        done = days_written(store)
        kill_worker(run, "ray::IngestTask", at=step)
        until(lambda done=done: days_written(store) > done, run)  # so that none loses three
    assert f"{len(cohort.LONG)} recordings done, 0 rejected" in ended_well(run)
    assert_as_if_undisturbed(store, long_undisturbed)
