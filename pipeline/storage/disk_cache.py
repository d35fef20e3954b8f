"""Objects of a store kept on a node's own disk: bounded, the least recently used go first, shared by its processes.

A file is an object and its checksum. It is written whole under a temporary name; one that is deleted while another
process reads it stays readable there. Which was used last its time of modification tells, so nothing else has to be
kept, and a process that is killed leaves a cache that the next one can use. A cache that cannot be written is done
without.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from secrets import token_hex

import google_crc32c
import numpy as np

LOOK_AFTER, FULL, KEPT = 1 / 64, 7 / 8, 3 / 4
"""Of the limit: written by a process between two looks at the whole; when old files go; what they leave.

Eight processes that look at the worst moments stay within the limit.
"""

log = logging.getLogger(__name__)


class DiskCache:
    """Objects of one store below a folder that several stores may share; `limit` is in bytes."""

    def __init__(self, folder: Path, limit: float, store: str) -> None:
        self.folder, self.limit = folder, limit
        self.mine = folder / sha256(store.encode()).hexdigest()[:16]
        self._written, self._broken, self._lock = float("inf"), False, threading.Lock()

    def get(self, array: str, slot: int) -> bytes | None:
        """The bytes of an object, or None where it is not kept, or not as it was put."""
        path = self._path(array, slot)
        try:
            data = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        if google_crc32c.value(data[:-4]).to_bytes(4, "little") != data[-4:]:
            self.drop(array, slot)
            return None
        return data[:-4]

    def put(self, array: str, slot: int, data: bytes | memoryview) -> None:
        """Keep an object, in place of the least recently used ones."""
        if self._broken:
            return
        try:
            path = self._path(array, slot)
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{path.name}.{token_hex(4)}.partial")
            try:
                checksum = int(google_crc32c.value(np.frombuffer(data, np.uint8)))
                temporary.write_bytes(b"".join((data, checksum.to_bytes(4, "little"))))
                os.replace(temporary, path)
            except FileNotFoundError:
                return  # its slot was purged, or all room was needed, while it was being written
            finally:
                temporary.unlink(missing_ok=True)
            with self._lock:
                self._written += len(data)
                if self._written >= LOOK_AFTER * self.limit:
                    self._make_room()
                    self._written = 0.0
        except OSError as error:
            self._broken = True
            log.warning("%s: the cache cannot be written (%s); going on without.", self.folder, error.strerror)

    def drop(self, array: str, slot: int) -> None:
        """Keep an object no longer."""
        with suppress(OSError):
            self._path(array, slot).unlink()

    def purge(self, slots: Collection[int]) -> None:
        """Delete what is kept of these slots, unfinished files too."""
        self._delete(lambda slot: slot in slots)

    def keep_only(self, slots: Collection[int]) -> None:
        """Delete what is kept of any other slot: its person may have withdrawn."""
        self._delete(lambda slot: slot not in slots)

    def _delete(self, condition: Callable[[int], bool]) -> None:
        for path in self._files(self.mine):
            slot = path.name.lstrip(".").split(".")[0]
            if slot.isdigit() and condition(int(slot)):
                path.unlink(missing_ok=True)

    def _path(self, array: str, slot: int) -> Path:
        return self.mine / array / str(slot)

    def _make_room(self) -> None:
        with self._alone():
            found = []
            for path in self._files(self.folder):
                with suppress(FileNotFoundError):
                    status = path.stat()
                    found.append((status.st_mtime, status.st_size, path))
            total = sum(size for _, size, _ in found)
            if total <= FULL * self.limit:
                return
            for _, size, path in sorted(found):
                if total <= KEPT * self.limit:
                    break
                path.unlink(missing_ok=True)
                total -= size

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with (self.folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @staticmethod
    def _files(folder: Path) -> Iterator[Path]:
        return (path for path in folder.rglob("*") if path.name != "lock" and path.is_file())
