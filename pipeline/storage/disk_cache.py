"""Objects of stores cached on a node's disk: limited in size, least recently used evicted, shared by processes.

A file holds an object and its checksum. It is written atomically under a temporary name; another process can still
read a file that is deleted while open. A file's modification time says when it was last used, so no other state is
kept, and the cache of a killed process can be used by the next. A cache that cannot be written is not used.
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

CHECK_EVERY, EVICT_ABOVE, EVICT_TO = 1 / 64, 7 / 8, 3 / 4
"""Fractions of the limit: what a process writes between two checks of the total; when files are evicted; what stays.

Eight processes that check at the worst moments stay within the limit.
"""

log = logging.getLogger(__name__)


class DiskCache:
    """Objects of one store, in a folder that several stores may share; `limit` is in bytes, for the folder."""

    def __init__(self, folder: Path, limit: float, store: str) -> None:
        self.folder, self.limit = folder, limit
        self.store_folder = folder / sha256(store.encode()).hexdigest()[:16]
        self._written, self._is_broken, self._lock = float("inf"), False, threading.Lock()

    def get(self, array: str, slot: int) -> bytes | None:
        """The bytes of an object, or None where it is not cached, or damaged."""
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
        """Cache an object, and evict the least recently used ones where the limit requires it."""
        if self._is_broken:
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
                return  # its slot was purged, or the file was evicted, while it was being written
            finally:
                temporary.unlink(missing_ok=True)
            with self._lock:
                self._written += len(data)
                if self._written >= CHECK_EVERY * self.limit:
                    self._evict()
                    self._written = 0.0
        except OSError as error:
            self._is_broken = True
            log.warning("%s: the cache cannot be written (%s); continuing without it.", self.folder, error.strerror)

    def drop(self, array: str, slot: int) -> None:
        """Delete an object from the cache."""
        with suppress(OSError):
            self._path(array, slot).unlink()

    def purge(self, slots: Collection[int]) -> None:
        """Delete everything of these slots, unfinished files too."""
        self._delete(lambda slot: slot in slots)

    def keep_only(self, slots: Collection[int]) -> None:
        """Delete everything of all other slots: their participants may have withdrawn."""
        self._delete(lambda slot: slot not in slots)

    def _delete(self, condition: Callable[[int], bool]) -> None:
        for path in self._files(self.store_folder):
            slot = path.name.lstrip(".").split(".")[0]
            if slot.isdigit() and condition(int(slot)):
                path.unlink(missing_ok=True)

    def _path(self, array: str, slot: int) -> Path:
        return self.store_folder / array / str(slot)

    def _evict(self) -> None:
        with self._locked():
            found = []
            for path in self._files(self.folder):
                with suppress(FileNotFoundError):
                    status = path.stat()
                    found.append((status.st_mtime, status.st_size, path))
            total = sum(size for _, size, _ in found)
            if total <= EVICT_ABOVE * self.limit:
                return
            for _, size, path in sorted(found):
                if total <= EVICT_TO * self.limit:
                    break
                path.unlink(missing_ok=True)
                total -= size

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @staticmethod
    def _files(folder: Path) -> Iterator[Path]:
        return (path for path in folder.rglob("*") if path.name != "lock" and path.is_file())
