"""Checkpoints on a real S3 server: outages lose nothing, and refused writes are reported before the first step."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.s3_server import S3Server
from pipeline.errors import UserError
from pipeline.storage.folder import Folder
from tests.s3_here import s3_here
from tests.train.runs import alone, same_checkpoint
from train.checkpoint import format as ck

SHORT: dict[str, Any] = {"run__windows": 240, "run__validate_every": 240}
OUTAGE_S = 3.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A local server with a bucket, configured by environment variables."""
    with s3_here(tmp_path_factory.mktemp("s3"), "ours") as server:
        yield server


def test_a_save_waits_for_a_server_that_dies(
    store: str, server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The server is killed before the second file of step 10 is sent, and restarts a little later."""
    write, checkpoints = Folder.write, "s3://ours/dies"
    complete_then: list[int] = []

    def killed(folder: Folder, name: str, data: bytes, flushed: bool = True) -> None:
        if name == f"{ck.name_of(10)}/{ck.OPTIMIZER}" and not complete_then:
            complete_then.append(ck.newest(folder)[0].step)
            server.kill()
            threading.Timer(OUTAGE_S, server.start).start()
        write(folder, name, data, flushed)

    monkeypatch.setattr(Folder, "write", killed)
    assert alone(store, checkpoints, logs=tmp_path / "logs", **SHORT) == 0
    assert complete_then == [5]
    assert "Waiting for it" in caplog.text
    assert "the storage answers again" in caplog.text
    assert sorted(ck.complete(Folder(checkpoints))) == [5, 10, 15]
    assert alone(store, tmp_path / "straight", **SHORT) == 0
    local = tmp_path / "local"
    Folder(checkpoints).fs.get("ours/dies", str(local), recursive=True)
    same_checkpoint(tmp_path / "straight", local, 15)


def test_storage_that_refuses_writes_is_reported_before_the_first_step(store: str, tmp_path: Path) -> None:
    """A wrong secret; a missing bucket; a read-only bucket. (An administrator's write would create the bucket.)

    The server is another one than that of the other tests, because its permissions stay.
    """
    import s3fs

    everything, reading = ["Admin", "Read", "List", "Tagging", "Write"], ["Read", "List"]
    with s3_here(tmp_path / "s3", "ours") as server, pytest.MonkeyPatch.context() as monkeypatch:
        secret = server.environment["AWS_SECRET_ACCESS_KEY"]
        for bucket, actions, used in (
            ("ours", everything, "not-the-secret"),
            ("nobodys", ["Read", "List", "Write"], secret),
            ("ours", reading, secret),
        ):
            server.kill()
            server.allow(actions)
            server.start()
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", used)
            s3fs.S3FileSystem.clear_instance_cache()
            with pytest.raises(UserError, match="not permitted") as error:
                alone(store, f"s3://{bucket}/refused", logs=tmp_path / "logs", **SHORT)
            assert "not-the-secret" not in str(error.value)
            assert not (tmp_path / "logs").exists(), "nothing was started"
