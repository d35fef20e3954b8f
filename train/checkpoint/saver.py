"""Saving in the background: training waits for the copy to the host, not for the storage."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from pipeline.errors import UserError
from pipeline.storage.folder import Folder
from pipeline.storage.retry import with_retry
from train.checkpoint import format as ck


@dataclass(frozen=True)
class Saved:
    """A checkpoint that is complete."""

    step: int
    seconds: float
    """From the copy on the host to the marker."""
    bytes: int


def check_writable(folder: Folder) -> None:
    """Write and delete a small file, as saving and pruning will; raises StorageError if the storage refuses.

    Local folders that this makes are removed again: a run that is refused later leaves none.
    """
    name = f"probe-{secrets.token_hex(4)}"
    local = [Path(folder.path), *Path(folder.path).parents] if folder.is_local else []
    made = list(takewhile(lambda path: not path.exists(), local))
    folder.write(name, b"")
    folder.delete([name])
    with suppress(OSError):  # another command may have begun to use them
        for path in made:
            path.rmdir()


class Saver:
    """Saves checkpoints in a thread, one at a time, and keeps the newest `keep` and the best.

    The error of a failed save is raised by the next call. `damaged` are steps of damaged checkpoints: they do not count
    as kept until they are saved again. If another run saves to the same folder, the saver refuses to save.
    """

    def __init__(self, folder: Folder, keep: int, damaged: Iterable[int] = ()) -> None:
        self.folder, self.keep, self.damaged = folder, keep, set(damaged)
        self._known = set(with_retry(lambda: ck.marked(folder), ck.PATIENCE_S))
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._finished: list[Saved] = []

    def save(self, checkpoint: ck.Checkpoint) -> None:
        """Start saving, after the save before it has ended."""
        self.wait()
        self._thread = threading.Thread(target=self._save, args=(checkpoint,), name="save", daemon=True)
        self._thread.start()

    def _save(self, checkpoint: ck.Checkpoint) -> None:
        started = time.perf_counter()
        try:
            self._check_no_other_run()
            self._known.add(checkpoint.step)
            size = ck.save(self.folder, checkpoint)
            self.damaged.discard(checkpoint.step)
            self._finished.append(Saved(checkpoint.step, time.perf_counter() - started, size))
            with_retry(lambda: ck.prune(self.folder, self.keep, self.damaged), ck.PATIENCE_S)
        except BaseException as error:
            self._error = error

    def _check_no_other_run(self) -> None:
        others = sorted(set(with_retry(lambda: ck.marked(self.folder), ck.PATIENCE_S)) - self._known)
        if others:
            raise UserError(
                f"{self.folder.url}: another run saves here (it wrote {ck.name_of(others[-1])}), so this one stops. "
                "Give every run its own folder. To resume from the checkpoints in this one, run the same command again."
            )

    def take_finished(self) -> list[Saved]:
        """Return the saves that have finished since the last call."""
        finished, self._finished = self._finished, []
        return finished

    def wait(self) -> None:
        """Wait for the save under way, if any; raises its error."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error
