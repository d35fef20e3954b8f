"""Store, tables, lease and checkpoints on a real S3 server: the same guarantees as on a folder."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch

from pipeline.errors import UserError
from pipeline.identity import Key
from pipeline.storage.fetch import ObstoreFetch, fetcher
from pipeline.storage.folder import Folder, StorageError, StorageUnavailable
from pipeline.storage.retry import PATIENCE_S
from pipeline.store.day_reader import DayReader, MissingDay
from pipeline.store.lease import Lease
from pipeline.store.store import Store
from tests.s3_here import s3_here
from tests.train.days import MadeDays, write_store
from train.checkpoint import format as ck
from train.checkpoint.state import State


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A bucket on a server of this module."""
    with s3_here(tmp_path_factory.mktemp("s3"), "ours"):
        yield "s3://ours"


@pytest.fixture(scope="module")
def store(bucket: str) -> Store:
    return write_store(f"{bucket}/store", people=3, days=1)


def test_days_and_rows_round_trip(store: Store) -> None:
    opened = Store.open(store.folder.url)
    for slot in range(3):
        assert opened.read_day(slot).checksum() == MadeDays().read_day(slot).checksum()
    assert sorted(opened.person_days.read(["slot"])["slot"].to_pylist()) == [0, 1, 2]


def test_commits_are_fenced(store: Store) -> None:
    late = Store.open(store.folder.url).plan
    assert late.version == store.plan.version
    store.plan.fence(2)
    row = {"recording": "a", "participant": "p", "source": "b", "first_slot": 0, "slots": 1}
    with pytest.raises(UserError, match="refused"):
        late.append([row])
    store.plan.append([row])
    assert store.plan.read(["recording"]).num_rows == 1


def test_a_missing_object_is_an_error(bucket: str) -> None:
    store = write_store(f"{bucket}/holed", people=2, days=1)
    store.folder.delete(["signal/c/1/0/0"])
    with pytest.raises(MissingDay, match="slot 1"):
        Store.open(store.folder.url).read_day(1)


def test_either_client_fetches_the_same_and_raises_the_same(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("obstore")
    import s3fs

    quick = fetcher(store.folder)
    assert isinstance(quick, ObstoreFetch)
    for name in ("signal/c/0/0/0", "state/c/2/0", "zarr.json"):
        assert bytes(quick(name)) == store.folder.read(name)
    assert quick.has_succeeded
    with pytest.raises(FileNotFoundError):
        quick("signal/c/9/0/0")
    assert not quick.is_off
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    s3fs.S3FileSystem.clear_instance_cache()
    refused = ObstoreFetch(Folder(store.folder.url))
    with pytest.raises(StorageError, match=r"not permitted|refuses"):
        refused("zarr.json")
    assert refused.is_off
    s3fs.S3FileSystem.clear_instance_cache()


def test_many_files_are_deleted_at_once(bucket: str) -> None:
    folder = Folder(f"{bucket}/many")
    for name in ("a", "b/c", "kept"):
        folder.write(name, b"1")
    folder.delete([*(f"nothing/{number}" for number in range(1500)), "a", "b/c"])
    assert folder.names() == ["kept"]


def test_one_recording_that_is_refused_is_rejected_and_all_stop_the_run(bucket: str) -> None:
    import s3fs

    from ingest.run.probe_task import ProbeTask
    from ingest.run.sources import AccessDenied, list_sources
    from ingest.simulate.recording import simulate_recording

    fs, key = s3fs.S3FileSystem(), Key(bytes(32))
    with TemporaryDirectory() as folder:
        simulate_recording(Path(folder) / "made.cwa", 0, 1, days=1 / 1440)
        for name in ("anna-secret", "ben", "clara"):
            fs.put(str(Path(folder) / "made.cwa"), f"{bucket}/raw/{name}.cwa")
    recordings, sources = list_sources(f"{bucket}/raw", key)
    task = ProbeTask(recordings.url, tuple(sources), 60)
    assert {probed.reason for probed in task()} == {""}
    try:
        for refused, reasons in (("raw/anna-secret.cwa", 1), ("raw/*", None)):
            statement = {"Effect": "Deny", "Principal": "*", "Action": ["s3:GetObject"]}
            statement["Resource"] = [f"arn:aws:s3:::ours/{refused}"]
            policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
            fs.call_s3("put_bucket_policy", Bucket="ours", Policy=policy)
            if reasons:
                (rejected,) = (probed for probed in task() if probed.reason)
                assert rejected.source.id == key.recording("anna-secret.cwa")
                assert "denies access to it" in rejected.reason
            else:
                with pytest.raises(AccessDenied, match=r"recording [0-9a-f]{12} cannot be read: .*not perm") as error:
                    task()
                assert "anna" not in str(error.value)
    finally:
        fs.call_s3("delete_bucket_policy", Bucket="ours")


def test_a_permanent_refusal_is_not_retried(bucket: str) -> None:
    """s3fs raises EIO for codes it does not know, as for a failing server."""
    folder = Folder(bucket)
    with pytest.raises(StorageError) as error, folder.translate_errors():
        folder.fs.call_s3("put_bucket_policy", Bucket="ours", Policy="no policy")
    assert not isinstance(error.value, StorageUnavailable)
    assert "refuses" in str(error.value)


def test_a_closed_reader_does_not_wait_for_unavailable_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A closed port refuses connections; without the close the reader would retry for three minutes."""
    import s3fs

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free.getsockname()[1]}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
        s3fs.S3FileSystem.clear_instance_cache()
        began = time.monotonic()
        with DayReader(Folder("s3://ours/away")) as reader:
            day = reader.open_day(0)
            while "Waiting for it" not in caplog.text and time.monotonic() - began < PATIENCE_S:
                time.sleep(0.05)
        with pytest.raises((StorageUnavailable, CancelledError)):
            day.state()
    s3fs.S3FileSystem.clear_instance_cache()
    assert time.monotonic() - began < PATIENCE_S


def test_create_has_one_winner(bucket: str) -> None:
    folder = Folder(f"{bucket}/race")
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda name: folder.create("prize", name.encode()), map(str, range(8))))
    assert sum(won) == 1
    assert folder.read("prize").decode() == str(won.index(True))


def test_a_page_about_a_cohort(bucket: str, tmp_path: Path) -> None:
    from tests.pipeline.cohorts import write_cohort
    from tests.pipeline.pages import Page

    url, page = f"{bucket}/cohort", tmp_path / "page.html"
    write_cohort(url, recordings=6, states=True)
    command = [sys.executable, "-m", "pipeline", "report", "--store", url, "--out", str(page)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    text = Page(page.read_text()).text
    assert "6 recordings accepted 3 recordings rejected 6 participants 42 person-days" in text["top"]
    assert "Based on 42 of 42 person-days." in text["hours"]
    assert "missing from the store" not in text["hours"]


def test_one_lease_at_a_time(bucket: str) -> None:
    folder = Folder(f"{bucket}/lease")
    with Lease(folder) as lease:
        lease.check()
        with pytest.raises(UserError, match="another run"), Lease(folder):
            pass
    with Lease(folder) as lease:
        assert lease.epoch == 2


def test_checkpoints_are_saved_read_and_pruned(bucket: str) -> None:
    folder = Folder(f"{bucket}/checkpoints")
    for step in (1, 2, 3):
        ck.save(folder, ck.Checkpoint({"w": torch.full((3,), step)}, State(step, validation_loss=1.0 / step)))
    ck.prune(folder, keep=1)
    assert ck.complete(folder) == {3: 1 / 3}
    assert ck.open_checkpoint(folder.url).model["w"].tolist() == [3, 3, 3]
    assert {name.split("/")[0] for name in folder.names()} == {"step-000000003"}


@pytest.mark.parametrize("services", [False, True])
def test_credentials_and_endpoint_of_the_standard_files_reach_arrays_and_tables_alike(
    bucket: str, tmp_path: Path, services: bool
) -> None:
    keys, config = tmp_path / "credentials", tmp_path / "config"
    known = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    keys.write_text(
        f"[study]\naws_access_key_id = {known['AWS_ACCESS_KEY_ID']}\n"
        f"aws_secret_access_key = {known['AWS_SECRET_ACCESS_KEY']}\n"
    )
    endpoint = f"endpoint_url = {known['AWS_ENDPOINT_URL']}\n"
    text = "[profile study]\nregion = us-east-1\n"
    config.write_text(text + (f"services = here\n[services here]\ns3 =\n  {endpoint}" if services else endpoint))
    environment = {name: value for name, value in os.environ.items() if name not in known}
    environment |= {"AWS_SHARED_CREDENTIALS_FILE": str(keys), "AWS_CONFIG_FILE": str(config), "AWS_PROFILE": "study"}
    code = (
        "from pipeline.identity import Key\n"
        "from pipeline.store.store import Store\n"
        f"store = Store.create({bucket + f'/files-{services}'!r}, Key(bytes(32)), {{}})\n"
        "store.grow(2)\n"
        "store.plan.fence(1)\n"
        "print(Store.open(store.folder.url).plan.version)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    assert done.stdout.strip() == "1"


def test_a_wrong_secret_and_a_missing_bucket_are_errors_without_a_traceback(bucket: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "train", "demo", "--checkpoints", str(tmp_path), "--store"]
    wrong = os.environ | {"AWS_SECRET_ACCESS_KEY": "not-the-secret"}
    for url, environment in ((f"{bucket}/store", wrong), ("s3://nobodys/store", dict(os.environ))):
        done = subprocess.run([*command, url], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert done.stderr.startswith("error: ")
        assert "Traceback" not in done.stderr
        assert "not-the-secret" not in json.dumps([done.stdout, done.stderr])
