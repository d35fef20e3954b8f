"""The store that a command reads: one that is there, or one that `persondays ingest` makes first, as a process."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UserError


@dataclass(frozen=True)
class StoreInput:
    """A store, and the recordings that are ingested into it before it is read, with further flags for `ingest`."""

    store: str
    recordings: str | None
    key_file: Path | None
    flags: tuple[str, ...]

    @staticmethod
    def of(
        store: str | None, recordings: str | None, key_file: Path | None, flags: list[str] | None, out: str
    ) -> StoreInput:
        """Return the source that a command line names; a store that is to be made is OUT-store by default."""
        if store is None and recordings is None:
            raise UserError("--store or --recordings: expected one of them, found neither.")
        if flags and recordings is None:
            raise UserError(f"{flags[0]}: flags for ingest need --recordings. Add it, or remove them.")
        if key_file is not None and recordings is None:
            raise UserError(
                "--key-file: only ingest needs the key, so it needs --recordings. Add it, or leave out the key."
            )
        return StoreInput(store or f"{out.rstrip('/')}-store", recordings, key_file, tuple(flags or ()))

    def require_one_process(self, processes: int) -> None:
        """Raise UserError where several processes would ingest."""
        if self.recordings is not None and processes > 1:
            raise UserError("--recordings: expected one process, found several. Run `persondays ingest` first.")

    def ingest(self) -> None:
        """Ingest the recordings, if there are any to ingest; raises UserError if that fails."""
        if self.recordings is None:
            return
        key = ["--key-file", str(self.key_file)] if self.key_file else []
        command = [sys.executable, "-m", "pipeline", "ingest", "--recordings", self.recordings, "--store", self.store]
        status = subprocess.run([*command, *key, *self.flags], check=False).returncode
        if status == 130:
            raise KeyboardInterrupt
        if status:
            raise UserError(
                f"`persondays ingest` ended with exit status {status}; see above. Nothing was read from its store."
            )
