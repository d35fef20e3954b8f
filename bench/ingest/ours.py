"""Our kinds of work for bench.ingest, one per process: python -m bench.ingest.ours WORK FILE CORE.

`to the store` does all that a run does for one recording: it probes both ends, assigns slots, commits the plan,
decodes, processes, writes and flushes the days, and commits their rows. Every call has a new store; creating it is not
timed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ingest.devices.registry import decode
from ingest.process import process
from ingest.settings import SignalSettings
from ingest.signal.timing import fit

from .turns import Call, serve


def read(path: Path) -> dict[str, Any]:
    """Read samples and their times."""
    recording = decode(np.memmap(path, mode="r"), path.name)
    fit(recording)
    return {"samples": recording.samples}


def in_memory(path: Path) -> dict[str, Any]:
    """Compute all days at 30 Hz, with motion, states and figures."""
    processed = process(decode(np.memmap(path, mode="r"), path.name), SignalSettings())
    days = list(processed.days())
    return {"samples": processed.recording.samples, "days": len(days), "calibration": processed.calibration.outcome}


@contextmanager
def ready(work: Callable[[Path], dict[str, Any]], path: Path) -> Iterator[Call]:
    """A call that needs no preparation."""
    yield partial(work, path)


@contextmanager
def store_ready(path: Path) -> Iterator[Call]:
    """A call that ingests into a new store, on the disk of the recording."""
    from ingest.capacity.trial import TRIAL_KEY
    from ingest.run.commit import Committer
    from ingest.run.ingest_task import Assignment, ingest_tasks
    from ingest.run.plan import Catalogue
    from ingest.run.probe_task import ProbeTask
    from ingest.run.rows import done
    from ingest.run.sources import list_sources
    from pipeline.store.lease import Lease
    from pipeline.store.store import Store

    folder, (source,) = list_sources(str(path), TRIAL_KEY)
    participant = TRIAL_KEY.participant(source.name)
    with TemporaryDirectory(dir=path.parent, prefix="store-") as scratch:
        store = Store.create(scratch, TRIAL_KEY, {})
        with Lease(store.folder) as lease:
            committer = Committer(store, lease, Catalogue({}, frozenset()))

            def call() -> dict[str, Any]:
                (probed,) = ProbeTask(folder.url, (source,), max_days=60)()
                committer.assign_slots([(source, probed.days)], {source.id: participant})
                planned = committer.catalogue.planned(source)
                assert planned is not None
                part = Assignment(source, planned["first_slot"], planned["slots"])
                (task,) = ingest_tasks(folder.url, scratch, [part], SignalSettings(), lease.epoch)
                (found,) = task()
                assert found.figures, found.reason
                committer.add(done(found, participant, TRIAL_KEY, False))
                committer.commit()
                figures = {"samples": found.figures.samples, "calibration": found.figures.calibration}
                return {**figures, "days": store.person_days.read(["recording"]).num_rows}

            yield call


WORKS: dict[str, Callable[[Path], AbstractContextManager[Call]]] = {
    "read": partial(ready, read),
    "30 Hz, in memory": partial(ready, in_memory),
    "to the store": store_ready,
}

if __name__ == "__main__":
    serve(partial(WORKS[sys.argv[1]], Path(sys.argv[2])), int(sys.argv[3]))
