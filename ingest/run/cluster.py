"""Many tasks on Ray: a bounded number in flight, with a limit on the workers that each may cost.

Ray's own retries are off: a worker killed for lack of memory would be retried endlessly, and the driver could not say
why. A task returns its result and raises only when the run itself cannot continue.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ingest.run.stragglers import Stragglers
from pipeline.errors import UserError
from pipeline.identity import ENVIRONMENT_VARIABLE

MAX_WORKERS_LOST = 3
"""Workers that may die over a recording before it is rejected."""
MAX_NODES_LOST = 10
"""Nodes that may be lost under it: spot machines are taken away for reasons of their own."""
MIN_IN_FLIGHT = 64
"""Tasks in flight on the smallest cluster: an autoscaler starts nodes for tasks that wait."""
TICK_S = 1.0
"""How long the driver waits for a result before it sees to its other work."""
NODES_POLL_S = 10.0
"""How often it polls the nodes of the cluster."""
CLEAN_UP_S = 5.0
"""Time for interrupted tasks to clean up."""

OBJECT_STORE_BYTES = 1 << 27
"""Object store of a Ray that we start: tasks and results are small, and workers need the memory."""

MAX_TEMPORARY_BYTES = 38
"""Length of a temporary folder below which Ray's sockets have paths of at most 107 bytes, the limit of Linux."""
SHORT_FOLDERS = ("/tmp", "/dev/shm", "/var/tmp", "/run/user/{uid}")
"""Where a short path to a long temporary folder may be."""

log = logging.getLogger(__name__)


class Task(Protocol):
    """Work on one or more recordings; a worker calls it."""

    @property
    def name(self) -> str:
        """The name of the task in the log; it names no person or file."""
        ...

    @property
    def memory(self) -> float:
        """Bytes that a worker needs for it at most; declared to Ray, so that no node gets more than fits."""
        ...

    def split(self) -> Sequence[Task]:
        """The same work, one recording per task."""
        ...

    def __call__(self) -> Any:
        """Do the work. An exception stops the run and is raised from `stream`."""
        ...


SomeTask = TypeVar("SomeTask", bound=Task)


@dataclass(frozen=True)
class Died:
    """Takes the place of a result when a task's workers died."""

    reason: str


@contextmanager
def ray_session(workers: int | None = None, address: str | None = None) -> Iterator[None]:
    """Connect to the Ray cluster at `address` (or RAY_ADDRESS), or start Ray on this machine; end it with the context.

    A Ray that this process has already started is used and left running.
    """
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address == "local":  # workers inherit the environment, and with it the path of the packages
        here = str(Path(__file__).resolve().parents[2])
        paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        if here not in paths:
            os.environ["PYTHONPATH"] = os.pathsep.join([here, *filter(None, paths)])
        if not _token_can_be_saved():
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    import ray

    if ray.is_initialized():
        yield
        return
    options: dict[str, Any] = {}
    with ExitStack() as stack:
        try:
            if address == "local":
                options = {"num_cpus": workers, "include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
                options["_temp_dir"] = stack.enter_context(ray_folder())
            with _without_the_key():
                ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **options)
        except (OSError, RuntimeError, ValueError) as error:
            raise UserError(
                f"cannot start or reach Ray at {address!r} ({error}). Check --ray-address, RAY_ADDRESS, TMPDIR and "
                "--workers."
            ) from None
        stack.callback(ray.shutdown)
        yield


def _token_can_be_saved() -> bool:
    """Whether Ray can save the token with which its processes authenticate: it does so in the home folder."""
    try:
        token = Path.home() / ".ray" / "auth_token"
        token.parent.mkdir(parents=True, exist_ok=True)
        return token.exists() or os.access(token.parent, os.W_OK)
    except (OSError, RuntimeError):
        return False


@contextmanager
def ray_folder() -> Iterator[str]:
    """The folder for Ray's files and sockets: `ray` in the temporary folder, by a path that is short enough.

    Where the temporary folder's own path is too long for a socket, a link to it in a new private folder is the path.
    Raises OSError where no short path can be made.
    """
    folder = os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
    if len(os.fsencode(folder)) <= MAX_TEMPORARY_BYTES:
        yield f"{folder}/ray"
        return
    places = [place.format(uid=os.geteuid()) for place in SHORT_FOLDERS]
    usable = [place for place in places if os.access(place, os.W_OK | os.X_OK)]
    if not usable:
        raise OSError(
            f"the temporary folder's path is longer than {MAX_TEMPORARY_BYTES} bytes, too long for sockets, and none "
            f"of {', '.join(places)} is writable"
        )
    private = tempfile.mkdtemp(prefix="pd-", dir=usable[0])
    try:
        os.symlink(os.path.abspath(folder), f"{private}/t")
        yield f"{private}/t/ray"
    finally:
        shutil.rmtree(private, ignore_errors=True)


@contextmanager
def _without_the_key() -> Iterator[None]:
    """Keep the store's key out of the environment, which the processes started here inherit."""
    secret = os.environ.pop(ENVIRONMENT_VARIABLE, None)
    try:
        yield
    finally:
        if secret is not None:
            os.environ[ENVIRONMENT_VARIABLE] = secret


@dataclass
class Attempt:
    """A task, and the workers and nodes that it has cost."""

    task: Any
    workers_lost: int = 0
    nodes_lost: int = 0
    memory_factor: int = 1


@dataclass
class Nodes:
    """The resources of the cluster, polled now and then: it may grow and shrink."""

    cpus: int = 0
    memory: float = 0.0
    """Bytes of the node with the most, of those that have CPUs."""
    total_memory: float = 0.0
    """Bytes of all such nodes."""
    _polled: float = field(default=float("-inf"))
    _without_since: float | None = None

    def poll(self) -> None:
        """Ask Ray for its nodes, if that is more than 10 s ago."""
        import ray

        now = time.monotonic()
        if now - self._polled < NODES_POLL_S:
            return
        self._polled = now
        alive = [node["Resources"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0)]
        self.cpus = int(sum(resources["CPU"] for resources in alive))
        memory = [resources.get("memory", 0.0) for resources in alive]
        self.memory, self.total_memory = max(memory, default=0.0), sum(memory)
        if self.cpus:
            self._without_since = None
        elif self._without_since is None:
            self._without_since = now
        elif now - self._without_since > 60:
            self._without_since = now
            log.warning("the cluster has had no node with CPUs for a minute; tasks wait for a new node.")

    def declared(self, attempt: Attempt) -> int:
        """Bytes to request: what an attempt needs, but no more than the largest node has."""
        wanted = attempt.task.memory * attempt.memory_factor
        return int(min(wanted, self.memory) if self.memory else wanted)


def stream(
    tasks: Iterable[SomeTask], workers: int | None = None, interrupt: bool = False
) -> Generator[tuple[SomeTask, Any] | None]:
    """Yield every task with its result or a Died, as they finish, and None about every second, as a tick.

    Twice as many tasks as there are CPUs are in flight (at least 64), so that no worker waits for the driver, or
    `workers` where that is given. When a worker dies over several recordings, each becomes a task of its own; a task
    that has lost three workers or ten nodes is given up. A task whose worker ran out of memory requests twice as much
    next time. Leaving the stream early kills the tasks that run, or with `interrupt` interrupts them, so that they can
    clean up.
    """
    import ray
    from ray.exceptions import (
        NodeDiedError,
        ObjectLostError,
        OutOfMemoryError,
        RayTaskError,
        RuntimeEnvSetupError,
        WorkerCrashedError,
    )

    remote = ray.remote(_call)
    waiting = deque(Attempt(task) for task in tasks)
    running: dict[Any, Attempt] = {}
    nodes, stragglers = Nodes(), Stragglers()
    try:
        while waiting or running:
            nodes.poll()
            limit = workers or max(2 * nodes.cpus, MIN_IN_FLIGHT)
            while waiting and len(running) < limit:
                attempt = waiting.popleft()
                memory = nodes.declared(attempt)
                name = type(attempt.task).__name__  # Ray's dashboard groups by it
                options = remote.options(name=name, num_cpus=1, max_retries=0, memory=memory)
                reference = options.remote(attempt.task)
                running[reference] = attempt
                stragglers.began(reference)
            for reference in _finished(list(running)):
                attempt = running.pop(reference)
                stragglers.ended(reference)
                try:
                    result = ray.get(reference)
                except (WorkerCrashedError, OutOfMemoryError, MemoryError) as error:
                    out_of_memory = isinstance(error, OutOfMemoryError | MemoryError)
                    single = attempt.task.split()
                    attempt.workers_lost += 1
                    attempt.memory_factor *= 1 + out_of_memory
                    if len(single) > 1:
                        waiting.extendleft(Attempt(task) for task in reversed(single))
                    elif attempt.workers_lost < MAX_WORKERS_LOST:
                        waiting.appendleft(attempt)
                    else:
                        kind = "out of memory" if out_of_memory else type(error).__name__
                        yield from _given_up(attempt, f"its worker died {MAX_WORKERS_LOST} times ({kind})")
                except RayTaskError as error:
                    raise _cause(error) from None
                except RuntimeEnvSetupError as error:
                    raise UserError(f"the workers cannot be set up by Ray ({error}).") from None
                except (NodeDiedError, ObjectLostError):
                    attempt.nodes_lost += 1
                    if attempt.nodes_lost < MAX_NODES_LOST:
                        waiting.appendleft(attempt)
                    else:
                        yield from _given_up(attempt, f"{MAX_NODES_LOST} nodes were lost while it was processed")
                else:
                    yield attempt.task, result
            for reference, seconds in stragglers.found():
                log.warning("%s", stragglers.message(running[reference].task.name, seconds))
            yield None
    finally:
        for reference in running:  # in one way only: cancelling with and without force aborts the driver (Ray 2.60)
            ray.cancel(reference, force=not interrupt)
        if running and interrupt:
            ray.wait(list(running), num_returns=len(running), timeout=CLEAN_UP_S)


def _call(task: Task) -> Any:
    return task()


def _given_up(attempt: Attempt, reason: str) -> Iterator[tuple[Any, Died]]:
    for task in attempt.task.split():
        yield task, Died(reason)


def _finished(references: list[Any]) -> list[Any]:
    """The tasks that have finished, as soon as there is one; none if none does within a tick."""
    import ray

    ready, rest = ray.wait(references, timeout=TICK_S)
    if ready and rest:
        ready += ray.wait(rest, num_returns=len(rest), timeout=0)[0]
    return ready


def _cause(error: Any) -> BaseException:
    """The exception that a task raised; a clear error where a worker lacks this program."""
    cause: BaseException = error.cause
    missing = getattr(cause, "name", "") or ""
    if isinstance(cause, ModuleNotFoundError) and missing.split(".")[0] in ("ingest", "pipeline"):
        return UserError(
            "a worker does not have this program. Start the run with `ray job submit --working-dir . -- python -m "
            "ingest ...`, or install the project on every node."
        )
    return cause
