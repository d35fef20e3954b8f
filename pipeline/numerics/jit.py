"""numba's `njit`, whose compiled code is kept in one cache a machine, found by what it was made of.

numba by itself keeps it beside the source, or by the source's path: every fresh clone, working directory of a cluster's
job and container compiles for ten seconds in each worker that comes first. And it looks at the one file only, so that a
constant or a loop that was changed in a file which that one imports went unseen. Here the name of an entry is a digest
of the file and of all files of ours that it imports, so the same code is compiled once, wherever it lies, and an image
may bring it along (`infra/image/Dockerfile`). Entries are never changed; the folder may be deleted at any time.

The folder is `NUMBA_CACHE_DIR`, else `persondays` in the user's cache folder (`XDG_CACHE_HOME`, `~/.cache`). Only this
user may write there: what lies in it is run. Where it cannot be written, numba does as it always does.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core import caching

config: Any = numba.config
LOCATORS = "pipeline.numerics.jit.ByContent, UserProvidedCacheLocator, InTreeCacheLocator, UserWideCacheLocator"
ROOT = Path(__file__).resolve().parents[2]
_IMPORT = re.compile(r"^from ((?:pipeline|ingest|train)[\w.]*) import (\([^)]*\)|.*)", re.MULTILINE)


Function = TypeVar("Function", bound=Callable[..., Any])


def njit(**options: Any) -> Callable[[Function], Function]:
    """numba's decorator, with this cache before its own."""

    def decorate(function: Function) -> Function:
        before, config.CACHE_LOCATOR_CLASSES = config.CACHE_LOCATOR_CLASSES, LOCATORS
        try:
            compiled: Function = numba.njit(**options)(function)
            return compiled
        finally:
            config.CACHE_LOCATOR_CLASSES = before

    return decorate


def imported(path: Path) -> list[Path]:
    """The files of ours that a file of ours imports at its top."""
    found = []
    for module, names in _IMPORT.findall(path.read_text(encoding="utf-8")):
        place = ROOT.joinpath(*module.split("."))
        places = [place, *(place / name for name in re.findall(r"\w+", names.split("#")[0]))]
        candidates = (file for each in places for file in (each.with_suffix(".py"), each / "__init__.py"))
        found += [file for file in candidates if file.is_file()]
    return found


@cache
def digest(path: Path) -> str:
    """Of a file and all files of ours that it imports, directly or not: their names and contents."""
    seen, waiting = set[Path](), [path]
    while waiting:
        if (file := waiting.pop()) not in seen:
            seen.add(file)
            waiting += imported(file)
    total = sha256()
    for file in sorted(seen):
        total.update(file.relative_to(ROOT).as_posix().encode() + b"\0" + sha256(file.read_bytes()).digest())
    return total.hexdigest()


class ByContent(caching.UserProvidedCacheLocator):
    """Where the compiled code of a function of ours is kept."""

    def __init__(self, py_func: Any, py_file: str) -> None:
        path = Path(py_file).resolve()
        self._py_file, self._lineno = py_file, py_func.__code__.co_firstlineno
        self._digest = digest(path)
        self._cache_path = str(_folder() / f"{path.stem}-{self._digest[:24]}")

    def get_source_stamp(self) -> str:
        """What has to be the same for an entry to be of use."""
        return self._digest

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> ByContent | None:
        """The locator for a function; None where there is no place to write to."""
        try:
            self = cls(py_func, py_file)
            self.ensure_cache_path()
        except OSError:
            return None
        return self


def _folder() -> Path:
    if config.CACHE_DIR:
        return Path(config.CACHE_DIR)
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "persondays"
