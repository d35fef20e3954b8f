"""Folders of results that appear complete or not at all, and never replace anything but an earlier result."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.errors import UserError

IGNORED = {"__pycache__", ".DS_Store"}
"""Files that programs leave in a folder they open."""


@contextlib.contextmanager
def result_folder(out: Path, marker: str, kind: str, names: set[str]) -> Iterator[Path]:
    """Yield an empty folder to fill; it becomes `out` when the block ends without an error.

    `out` may be missing, empty, or an earlier result of the same kind: then its file `marker` is JSON with
    `{"format": kind}`, and it contains nothing but `names`. Raises UserError otherwise.
    """
    out = Path(os.path.abspath(out))
    require_replaceable(out, marker, kind, names)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".partial", dir=out.parent))
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        raise UserError(f"cannot create the folder {out} ({error.strerror}). Choose another with --out.") from None
    try:
        yield fresh
        require_replaceable(out, marker, kind, names)
        fresh.chmod(0o777 & ~_umask())
        old = fresh.with_suffix(".replaced")
        if out.exists():
            out.rename(old)
        fresh.rename(out)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def write_json(path: Path, values: Any) -> None:
    """Write values as indented JSON; raises ValueError for NaN, which is not JSON."""
    path.write_text(json.dumps(values, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def require_replaceable(out: Path, marker: str, kind: str, names: set[str]) -> None:
    """Raise UserError unless `result_folder` may write to `out`."""
    if not out.exists():
        return
    if not out.is_dir():
        raise UserError(f"{out} is a file: expected a folder to write to. Choose another name.")
    found = {entry.name for entry in out.iterdir()} - IGNORED
    if not found:
        return
    foreign = sorted(found - names)
    try:
        is_earlier = json.loads((out / marker).read_text(encoding="utf-8"))["format"] == kind
    except (OSError, ValueError, KeyError, TypeError):
        is_earlier = False
    if foreign or not is_earlier:
        raise UserError(
            f"{out} is not empty and not an earlier result of this command (found {(foreign or sorted(found))[0]}). "
            "Nothing was overwritten: choose another folder, or empty this one."
        )


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
