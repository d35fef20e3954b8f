"""Work handed to Ray: many tasks, a bounded number in flight, dead workers counted.

Ray's own retries are off: a worker killed for want of memory would be retried for ever, and the driver
could not say why. A task here returns what it found and raises only when the run itself cannot go on.
"""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ingest.run.stragglers import Stragglers
from pipeline.errors import UserError
from pipeline.identity import ENVIRONMENT_VARIABLE

ATTEMPTS = 3
"""Workers that a recording may cost before it is given up."""
NODES = 10
"""Nodes that may be lost under it: machines of a spot market go for reasons of their own."""
AT_LEAST = 64
"""Tasks in flight on however small a cluster: what waits is what an autoscaler starts nodes for."""
TICK_S = 1.0
"""How long the driver waits for a result before it looks at its other duties."""
LOOK_S = 10.0
"""How often it looks at the nodes."""

LAST_S = 5.0
"""What tasks get to tidy up in when a stream of gentle ones is left."""

OBJECT_STORE_BYTES = 1 << 27
"""Of a Ray of our own: tasks and results are small, and what it does not take is left to workers."""

log = logging.getLogger(__name__)


class Task(Protocol):
    """Work on one or more recordings, which a worker does by calling it."""

    @property
    def name(self) -> str:
        """By what the log knows it: names nobody."""
        ...

    @property
    def memory(self) -> float:
        """Bytes that a worker needs for it, at most; declared to Ray, so that no node gets more than it holds."""
        ...

    def alone(self) -> Sequence[Task]:
        """The same work, one recording a task."""
        ...

    def __call__(self) -> Any:
        """Do it. What it raises stops the run and comes out as it was raised."""
        ...


SomeTask = TypeVar("SomeTask", bound=Task)


@dataclass(frozen=True)
class Died:
    """What stands for a result when a task's workers died."""

    reason: str


@contextmanager
def ray_session(workers: int | None = None, address: str | None = None) -> Iterator[None]:
    """A running Ray: the cluster at `address` (or RAY_ADDRESS), else one of this machine, ended with the context.

    One that this process has started already is used and left running.
    """
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address == "local":  # workers inherit the environment, and with it the place of the packages
        here = str(Path(__file__).resolve().parents[2])
        paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        if here not in paths:
            os.environ["PYTHONPATH"] = os.pathsep.join([here, *filter(None, paths)])
    import ray

    if ray.is_initialized():
        yield
        return
    local: dict[str, Any] = {"num_cpus": workers, "include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
    try:
        with _without_the_key():
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **(local if address == "local" else {}))
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UserError(
            f"Ray does not start at {address!r} ({error}). Check --ray-address, RAY_ADDRESS and --workers."
        ) from None
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def _without_the_key() -> Iterator[None]:
    """Keep the store's key out of the environment meanwhile: what is started then inherits the rest."""
    secret = os.environ.pop(ENVIRONMENT_VARIABLE, None)
    try:
        yield
    finally:
        if secret is not None:
            os.environ[ENVIRONMENT_VARIABLE] = secret


@dataclass
class Attempt:
    """A task and what it has cost so far."""

    task: Any
    workers_lost: int = 0
    nodes_lost: int = 0
    memory_factor: int = 1


@dataclass
class Nodes:
    """What the cluster offers, looked at now and then: it may grow and shrink."""

    cpus: int = 0
    memory: float = 0.0
    """Bytes of the roomiest node that has CPUs."""
    total_memory: float = 0.0
    """Bytes of all such nodes together."""
    _looked: float = field(default=float("-inf"))
    _without_since: float | None = None

    def look(self) -> None:
        """Take another look, if the last one is long ago."""
        import ray

        now = time.monotonic()
        if now - self._looked < LOOK_S:
            return
        self._looked = now
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
            log.warning("the cluster has no node with CPUs for a minute; tasks wait for the autoscaler or a new node.")

    def declared(self, attempt: Attempt) -> int:
        """Bytes to ask for: what an attempt needs, but no more than any node could ever grant."""
        wanted = attempt.task.memory * attempt.memory_factor
        return int(min(wanted, self.memory) if self.memory else wanted)


def stream(
    tasks: Iterable[SomeTask], workers: int | None = None, gently: bool = False
) -> Generator[tuple[SomeTask, Any] | None]:
    """Every task with its result or a Died, in the order in which they finish; None about every second, as a tick.

    Twice as many tasks as there are CPUs are in flight (at least 64), so that no worker waits for the driver; `workers`
    bounds them instead. When a worker dies over several recordings they go on alone; a task that has lost three
    workers, or ten nodes, is given up. One whose worker ran out of memory asks for twice as much next time. Leaving
    the stream early kills what still runs, or `gently` interrupts it, so that it can tidy up.
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
            nodes.look()
            limit = workers or max(2 * nodes.cpus, AT_LEAST)
            while waiting and len(running) < limit:
                attempt = waiting.popleft()
                kind, memory = type(attempt.task).__name__, nodes.declared(attempt)  # Ray's pages sum up by the name
                options = remote.options(name=kind, num_cpus=1, max_retries=0, memory=memory)
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
                    alone = attempt.task.alone()
                    attempt.workers_lost += 1
                    attempt.memory_factor *= 1 + out_of_memory
                    if len(alone) > 1:
                        waiting.extendleft(Attempt(task) for task in reversed(alone))
                    elif attempt.workers_lost < ATTEMPTS:
                        waiting.appendleft(attempt)
                    else:
                        kind = "out of memory" if out_of_memory else type(error).__name__
                        yield from _given_up(attempt, f"its worker died {ATTEMPTS} times ({kind})")
                except RayTaskError as error:
                    raise _explained(error) from None
                except RuntimeEnvSetupError as error:
                    raise UserError(f"the workers cannot be set up by Ray ({error}).") from None
                except (NodeDiedError, ObjectLostError):
                    attempt.nodes_lost += 1
                    if attempt.nodes_lost < NODES:
                        waiting.appendleft(attempt)
                    else:
                        yield from _given_up(attempt, f"{NODES} nodes were lost while it was worked on")
                else:
                    yield attempt.task, result
            for reference, seconds in stragglers.found():
                log.warning("%s", stragglers.told(running[reference].task.name, seconds))
            yield None
    finally:
        for reference in running:  # in one way only: Ray 2.60 aborts the driver when a task is cancelled in both
            ray.cancel(reference, force=not gently)
        if running and gently:
            ray.wait(list(running), num_returns=len(running), timeout=LAST_S)


def _call(task: Task) -> Any:
    return task()


def _given_up(attempt: Attempt, reason: str) -> Iterator[tuple[Any, Died]]:
    for task in attempt.task.alone():
        yield task, Died(reason)


def _finished(references: list[Any]) -> list[Any]:
    """Tasks that have ended: all of them, as soon as there is one, none after a tick."""
    import ray

    ready, rest = ray.wait(references, timeout=TICK_S)
    if ready and rest:
        ready += ray.wait(rest, num_returns=len(rest), timeout=0)[0]
    return ready


def _explained(error: Any) -> BaseException:
    """What a task raised; a worker without the program is told in words."""
    cause: BaseException = error.cause
    missing = getattr(cause, "name", "") or ""
    if isinstance(cause, ModuleNotFoundError) and missing.split(".")[0] in ("ingest", "pipeline"):
        return UserError(
            "a worker does not have this program. Start the run with `ray job submit --working-dir . -- python -m "
            "ingest ...`, or install the project on every node."
        )
    return cause
