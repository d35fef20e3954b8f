"""One driver at a time: a lease created by create-if-absent and numbered, so that every holder has its own epoch.

`lease/000000007` belongs to the holder of epoch 7; its heartbeat is rewritten beside it. The highest epoch counts. It
can be taken over when it was released, when its process is dead (same machine), or when its heartbeat has not changed
for the TTL on the observer's own clock, even if its process still exists: it may be suspended. The new holder also
writes its epoch into the metadata of the tables (`pipeline.store.tables`), so Delta Lake itself refuses a commit
prepared by an older holder, however late it comes.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import threading
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from types import TracebackType

from pipeline.errors import UserError
from pipeline.storage.folder import Folder
from pipeline.storage.retry import with_retry
from pipeline.store.layout import HEARTBEAT, LEASE_FOLDER, RELEASED, epoch_file

TTL_S = 30.0
HEARTBEAT_S = 5.0

log = logging.getLogger(__name__)


class LeaseHeld(UserError):
    """Another run is writing the store."""


class LeaseLost(UserError):
    """Another driver has taken over; nothing more may be committed."""


def _host() -> str:
    """Identifies where a process number means the same: one boot of a machine, and one process namespace on it."""
    parts = [os.uname().nodename]
    for read in (lambda: Path("/proc/sys/kernel/random/boot_id").read_text(), lambda: os.readlink("/proc/self/ns/pid")):
        with suppress(OSError):
            parts.append(read())
    return sha256("".join(parts).encode()).hexdigest()[:16]


def _process(pid: int) -> str:
    """A process by its number and start time, or "" when it does not exist."""
    try:
        return f"{pid}:{Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()[19]}"
    except (OSError, IndexError):
        return ""


def latest_epoch(store: Folder) -> int:
    """The newest epoch of a store's lease; 0 where nobody has held it yet."""
    epochs = (name.split(".")[0] for name in store.folder(LEASE_FOLDER).names())
    return max((int(epoch) for epoch in epochs if epoch.isdigit()), default=0)


def require_epoch(store: Folder, epoch: int) -> None:
    """Raise LeaseLost unless `epoch` is still the newest. Waits for storage that is unavailable."""
    latest = with_retry(lambda: latest_epoch(store))
    if latest != epoch:
        raise LeaseLost(
            f"{store.url}: another run has taken over this store (epoch {latest}, ours was {epoch}). "
            "This run stops; only what it has committed counts."
        )


class Lease:
    """The right to write a store, kept alive by a background thread while the context is open."""

    def __init__(self, store: Folder, ttl_s: float = TTL_S, heartbeat_s: float = HEARTBEAT_S) -> None:
        self.store, self.folder, self.ttl_s, self.heartbeat_s = store, store.folder(LEASE_FOLDER), ttl_s, heartbeat_s
        self.epoch = 0
        self._stop = threading.Event()

    def __enter__(self) -> Lease:
        latest = latest_epoch(self.store)
        if latest and not self._can_take_over(latest):
            raise LeaseHeld(
                f"{self.store.url}: another run is writing this store (its heartbeat changes). Wait for it to end, or "
                f"stop it; if it died, the store is free after {self.ttl_s:.0f} s without a heartbeat."
            )
        self.epoch = latest + 1
        owner = {"owner": secrets.token_hex(8), "host": _host(), "process": _process(os.getpid())}
        if not self.folder.create(epoch_file(self.epoch), json.dumps(owner).encode()):
            raise LeaseHeld(f"{self.store.url}: another run took this store at the same moment. Try again later.")
        self.folder.delete([name for name in self.folder.names() if name < epoch_file(latest)])
        self._write_heartbeat()
        self._thread = threading.Thread(target=self._keep_alive, daemon=True, name="lease")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(self.heartbeat_s)
        with suppress(OSError, UserError):  # a lease that cannot be released is taken over like a dead holder's
            self.folder.write(epoch_file(self.epoch, RELEASED), b"")

    def is_held(self) -> bool:
        """Whether a run is writing the store now. Watches the heartbeat for up to the TTL if nothing else shows it."""
        latest = latest_epoch(self.store)
        return bool(latest) and not self._can_take_over(latest)

    def check(self) -> None:
        """Raise LeaseLost unless this is still the newest epoch. Call before every commit."""
        require_epoch(self.store, self.epoch)

    def _write_heartbeat(self) -> None:
        self.folder.write(epoch_file(self.epoch, HEARTBEAT), secrets.token_hex(8).encode())

    def _keep_alive(self) -> None:
        is_written = True
        while not self._stop.wait(self.heartbeat_s):
            try:
                self._write_heartbeat()
                is_written = True
            except Exception as error:  # a missed heartbeat is no failure: check() decides
                if is_written:
                    log.warning("cannot write the heartbeat of this run, will retry: %s", error)
                is_written = False

    def _can_take_over(self, epoch: int) -> bool:
        try:
            owner = json.loads(self.folder.read(epoch_file(epoch)))
        except FileNotFoundError:  # a newer holder has removed it
            return False
        if owner["host"] == _host() and owner["process"]:
            is_alive = _process(int(owner["process"].split(":")[0])) == owner["process"]
            if not is_alive:
                return True
        first, started = self._read_heartbeat(epoch), time.monotonic()
        while not self.folder.exists(epoch_file(epoch, RELEASED)):
            if time.monotonic() - started >= self.ttl_s:
                return True
            time.sleep(min(self.heartbeat_s, self.ttl_s) / 2)
            if self._read_heartbeat(epoch) != first or latest_epoch(self.store) != epoch:
                return False
        return True

    def _read_heartbeat(self, epoch: int) -> bytes:
        try:
            return self.folder.read(epoch_file(epoch, HEARTBEAT))
        except FileNotFoundError:
            return b""
