"""Work handed to Ray: one function over many items, a bounded number in flight, dead workers counted.

Ray's own retries are off: a worker killed for want of memory would be retried for ever, and the driver
could not say why. A function here returns what it found and raises only when the run itself cannot go on.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pipeline.errors import UserError

ATTEMPTS = 3
"""Workers that an item may cost before it is given up."""
TICK_S = 1.0
"""How long the driver waits for a result before it looks at its other duties."""

OBJECT_STORE_BYTES = 1 << 27
"""Of a Ray of our own: tasks and results are small, and what it does not take is left to workers."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Died:
    """What stands for a result when an item's workers died."""

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
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **(local if address == "local" else {}))
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UserError(
            f"Ray does not start at {address!r} ({error}). Check --ray-address, RAY_ADDRESS and --workers."
        ) from None
    try:
        yield
    finally:
        ray.shutdown()


def stream(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    memory: Callable[[Item], float],
    workers: int | None = None,
) -> Generator[tuple[Item, Result | Died] | None]:
    """Every item with `function(item)`, in the order in which they finish; None about every second, as a tick.

    `memory` (bytes of an item) is declared to Ray, so that a node is never given more than it holds. Twice as many
    as there are CPUs are in flight, so that none waits for the driver; `workers` bounds them. What `function` raises
    stops the stream and comes out as it was raised. Leaving the stream early cancels what still runs.
    """
    import ray
    from ray.exceptions import NodeDiedError, ObjectLostError, OutOfMemoryError, RayTaskError, WorkerCrashedError

    remote = ray.remote(function)
    waiting = deque((item, 1) for item in items)
    running: dict[Any, tuple[Item, int]] = {}
    most = _most_memory()
    try:
        while waiting or running:
            limit = workers or 2 * _cpus()
            while waiting and len(running) < limit:
                item, attempt = waiting.popleft()
                task = remote.options(num_cpus=1, max_retries=0, memory=int(min(memory(item), most)))
                running[task.remote(item)] = item, attempt
            ready, _ = ray.wait(list(running), timeout=TICK_S)
            for reference in ready:
                item, attempt = running.pop(reference)
                try:
                    result = ray.get(reference)
                except RayTaskError as error:
                    raise error.cause from None
                except (WorkerCrashedError, OutOfMemoryError, NodeDiedError, ObjectLostError) as error:
                    if attempt < ATTEMPTS:
                        waiting.appendleft((item, attempt + 1))
                    else:
                        yield item, Died(f"its worker died {ATTEMPTS} times ({type(error).__name__})")
                else:
                    yield item, result
            yield None
    finally:
        for reference in running:
            ray.cancel(reference, force=True)


def in_order(
    items: Iterable[Item], results: Iterable[tuple[Item, Result | Died] | None]
) -> Iterator[tuple[Item, Result | Died] | None]:
    """The results of a stream in the order of its items; ticks pass through."""
    waiting = deque(items)
    finished: dict[Item, Result | Died] = {}
    for result in results:
        if result is not None:
            finished[result[0]] = result[1]
        while waiting and waiting[0] in finished:
            item = waiting.popleft()
            yield item, finished.pop(item)
        yield None


def _cpus() -> int:
    """CPUs of the cluster as it is now; it may grow."""
    import ray

    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def _most_memory() -> float:
    """Bytes of the roomiest node: more than that can never be granted."""
    import ray

    return max((node["Resources"].get("memory", 0.0) for node in ray.nodes() if node["Alive"]), default=0.0)
