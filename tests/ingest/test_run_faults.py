"""Runs that are killed, stopped, or whose workers die: what is there afterwards, and that the next run mends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ingest.run import phases
from ingest.run.cluster import ATTEMPTS, Died, in_order, stream
from ingest.run.driver import run_ingest
from ingest.run.sources import RunFault
from ingest.run.tasks import Probed, ProbeTask, probe_some
from tests.ingest import cohort
from tests.ingest.cohort import KEY

ROOT = Path(__file__).parents[2]


def start(recordings: Path, store: Path, ray: str | None = None) -> subprocess.Popen[str]:
    """`python -m ingest` as a process group of its own, on the Ray at an address or one that it starts."""
    settings = cohort.settings(recordings, store)
    command = [sys.executable, "-m", "ingest", "--recordings", settings.recordings, "--store", settings.store]
    command += ["--participants", str(settings.participants), "--key-file", str(settings.key_file)]
    command += ["--ray-address", ray] if ray else ["--workers", "2"]
    return subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )


def when(process: subprocess.Popen[str], condition: Callable[[], bool], number: int) -> int:
    """Send a signal to the whole group as soon as a condition holds; gives the exit status."""
    while not condition():
        if process.poll() is not None:
            raise AssertionError(f"it ended too soon: {process.communicate()}")
        time.sleep(0.002)
    os.killpg(process.pid, number)
    return process.wait()


def commits(store: Path, table: str) -> int:
    """Commits of a table so far, the one that made it included."""
    return len(list((store / "tables" / table / "_delta_log").glob("*.json")))


def finish(recordings: Path, store: Path, ray: str | None = None) -> str:
    """Run to the end and give the summary."""
    process = start(recordings, store, ray)
    out, err = process.communicate()
    assert process.returncode == 0, err
    return out


def test_killed_again_and_again_it_ends_as_if_undisturbed(
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
    assert cohort.rows(store) == cohort.rows(undisturbed)
    assert cohort.objects(store) == cohort.objects(undisturbed)
    for name in cohort.objects(store):
        assert (store / name).read_bytes() == (undisturbed / name).read_bytes()


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_stopped_politely_it_says_so_and_goes_on_later(
    number: signal.Signals, cohort_folder: Path, undisturbed: Path, ray_here: str, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    process = start(cohort_folder, store)
    assert when(process, lambda: commits(store, "plan") >= 3, number) == 130
    _, errors = process.communicate()
    assert "stopped. Run the same command again" in errors
    assert "Traceback" not in errors
    assert list((store / "lease").glob("*.released"))
    assert "done" in finish(cohort_folder, store, ray_here)
    assert cohort.rows(store) == cohort.rows(undisturbed)


@pytest.mark.usefixtures("ray_here")
def test_a_recording_that_kills_its_worker_takes_no_other_with_it(
    cohort_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deadly = cohort.BEN

    def probe_or_die(task: ProbeTask) -> list[Probed]:
        if deadly in [source.name for source in task.sources]:
            os._exit(1)
        return probe_some(task)

    monkeypatch.setattr(phases, "probe_some", probe_or_die)
    summary = run_ingest(cohort.settings(cohort_folder, tmp_path / "store"))
    reasons = dict(summary.rejected)
    assert summary.done == len(cohort.GOOD) - 1
    assert "died 3 times" in reasons.pop(KEY.recording(deadly))
    assert set(reasons) == {KEY.recording(name) for name in cohort.BAD}


@pytest.mark.usefixtures("ray_here")
class TestStream:
    """Work on Ray whose workers die or whose storage fails."""

    def test_an_item_whose_workers_die_is_given_up_and_the_others_go_on(self, tmp_path: Path) -> None:
        lives = tmp_path / "lives"
        lives.mkdir()

        def work(item: int) -> int:
            if item == 2:
                (lives / str(os.getpid())).touch()
                os._exit(1)
            return item * item

        found = dict(result for result in stream(work, range(5), lambda item: 1e6) if result)
        died = found.pop(2)
        assert isinstance(died, Died)
        assert "died 3 times" in died.reason
        assert len(list(lives.iterdir())) == ATTEMPTS
        assert found == {0: 0, 1: 1, 3: 9, 4: 16}

    def test_a_worker_that_died_once_is_forgiven(self, tmp_path: Path) -> None:
        def work(item: int) -> int:
            marker = tmp_path / str(item)
            if not marker.exists():
                marker.touch()
                os._exit(1)
            return item

        assert [result for result in stream(work, [7], lambda item: 1e6) if result] == [(7, 7)]

    def test_a_fault_of_the_run_comes_out_as_it_was_raised(self) -> None:
        def work(item: int) -> int:
            raise RunFault("the store cannot be written")

        with pytest.raises(RunFault, match=r"^the store cannot be written$"):
            list(stream(work, [1, 2], lambda item: 1e6))

    def test_a_task_that_wants_more_memory_than_there_is_runs_alone(self) -> None:
        def work(item: int) -> int:
            return item

        assert [result for result in stream(work, [1], lambda item: 1e18) if result] == [(1, 1)]

    def test_a_worker_that_hangs_ends_itself(self) -> None:
        from ingest.run.tasks import time_limit

        def work(item: int) -> int:
            with time_limit(0.2):
                time.sleep(item)
            return item

        found = dict(result for result in stream(work, [0, 60], lambda item: 1e6) if result)
        assert found[0] == 0
        assert isinstance(found[60], Died)


def test_results_are_put_in_order() -> None:
    results = [None, ("c", 3), ("a", 1), None, ("b", 2)]
    assert [result for result in in_order("abc", results) if result] == [("a", 1), ("b", 2), ("c", 3)]
