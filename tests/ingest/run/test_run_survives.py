"""Workers, nodes and drivers, real processes, are killed or stopped: the store ends as if undisturbed."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ingest.run.cluster import OBJECT_STORE_BYTES
from tests.ingest import cohort
from tests.ingest.runs import (
    assert_as_if_undisturbed,
    commits,
    days_written,
    ended_well,
    ended_with_one_message,
    finish,
    kill_worker,
    processes,
    start,
)
from tests.waiting import until

DONE = f"{len(cohort.LONG)} recordings done, 0 rejected"


def has_more_days(store: Path, days: int) -> bool:
    """Whether more days than that have been written."""
    return days_written(store) > days


class Steps:
    """The step in which the only worker of a run is, as seen from outside."""

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
        """It had a recording mapped, and has not written anything of it."""
        if self.reading(worker):
            self._read_with = self._begun()
            return False
        return self._read_with == self._begun()

    def writing(self, worker: int) -> bool:
        """A day is partly written."""
        return days_written(self.store) < self._begun()

    def _begun(self) -> int:
        return len(list((self.store / "signal" / "c").glob("*")))


@pytest.mark.slow
def test_a_worker_killed_in_any_step_does_not_change_the_store(
    long_folder: Path, long_undisturbed: Path, ray_here: str, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    steps = Steps(long_folder, store)
    run = start(long_folder, store, ray_here, "--workers", "1")
    kill_worker(run, "ray::ProbeTask", at=lambda worker: True)
    for step in (steps.reading, steps.processing, steps.writing):
        done = days_written(store)
        kill_worker(run, "ray::IngestTask", at=step)
        until(partial(has_more_days, store, done), run)  # so that none loses three
    assert DONE in ended_well(run)
    assert_as_if_undisturbed(store, long_undisturbed)


def test_a_second_driver_is_refused_and_the_first_continues(
    long_folder: Path, long_undisturbed: Path, ray_here: str, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    first = start(long_folder, store, ray_here, "--workers", "1")
    until(lambda: days_written(store) > 0, first)
    until(lambda: any(processes(os.getpid(), "ray::IngestTask")), first)
    (worker,) = processes(os.getpid(), "ray::IngestTask")
    os.kill(worker, signal.SIGSTOP)
    try:
        message = ended_with_one_message(start(long_folder, store, ray_here))
    finally:
        os.kill(worker, signal.SIGCONT)
    assert "another run is writing this store" in message
    assert DONE in ended_well(first)
    assert_as_if_undisturbed(store, long_undisturbed)


@pytest.fixture
def three_nodes() -> Iterator[Any]:
    """A cluster of a head without CPUs and two nodes with one each."""
    from ray.cluster_utils import Cluster

    common: dict[str, Any] = {"object_store_memory": OBJECT_STORE_BYTES, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **common})
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1, **common)
        yield cluster
    finally:
        cluster.shutdown()


@pytest.mark.slow
def test_the_remaining_nodes_replace_a_lost_one(
    long_folder: Path, long_undisturbed: Path, three_nodes: Any, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    run = start(long_folder, store, three_nodes.address)
    until(lambda: days_written(store) > 1, run)
    three_nodes.remove_node(next(iter(three_nodes.worker_nodes)), allow_graceful=False)
    assert DONE in ended_well(run)
    assert_as_if_undisturbed(store, long_undisturbed)


@pytest.mark.slow
def test_a_run_continues_when_all_nodes_are_lost_and_replaced(
    long_folder: Path, long_undisturbed: Path, three_nodes: Any, tmp_path: Path
) -> None:
    """As with spot machines: more nodes are lost under a recording than workers may die over it."""
    store = tmp_path / "store"
    run = start(long_folder, store, three_nodes.address)
    for _ in range(4):
        before = days_written(store)
        until(partial(has_more_days, store, before), run)
        for node in list(three_nodes.worker_nodes):
            three_nodes.remove_node(node, allow_graceful=False)
        three_nodes.add_node(num_cpus=1, object_store_memory=OBJECT_STORE_BYTES, include_dashboard=False)
    assert DONE in ended_well(run)
    assert_as_if_undisturbed(store, long_undisturbed)


@pytest.mark.slow
def test_a_driver_killed_ten_times_ends_with_the_undisturbed_store(
    long_folder: Path, long_undisturbed: Path, ray_here: str, tmp_path: Path
) -> None:
    store, moments = tmp_path / "store", random.Random(0)
    for _ in range(10):
        run = start(long_folder, store, ray_here)
        time.sleep(moments.uniform(0.2, 8.0))
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
        run.communicate()
    finish(long_folder, store, ray_here)
    assert_as_if_undisturbed(store, long_undisturbed)


@pytest.mark.slow
def test_a_driver_stopped_past_its_lease_is_replaced_and_does_no_harm(
    long_folder: Path, long_undisturbed: Path, ray_here: str, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    first = start(long_folder, store, ray_here, "--workers", "1")
    until(lambda: days_written(store) > 0, first)
    os.killpg(first.pid, signal.SIGSTOP)
    try:
        assert DONE in finish(long_folder, store, ray_here)
    finally:
        os.killpg(first.pid, signal.SIGCONT)
    versions = [commits(store, table) for table in ("plan", "person_days", "recordings")]
    assert "another run has taken over this store (epoch 2, ours was 1)" in ended_with_one_message(first)
    assert [commits(store, table) for table in ("plan", "person_days", "recordings")] == versions
    assert_as_if_undisturbed(store, long_undisturbed)
