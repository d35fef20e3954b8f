"""Runs that are killed or stopped, or whose workers die: what they leave, and that the next run completes it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from ingest.run import ingest_task, phases
from ingest.run.cluster import MAX_WORKERS_LOST, Died, stream
from ingest.run.driver import run_ingest
from ingest.run.ingest_task import Assignment, IngestTask, ingest_tasks
from ingest.run.probe_task import ProbeTask
from ingest.run.sources import Source, StorageFault, list_sources
from ingest.run.stragglers import FACTOR, MIN_TASKS, Stragglers
from ingest.settings import SignalSettings
from pipeline.errors import UserError
from tests.ingest import cohort
from tests.ingest.cohort import KEY
from tests.ingest.runs import assert_as_if_undisturbed, commits, finish, start, when
from tests.waiting import until


@pytest.mark.slow
def test_a_run_killed_repeatedly_ends_as_if_undisturbed(
    cohort_folder: Path, undisturbed: Path, ray_here: str, tmp_path: Path
) -> None:
    """Kill -9 when slots are planned, when shards are being written, and between the commits of the two tables."""
    store = tmp_path / "store"
    moments: list[Callable[[], bool]] = [
        lambda: commits(store, "plan") >= 3,
        lambda: any((store / "signal" / "c").glob("*/0/0")),
        lambda: commits(store, "person_days") >= 5,  # made, three fences, rows
    ]
    for moment in moments:
        assert when(start(cohort_folder, store, ray_here), moment, signal.SIGKILL) == -signal.SIGKILL
    assert "4 recordings done" in finish(cohort_folder, store)
    assert_as_if_undisturbed(store, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_run_stopped_by_a_signal_says_so_and_resumes_later(
    number: signal.Signals, cohort_folder: Path, undisturbed: Path, ray_here: str, tmp_path: Path
) -> None:
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip(f"{number.name} is ignored here, as under nohup, and a run leaves it so")
    store = tmp_path / "store"
    process = start(cohort_folder, store)
    assert when(process, lambda: commits(store, "plan") >= 3, number) == 130
    _, errors = process.communicate()
    assert "stopped. Run the same command again" in errors
    assert "Traceback" not in errors
    assert list((store / "lease").glob("*.released"))
    assert "done" in finish(cohort_folder, store, ray_here)
    assert_as_if_undisturbed(store, undisturbed)


@pytest.mark.usefixtures("ray_here")
class TestKilledWorkers:
    """A recording that kills its worker is rejected, and no other."""

    @pytest.mark.parametrize("kind", [ProbeTask, IngestTask])
    def test_the_other_recordings_of_its_task_are_ingested(
        self, kind: type, cohort_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fatal, work = cohort.BEN, kind.__call__

        def work_or_exit(task: Any) -> Any:
            if fatal in [source.name for source in task.sources]:
                os._exit(1)
            return work(task)

        class KillsWorker(kind):  # type: ignore[misc]  # workers get a copy of a class that a test defines
            __call__ = work_or_exit

            def split(self) -> list[Any]:
                return [KillsWorker(**vars(task)) for task in super().split()]

        tasks = "probe_tasks" if kind is ProbeTask else "ingest_tasks"
        make_tasks = getattr(phases, tasks)

        def fatal_tasks(*given: Any) -> list[Any]:
            return [KillsWorker(**vars(task)) for task in make_tasks(*given)]

        monkeypatch.setattr(ingest_task, "MIN_TASKS", 1)
        monkeypatch.setattr(phases, tasks, fatal_tasks)
        assert max(len(task.sources) for task in make_tasks(*_arguments(kind, cohort_folder))) > 2
        summary = run_ingest(cohort.settings(cohort_folder, tmp_path / "store"))
        reasons = dict(summary.rejected)
        assert summary.done == len(cohort.GOOD) - 1
        assert "died 3 times" in reasons.pop(KEY.recording(fatal))
        assert set(reasons) == {KEY.recording(name) for name in cohort.BAD}
        assert len(cohort.objects(tmp_path / "store")) == 3 * len(cohort.rows(tmp_path / "store")[0])


def _arguments(kind: type, folder: Path) -> tuple[Any, ...]:
    """Arguments of `ingest_tasks` for a folder."""
    _, sources = list_sources(str(folder), KEY)
    if kind is ProbeTask:
        return str(folder), sources, 60
    return str(folder), "", [Assignment(source, 0, 1) for source in sources], SignalSettings(), 1


@dataclass(frozen=True)
class Job:
    """A task that calls a function with one number per recording."""

    work: Callable[[int], int]
    items: tuple[int, ...]
    memory: float = 1e6
    name: str = "a job"

    def split(self) -> list[Job]:
        return [replace(self, items=(item,)) for item in self.items]

    def __call__(self) -> list[int]:
        return [self.work(item) for item in self.items]


def results(*jobs: Job) -> dict[tuple[int, ...], Any]:
    """The results of a stream, by the numbers of the jobs."""
    return {result[0].items: result[1] for result in stream(jobs) if result}


@pytest.mark.usefixtures("ray_here")
class TestStream:
    """Work on Ray whose workers die or whose storage fails."""

    def test_a_job_whose_workers_die_is_given_up_and_the_others_continue(self, tmp_path: Path) -> None:
        lives = tmp_path / "lives"
        lives.mkdir()

        def work(item: int) -> int:
            if item == 2:
                (lives / str(os.getpid())).touch()
                os._exit(1)
            return item * item

        found = results(*(Job(work, (item,)) for item in range(5)))
        died = found.pop((2,))
        assert isinstance(died, Died)
        assert "died 3 times" in died.reason
        assert len(list(lives.iterdir())) == MAX_WORKERS_LOST
        assert found == {(0,): [0], (1,): [1], (3,): [9], (4,): [16]}

    def test_the_other_recordings_of_its_task_get_their_own_tasks(self) -> None:
        def work(item: int) -> int:
            if item == 2:
                os._exit(1)
            return item * item

        found = results(Job(work, (0, 1, 2, 3)))
        assert isinstance(found.pop((2,)), Died)
        assert found == {(0,): [0], (1,): [1], (3,): [9]}

    def test_a_job_whose_worker_died_once_is_repeated(self, tmp_path: Path) -> None:
        def work(item: int) -> int:
            marker = tmp_path / str(item)
            if not marker.exists():
                marker.touch()
                os._exit(1)
            return item

        assert results(Job(work, (7,))) == {(7,): [7]}

    def test_a_worker_out_of_memory_counts_as_dead(self, tmp_path: Path) -> None:
        def work(item: int) -> int:
            marker = tmp_path / str(item)
            if item or not marker.exists():
                marker.touch()
                raise MemoryError
            return item

        found = results(Job(work, (0,)), Job(work, (1,)))
        assert found[(0,)] == [0]
        assert found[(1,)] == Died("its worker died 3 times (out of memory)")

    def test_running_tasks_can_clean_up_when_a_stream_is_left(self, tmp_path: Path) -> None:
        def work(item: int) -> int:
            with TemporaryDirectory(dir=tmp_path):
                for _ in range(100 * item):
                    time.sleep(0.01)
            return item

        stream_ = stream([Job(work, (60,)), Job(work, (60,))], interrupt=True)
        next(stream_)
        until(lambda: len(list(tmp_path.iterdir())) == 2)
        stream_.close()
        until(lambda: not list(tmp_path.iterdir()))

    def test_a_fault_of_storage_is_raised_unchanged(self) -> None:
        def work(item: int) -> int:
            raise StorageFault("the store cannot be written")

        with pytest.raises(StorageFault, match=r"^the store cannot be written$"):
            results(Job(work, (1,)), Job(work, (2,)))

    def test_workers_without_the_program_give_a_clear_error(self) -> None:
        def work(item: int) -> int:
            raise ModuleNotFoundError("No module named 'ingest'", name="ingest.run")

        with pytest.raises(UserError, match="ray job submit"):
            results(Job(work, (1,)))

    def test_a_job_that_needs_more_memory_than_any_node_runs_alone(self) -> None:
        assert results(Job(abs, (1,), memory=1e18)) == {(1,): [1]}

    def test_a_worker_that_hangs_ends_itself(self) -> None:
        from ingest.run.worker import time_limit

        def work(item: int) -> int:
            with time_limit(1.0):
                time.sleep(item)
            return item

        found = results(Job(work, (0,)), Job(work, (60,)))
        assert found[(0,)] == [0]
        assert isinstance(found[(60,)], Died)


def test_small_recordings_share_tasks_only_where_there_are_many() -> None:
    def tasks(count: int, size: int) -> list[IngestTask]:
        parts = [Assignment(Source(f"{i}.cwa", f"{i:012d}", size, ""), i, 1) for i in range(count)]
        return ingest_tasks("raw", "store", parts, SignalSettings(), 1)

    assert len(tasks(100, 1000)) == 100
    assert [len(task.assignments) for task in tasks(100_000, 1000)][:2] == [64, 64]
    assert len(tasks(1000, 10**9)) == 1000
    for found in (tasks(777, 1000), tasks(100_000, 1000)):
        sources = [source.id for task in found for source in task.sources]
        assert len(sources) == len(set(sources))
    assert len({source.id for task in tasks(100_000, 1000) for source in task.sources}) == 100_000


def test_stragglers_are_reported_once_and_only_when_others_finished_long_ago() -> None:
    now = [0.0]
    stragglers = Stragglers(lambda: now[0])
    stragglers.began("slow")
    seen = []
    for number in range(MIN_TASKS + 10):
        stragglers.began(number)
        now[0] += 30.0
        stragglers.ended(number)
        seen += [(now[0], *found) for found in stragglers.found()]
    assert seen == [(MIN_TASKS * 30.0, "slow", MIN_TASKS * 30.0)]
    assert MIN_TASKS * 30.0 > FACTOR * 30.0
    assert "nearly all others took at most 0:30" in stragglers.message("recording 0123", 600)
    stragglers.began("usual")
    now[0] += 31.0
    assert not list(stragglers.found())
