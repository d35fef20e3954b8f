"""A node's cache: limited, least recently used evicted, shared by processes, purged of withdrawn participants."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.storage.disk_cache import DiskCache

ROOT = Path(__file__).parents[3]


def test_only_cached_objects_are_returned(tmp_path: Path) -> None:
    cache, other = DiskCache(tmp_path, 1e6, "s3://one"), DiskCache(tmp_path, 1e6, "s3://another")
    cache.put("signal", 1, b"first")
    cache.put("state", 1, b"state")
    assert (cache.get("signal", 1), cache.get("state", 1), cache.get("signal", 2)) == (b"first", b"state", None)
    assert other.get("signal", 1) is None
    cache.drop("signal", 1)
    assert cache.get("signal", 1) is None


def test_a_damaged_file_is_not_returned(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, 1e6, "s3://one")
    cache.put("signal", 1, b"x" * 1000)
    (file,) = (path for path in tmp_path.rglob("1") if path.is_file())
    file.write_bytes(b"y" + file.read_bytes()[1:])
    assert cache.get("signal", 1) is None
    assert not file.exists()


def test_the_least_recently_used_are_evicted(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, 1e6, "s3://one")
    for slot in range(80):
        cache.put("signal", slot, bytes(10_000))
        old = time.time() - 1000 + slot
        os.utime(cache._path("signal", slot), (old, old))
    cache.get("signal", 0)
    for slot in range(80, 100):
        cache.put("signal", slot, bytes(10_000))
    held = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert held <= 1e6
    assert cache.get("signal", 0) is not None, "it was used most recently"
    assert cache.get("signal", 1) is None
    assert all(cache.get("signal", slot) is not None for slot in range(80, 100))


def test_a_cache_on_storage_without_locks_is_left_unused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)  # as on NFS without a lock daemon
    cache = DiskCache(tmp_path, 1e6, "s3://one")
    for slot in range(100):
        cache.put("signal", slot, bytes(20_000))
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) <= 1e6
    assert caplog.text.count("No locks available") == 1


def test_writers_in_a_cache_that_is_too_small_keep_working(tmp_path: Path) -> None:
    """Unfinished files of one may be evicted for another's."""
    caches = [DiskCache(tmp_path, 3e6, f"s3://{number}") for number in range(8)]

    def fill(cache: DiskCache) -> None:
        for slot in range(40):
            cache.put("signal", slot, bytes(500_000))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(fill, caches))
    for cache in caches:
        cache.put("signal", 99, b"new")
        assert cache.get("signal", 99) == b"new"


def test_slots_are_purged(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, 1e6, "s3://one")
    for slot in range(6):
        cache.put("signal", slot, b"day")
        cache.put("motion", slot, b"day")
    unfinished = cache._path("signal", 3).with_name(".3.0a1b.partial")
    unfinished.write_bytes(b"da")
    cache.purge({3, 4})
    assert not unfinished.exists()
    assert [slot for slot in range(6) if cache.get("signal", slot) or cache.get("motion", slot)] == [0, 1, 2, 5]
    cache.keep_only({1, 9})
    assert [slot for slot in range(6) if cache.get("signal", slot)] == [1]


def test_processes_share_it_within_the_limit_and_one_is_killed(tmp_path: Path) -> None:
    code = (
        "import random, sys\n"
        "from pathlib import Path\n"
        "from pipeline.storage.disk_cache import DiskCache\n"
        f"cache = DiskCache(Path({str(tmp_path)!r}), 2e6, 's3://one')\n"
        "random.seed(int(sys.argv[1]))\n"
        "for _ in range(int(sys.argv[2])):\n"
        "    slot = random.randrange(200)\n"
        "    data = slot.to_bytes(2, 'little') * 10_000\n"
        "    assert cache.get('signal', slot) in (None, data)\n"
        "    cache.put('signal', slot, data)\n"
    )
    counts = ["400", "400", "100000"]
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(seed), count], cwd=ROOT) for seed, count in enumerate(counts)
    ]
    assert [process.wait() for process in running[:2]] == [0, 0]
    running[2].send_signal(signal.SIGKILL)
    running[2].wait()
    held = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert held <= 2e6
    cache = DiskCache(tmp_path, 2e6, "s3://one")
    cache.put("signal", 7, b"after")
    assert cache.get("signal", 7) == b"after"


def test_a_cache_that_cannot_be_written_is_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("no folder")
    cache = DiskCache(tmp_path / "file", 1e6, "s3://one")
    for _ in range(3):
        cache.put("signal", 1, b"day")
        assert cache.get("signal", 1) is None
    assert len(caplog.records) == 1
    assert "continuing without it" in caplog.text
