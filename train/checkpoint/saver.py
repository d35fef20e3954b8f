"""Saving in the background: a step waits for the copy to the host, never for the storage, unless a save is overdue."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass

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


def try_out(folder: Folder) -> None:
    """Write and delete a small file, as saving and pruning will; raises StorageError for what the storage refuses."""
    name = f"probe-{secrets.token_hex(4)}"
    folder.write(name, b"")
    folder.delete([name])


class Saver:
    """Saves one checkpoint at a time; a failed save is raised at the next call, never lost.

    The newest `keep` and the best stay. `damaged` are steps of checkpoints that are not sound: none counts as kept
    until it is written anew. A checkpoint that comes to lie there and is not of this saver is another run's: then it
    saves no more.
    """

    def __init__(self, folder: Folder, keep: int, damaged: Iterable[int] = ()) -> None:
        self.folder, self.keep, self.damaged = folder, keep, set(damaged)
        self._known = set(with_retry(lambda: ck.marked(folder), ck.PATIENCE_S))
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._news: list[Saved] = []

    def save(self, checkpoint: ck.Checkpoint) -> None:
        """Begin to save; waits for the save before it."""
        self.wait()
        self._thread = threading.Thread(target=self._save, args=(checkpoint,), name="save", daemon=True)
        self._thread.start()

    def _save(self, checkpoint: ck.Checkpoint) -> None:
        began = time.perf_counter()
        try:
            self._check_alone()
            self._known.add(checkpoint.step)
            size = ck.save(self.folder, checkpoint)
            self.damaged.discard(checkpoint.step)
            self._news.append(Saved(checkpoint.step, time.perf_counter() - began, size))
            with_retry(lambda: ck.prune(self.folder, self.keep, self.damaged), ck.PATIENCE_S)
        except BaseException as error:
            self._error = error

    def _check_alone(self) -> None:
        others = sorted(set(with_retry(lambda: ck.marked(self.folder), ck.PATIENCE_S)) - self._known)
        if others:
            raise UserError(
                f"{self.folder.url}: another run saves here as well ({ck.name_of(others[-1])} is its own), so this one "
                "ends. Give every run a folder of its own; run the same command again to go on from what lies there."
            )

    def news(self) -> list[Saved]:
        """What was saved since this was last asked."""
        news, self._news = self._news, []
        return news

    def wait(self) -> None:
        """Return when nothing is being saved; raises what went wrong."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error
