"""From recordings, machines and rates to hours, bytes and requests: pure arithmetic.

A task is one recording on one CPU: it waits for storage, computes, then waits again, so a machine ingests
`tasks / (CPU + waiting)` recordings per second, unless its network or the driver sets a lower limit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from ingest.capacity.requests import (
    BEAT,
    COMMIT,
    LIST_NAMES,
    OPEN_STORE,
    PERSON_DAY,
    PROBE,
    RUN,
    Requests,
    read_requests,
)
from ingest.run.commit import COMMIT_ROWS, COMMIT_S
from pipeline.store.lease import HEARTBEAT_S

Bound = Literal["CPU", "waiting for storage", "memory", "network", "driver"]


@dataclass(frozen=True)
class Workload:
    """The recordings to ingest.

    signal_days: 24-hour days of signal in all recordings; they decide CPU time and bytes stored.
    person_days: calendar days that the recordings touch; they decide rows, objects and requests.
    bytes_read: bytes of all recordings.
    task_bytes: memory that one task declares.
    files_each: files of a recording: more than one where parts are joined.
    """

    recordings: int
    signal_days: float
    person_days: int
    bytes_read: float
    task_bytes: float
    files_each: float = 1.0

    def __post_init__(self) -> None:
        if self.recordings < 1 or not 0 < self.signal_days <= self.person_days or self.bytes_read <= 0:
            raise ValueError("a workload has recordings, days of signal, no fewer calendar days, and bytes")

    @staticmethod
    def alike(recordings: int, days: float, bytes_each: float, task_bytes: float) -> Workload:
        """Recordings of one length. One that does not begin at midnight touches a calendar day more."""
        return Workload(
            recordings, recordings * days, recordings * (math.ceil(days) + 1), recordings * bytes_each, task_bytes
        )


@dataclass(frozen=True)
class Machines:
    """`count` equal machines; memory is what Ray may give to tasks, the network speed is that of both ways in total."""

    count: int
    cpus: int
    memory_bytes: float = math.inf
    network_bytes_s: float = math.inf

    def tasks(self, task_bytes: float) -> int:
        """Tasks that run on one machine at a time; a task that needs more memory than the machine has runs alone."""
        return max(1, min(self.cpus, int(min(self.memory_bytes / task_bytes, self.cpus))))


@dataclass(frozen=True)
class Rates:
    """Measured speeds, in seconds and bytes.

    request_s: how long one request waits for its answer; 0 for a folder of this machine.
    start_s: from a new machine to its first recording (libraries, compiled code).
    driver_recordings_s: recordings per second that one driver schedules and commits; None where not measured.
    """

    cpu_s_per_day: float
    stored_bytes_per_day: float
    request_s: float = 0.0
    start_s: float = 0.0
    driver_recordings_s: float | None = None


@dataclass(frozen=True)
class Estimate:
    """The cost of a run. `bound` is the resource to add for a faster run."""

    machines: Machines
    tasks_at_once: int
    recordings_s: float
    hours: float
    node_hours: float
    cpu_hours: float
    bytes_read: float
    bytes_written: float
    bound: Bound
    requests: Requests = field(default_factory=Requests)


def estimate(work: Workload, machines: Machines, rates: Rates) -> Estimate:
    """Hours, bytes and requests of `work` on `machines`.

    A task does not compute while it waits; other tasks do. Transfers are assumed to run at the machine's full speed, so
    a run that is bound by the network takes somewhat longer.
    """
    each = 1 / work.recordings
    tasks = machines.tasks(work.task_bytes)
    cpu_s = rates.cpu_s_per_day * work.signal_days * each
    moved = (work.bytes_read + rates.stored_bytes_per_day * work.signal_days) * each
    wait_s = rates.request_s * _sequential_requests(work) + moved / machines.network_bytes_s
    by_tasks = machines.count * tasks / (cpu_s + wait_s)
    by_network = machines.count * machines.network_bytes_s / moved
    by_driver = rates.driver_recordings_s or math.inf
    speed = min(by_tasks, by_network, by_driver)
    bound: Bound
    if speed == by_driver:
        bound = "driver"
    elif speed == by_network:
        bound = "network"
    elif tasks < machines.cpus:
        bound = "memory"
    else:
        bound = "CPU" if cpu_s >= wait_s else "waiting for storage"
    seconds = rates.start_s + max(work.recordings / speed, cpu_s + wait_s)
    return Estimate(
        machines=machines,
        tasks_at_once=min(machines.count * tasks, work.recordings),
        recordings_s=speed,
        hours=seconds / 3600,
        node_hours=machines.count * seconds / 3600,
        cpu_hours=rates.cpu_s_per_day * work.signal_days / 3600,
        bytes_read=work.bytes_read,
        bytes_written=rates.stored_bytes_per_day * work.signal_days,
        bound=bound,
        requests=requests(work, seconds),
    )


def requests(work: Workload, seconds: float) -> Requests:
    """Requests of a run of this many seconds, by kind."""
    rows = work.recordings + work.person_days
    commits = max(1, math.ceil(seconds / COMMIT_S), math.ceil(rows / COMMIT_ROWS))
    files = work.recordings * work.files_each
    a_file = PROBE + read_requests(work.bytes_read / files)
    return (
        RUN
        + Requests(list=math.ceil(files / LIST_NAMES))
        + a_file * files
        + OPEN_STORE * work.recordings
        + PERSON_DAY * work.person_days
        + COMMIT * commits
        + BEAT * math.ceil(seconds / HEARTBEAT_S)
    )


def _sequential_requests(work: Workload) -> float:
    """Requests of a task that follow one another: it opens the store, reads each file, and writes day by day."""
    return OPEN_STORE.total + work.files_each + PERSON_DAY.total * work.person_days / work.recordings
