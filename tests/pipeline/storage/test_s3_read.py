"""Reading large objects from a real S3 server: the same bytes and the same errors as by s3fs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infra.s3_server import S3Server
from ingest.run.sources import AccessDenied, Source, UnreadableRecording, list_sources, read_source
from pipeline.identity import Key
from pipeline.storage import s3_read
from pipeline.storage.folder import Folder
from pipeline.storage.s3_read import Memory, read_object
from tests.s3_here import s3_here

PART = 1_000
CONTENT = np.random.default_rng(0).bytes(10 * PART + 7)
URL = "s3://ours/raw"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A server with a bucket, configured by environment variables."""
    with s3_here(tmp_path_factory.mktemp("s3"), "ours") as server:
        yield server


@pytest.fixture
def folder(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """A folder with one recording, to be read in eleven parts."""
    monkeypatch.setattr(s3_read, "PART_BYTES", PART)
    monkeypatch.setattr(s3_read, "PIECE_BYTES", PART // 3)
    folder = Folder(URL)
    folder.write("anna.cwa", CONTENT)
    return folder


def only_source() -> Source:
    (source,) = list_sources(URL, Key(bytes(32)))[1]
    return source


def count_s3fs(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The objects that s3fs reads from now on."""
    read, found = folder.fs.cat_file, []

    def cat_file(path: str) -> Any:
        found.append(path)
        return read(path)

    monkeypatch.setattr(folder.fs, "cat_file", cat_file)
    return found


def test_an_object_is_read_in_parts_without_s3fs(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    by_s3fs = count_s3fs(folder, monkeypatch)
    assert bytes(read_object(folder, "anna.cwa", len(CONTENT))) == CONTENT
    found = read_source(folder, only_source())
    assert bytes(found) == CONTENT
    assert not found.flags.writeable, "decoders are compiled for what a memory map and bytes are"
    assert not by_s3fs


@pytest.mark.parametrize("listed", [0, 1, len(CONTENT) - 1, len(CONTENT) + 1, len(CONTENT) + 5 * PART])
def test_an_object_whose_size_has_changed_is_read_as_it_is_now(folder: Folder, listed: int) -> None:
    assert bytes(read_object(folder, "anna.cwa", listed)) == CONTENT


def test_an_object_that_is_replaced_meanwhile_is_read_again(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    read_part, newer = s3_read._read_part, CONTENT[::-1]

    def replaced(client: Any, place: dict[str, str], data: Any, begin: int) -> str:
        if begin == 5 * PART:
            Folder(URL).write("anna.cwa", newer)
        return read_part(client, place, data, begin)

    monkeypatch.setattr(s3_read, "PARTS_AT_ONCE", 1)
    monkeypatch.setattr(s3_read, "_read_part", replaced)
    assert bytes(read_object(folder, "anna.cwa", len(CONTENT))) == newer


def test_an_object_that_is_gone_is_a_fault_of_the_recording(folder: Folder) -> None:
    source = only_source()
    folder.delete(["anna.cwa"])
    with pytest.raises(FileNotFoundError):
        read_object(folder, "anna.cwa", len(CONTENT))
    with pytest.raises(UnreadableRecording, match="gone now"):
        read_source(folder, source)


def test_a_wrong_secret_denies_access(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    source = only_source()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(AccessDenied) as error:
        read_source(Folder(URL), source)
    s3fs.S3FileSystem.clear_instance_cache()
    assert "not-the-secret" not in str(error.value)
    assert "anna" not in str(error.value)


def test_a_server_that_is_killed_between_two_parts_is_waited_for(
    folder: Folder, server: S3Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    source, read_part = only_source(), s3_read._read_part
    timer = threading.Timer(3.0, server.start)

    def killed(client: Any, place: dict[str, str], data: Any, begin: int) -> str:
        if begin == 5 * PART and not timer.is_alive() and not timer.finished.is_set():
            server.kill()
            timer.start()
        return read_part(client, place, data, begin)

    monkeypatch.setattr(s3_read, "PARTS_AT_ONCE", 1)
    monkeypatch.setattr(s3_read, "_read_part", killed)
    assert bytes(read_source(folder, source)) == CONTENT
    timer.join()
    assert "anna" not in caplog.text


def test_what_a_user_configured_in_fsspec_is_left_to_s3fs(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec

    settings = {"s3": fsspec.config.conf["s3"] | {"use_ssl": False}}
    monkeypatch.setattr(fsspec.config, "conf", settings)
    configured = Folder(URL)
    by_s3fs = count_s3fs(configured, monkeypatch)
    assert bytes(read_object(configured, "anna.cwa", len(CONTENT))) == CONTENT
    assert by_s3fs == ["ours/raw/anna.cwa"]


def test_a_file_on_a_disk_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "made.cwa").write_bytes(CONTENT)
    assert read_object(Folder(str(tmp_path)), "made.cwa", len(CONTENT)) == CONTENT


def test_memory_is_used_again_only_when_nothing_refers_to_it() -> None:
    memory = Memory()
    first = memory.take(100)
    first[:] = 1
    view = first.data[10:20]
    second = memory.take(100)
    second[:] = 2
    assert set(first) == {1}
    kept = memory._kept
    del second
    assert memory.take(90).size == 90
    assert memory._kept is kept
    assert memory.take(10).size == 10
    assert len(memory._kept) == 10, "ten times as much is not kept"
    assert bytes(view) == bytes([1] * 10)
