"""Checkpoints on a real S3 server that goes away: nothing is lost; what cannot work is told before the first step."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.s3_server import S3Server
from pipeline.errors import UserError
from pipeline.storage.folder import Folder
from tests.s3_here import s3_here
from tests.train.runs import alone, same_checkpoint
from train.checkpoint import format as ck

SHORT = {"run__windows": 240, "run__validate_every": 240}
AWAY_S = 3.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A server of our own with a bucket, reached by the environment."""
    with s3_here(tmp_path_factory.mktemp("s3"), "ours") as server:
        yield server


def test_a_server_that_dies_in_the_midst_of_a_save_is_waited_for(
    store: str, server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is killed before the second of the files of step 10 is sent, and comes back a little later."""
    write, checkpoints = Folder.write, "s3://ours/dies"
    standing: list[int] = []

    def killed(folder: Folder, name: str, data: bytes, flushed: bool = True) -> None:
        if name == f"{ck.name_of(10)}/{ck.OPTIMIZER}" and not standing:
            standing.append(ck.newest(folder)[0].step)
            server.kill()
            threading.Timer(AWAY_S, server.start).start()
        write(folder, name, data, flushed)

    monkeypatch.setattr(Folder, "write", killed)
    assert alone(store, checkpoints, logs=tmp_path / "logs", **SHORT) == 0
    assert standing == [5]
    assert "Waiting for it" in caplog.text
    assert "the storage answers again" in caplog.text
    assert sorted(ck.complete(Folder(checkpoints))) == [5, 10, 15]
    assert alone(store, tmp_path / "straight", **SHORT) == 0
    local = tmp_path / "local"
    Folder(checkpoints).fs.get("ours/dies", str(local), recursive=True)
    same_checkpoint(tmp_path / "straight", local, 15)


def test_what_cannot_be_saved_to_is_told_before_the_first_step(
    store: str, server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong secret; a bucket that is not there; one that may only be read. (An administrator's write makes one.)"""
    import s3fs

    everything, reading = ["Admin", "Read", "List", "Tagging", "Write"], ["Read", "List"]
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
        assert not (tmp_path / "logs").exists(), "nothing was begun"
