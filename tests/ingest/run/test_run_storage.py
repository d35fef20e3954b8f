"""Storage that fails during a run: a server killed and restarted, a full disk, a lost permission. Nothing is lost."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.s3_server import S3Server
from tests.ingest import cohort
from tests.ingest.runs import (
    assert_as_if_undisturbed,
    days_written,
    ended_well,
    ended_with_one_message,
    start,
)
from tests.s3_here import s3_here
from tests.waiting import until

DONE = f"{len(cohort.LONG)} recordings done, 0 rejected"
OF_THE_PLACE = ("source",)
"""Columns with the state of a file, which is another on S3 than on a disk."""


@pytest.fixture
def server(tmp_path: Path, long_folder: Path) -> Iterator[S3Server]:
    """A server with the recordings, set in the environment."""
    import s3fs

    with s3_here(tmp_path / "s3", "cohort") as server:
        s3fs.S3FileSystem().put(str(long_folder), "cohort/raw", recursive=True)
        yield server


class Bucket:
    """A run that reads from and writes to a bucket."""

    raw, store = "s3://cohort/raw", "s3://cohort/store"

    def __init__(self, long_folder: Path) -> None:
        settings = cohort.settings(long_folder, self.store)
        self.flags = ["--key-file", str(settings.key_file), "--participants", str(settings.participants)]

    def start(self) -> subprocess.Popen[str]:
        """Start a run with its own Ray, whose workers have the present environment."""
        return start(self.raw, self.store, None, *self.flags)

    def days_written(self) -> int:
        """Person-days whose last object exists."""
        import s3fs

        fs = s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True)
        return len(fs.glob("cohort/store/state/c/*/0"))


@pytest.mark.slow
def test_a_server_killed_and_started_again_is_waited_for(
    server: S3Server, long_folder: Path, long_undisturbed: Path
) -> None:
    bucket = Bucket(long_folder)
    run = bucket.start()
    until(lambda: bucket.days_written() > 0, run)
    server.kill()
    time.sleep(5)
    server.start()
    assert DONE in ended_well(run)
    assert_as_if_undisturbed(bucket.store, long_undisturbed, but=OF_THE_PLACE)


@pytest.mark.slow
def test_a_bucket_without_write_permission_stops_the_run_without_harm(
    server: S3Server, long_folder: Path, long_undisturbed: Path
) -> None:
    bucket = Bucket(long_folder)
    run = bucket.start()
    until(lambda: bucket.days_written() > 0, run)
    server.kill()
    server.allow(["Read", "List"])
    server.start()
    assert "not permitted" in ended_with_one_message(run)
    server.kill()
    server.allow(["Admin", "Read", "List", "Tagging", "Write"])
    server.start()
    assert "recordings done, 0 rejected" in ended_well(bucket.start())
    assert_as_if_undisturbed(bucket.store, long_undisturbed, but=OF_THE_PLACE)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few MB: room for some person-days of the cohort."""
    disk = tmp_path / "disk"
    disk.mkdir()
    try:
        _mount("-t", "tmpfs", "-o", "size=24m", "tmpfs", str(disk))
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this user may not mount a file system")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


@pytest.mark.slow
def test_a_full_disk_stops_the_run_which_resumes_with_more_space(
    small_disk: Path, long_folder: Path, long_undisturbed: Path, ray_here: str
) -> None:
    store = small_disk / "store"
    message = ended_with_one_message(start(long_folder, store, ray_here))
    assert "No space left on device" in message
    assert days_written(store) > 0
    _mount("-o", "remount,size=1g", str(small_disk))
    assert "recordings done, 0 rejected" in ended_well(start(long_folder, store, ray_here))
    assert_as_if_undisturbed(store, long_undisturbed)


@pytest.mark.slow
def test_a_disk_that_turns_read_only_stops_the_run_without_harm(
    small_disk: Path, long_folder: Path, long_undisturbed: Path, ray_here: str
) -> None:
    store = small_disk / "store"
    _mount("-o", "remount,size=1g", str(small_disk))
    run = start(long_folder, store, ray_here, "--workers", "1")
    until(lambda: days_written(store) > 0, run)
    until(lambda: _turned("ro", small_disk), run)
    assert "read-only" in ended_with_one_message(run).lower()
    assert _turned("rw", small_disk)
    assert "recordings done, 0 rejected" in ended_well(start(long_folder, store, ray_here))
    assert_as_if_undisturbed(store, long_undisturbed)


def _turned(how: str, disk: Path) -> bool:
    """Whether remounting succeeded: it does not while a file is being written."""
    command = ["mount", "-o", f"remount,{how}", str(disk)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
