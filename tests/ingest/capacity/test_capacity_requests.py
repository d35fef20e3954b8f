"""The counts of `ingest.capacity.requests` compared with the requests that a real S3 server answered, by step."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from infra.s3_server import answered
from ingest.capacity import requests as counted
from ingest.capacity.requests import Requests
from ingest.run.commit import Committer
from ingest.run.ingest_task import Assignment, IngestTask
from ingest.run.plan import Catalogue
from ingest.run.probe_task import Probed, ProbeTask
from ingest.run.rows import done
from ingest.run.sources import list_sources
from ingest.settings import SignalSettings
from ingest.simulate.recording import simulate_recording
from pipeline.storage.folder import Folder
from pipeline.store.lease import Lease
from pipeline.store.store import Store
from tests.ingest.cohort import HOUR, KEY
from tests.s3_here import s3_here

pytestmark = pytest.mark.slow
BUCKET = "counted"
RAW, STORE = f"s3://{BUCKET}/raw", f"s3://{BUCKET}/store"


class Meter:
    """Counts the requests made inside `with meter.of(step)`."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        self.steps: dict[str, list[Requests]] = {}

    def _now(self) -> Requests:
        counts = [answered(self.environment, BUCKET)]
        while len(counts) < 4 or counts[-4:] != counts[-1:] * 4:  # the server counts a request after it has answered it
            time.sleep(0.05)
            counts.append(answered(self.environment, BUCKET))
        count = counts[-1]
        assert not set(count) - {"GET", "LIST", "PUT", "POST", "DELETE"}
        return Requests(count["GET"], count["LIST"], count["PUT"])

    @contextmanager
    def of(self, step: str) -> Iterator[None]:
        before = self._now()
        yield
        self.steps.setdefault(step, []).append(self._now() + before * -1)


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[Requests]]]:
    """The requests of each step of a run over four recordings, of which two span two days."""
    import s3fs

    with s3_here(tmp_path_factory.mktemp("s3"), BUCKET) as server:
        fs = s3fs.S3FileSystem()
        local = tmp_path_factory.mktemp("recordings") / "one.cwa"
        for number, start in enumerate(["2024-05-06T12:00:00", "2024-05-06T23:30:00"] * 2):
            simulate_recording(local, 0, number + 1, days=HOUR, start=np.datetime64(start))
            fs.put(str(local), f"{BUCKET}/raw/{number}.cwa")
        yield _run(Meter(server.environment))


def _run(meter: Meter) -> dict[str, list[Requests]]:
    """Run the steps of a run in their order, in this process."""
    with meter.of("list"):
        folder, sources = list_sources(RAW, KEY)
    with meter.of("run"):
        store = Store.create(STORE, KEY, {})
        lease = Lease(Folder(STORE), heartbeat_s=3600)
        lease.__enter__()
        store = Store.open(STORE)
        for table in (store.plan, store.person_days, store.recordings):
            table.fence(lease.epoch)
    probed: list[Probed] = []
    for source in sources:
        with meter.of("probe"):
            probed += ProbeTask(folder.url, (source,), 60)()
    committer = Committer(store, lease, Catalogue({}, frozenset()))
    people = {source.id: KEY.participant(source.name) for source in sources}
    with meter.of("run"):
        committer.assign_slots([(each.source, each.days) for each in probed], people)
    for source in sources:
        planned = committer.catalogue.planned(source)
        assert planned is not None
        part = Assignment(source, planned["first_slot"], planned["slots"])
        with meter.of(f"ingest {part.slots}"):
            (found,) = IngestTask(folder.url, STORE, (part,), SignalSettings(), lease.epoch)()
        assert len(found.days) == part.slots, found.reason
        committer.add(done(found, people[source.id], KEY, False))
        with meter.of("commit"):
            committer.commit()
    with meter.of("run"):
        for table in (store.plan, store.person_days, store.recordings):
            table.compact()
        lease.__exit__(None, None, None)
    return meter.steps


def test_requests_of_a_probe_equal_those_of_the_server(steps: dict[str, list[Requests]]) -> None:
    assert set(steps["probe"]) == {counted.PROBE}


def test_requests_of_a_recording_equal_those_of_the_server(steps: dict[str, list[Requests]]) -> None:
    one, two = steps["ingest 1"], steps["ingest 2"]
    assert set(one) == {counted.OPEN_STORE + counted.read_requests(1) + counted.PERSON_DAY}
    assert set(two) == {counted.OPEN_STORE + counted.read_requests(1) + counted.PERSON_DAY * 2}


def test_requests_of_a_commit_equal_those_of_the_server(steps: dict[str, list[Requests]]) -> None:
    assert set(steps["commit"]) == {counted.COMMIT}


def test_the_rest_of_a_run_is_small(steps: dict[str, list[Requests]]) -> None:
    rest = sum(steps["run"], Requests())
    for found, expected in ((rest.get, counted.RUN.get), (rest.list, counted.RUN.list), (rest.put, counted.RUN.put)):
        assert expected / 2 <= found <= expected * 2
    assert steps["list"][0].list <= 2


def test_a_large_recording_is_read_in_parts() -> None:
    assert counted.read_requests(260e6).get == 5
    assert counted.read_requests(1).get == 1
