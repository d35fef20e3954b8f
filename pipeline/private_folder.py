"""A folder of this user alone in the temporary folder, for what belongs in a home folder where that is not writable."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path


def private_folder() -> Path | None:
    """Return the folder, created with mode 0700; None where that is impossible.

    Its name can be foreseen, so another user may have made it first: it is used only if it is not a link, is owned by
    this user and closed to all others.
    """
    try:
        path = Path(tempfile.gettempdir()) / f"persondays-cache-{os.geteuid()}"
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
    except OSError:
        return None
    private = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077
    return path if private and writable(path) else None


def writable(path: Path) -> bool:
    """Whether files can be written to a folder, which is created where there is none."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    except OSError:
        return False
    return True
