"""numba's `njit` with one cache of compiled code per machine, keyed by the content of the source.

numba itself caches beside the source, or by the path of the source. So every fresh clone, container and working
directory of a cluster job compiles for ten seconds in its first worker. It also checks one file only, and misses a
changed constant or loop in an imported file. Here the name of an entry is a digest of the file and of all project files
that it imports. So the same code is compiled once, wherever it is stored, and an image can ship the cache
(`infra/image/Dockerfile`). Entries never change; the folder may be deleted at any time.

The folder is `NUMBA_CACHE_DIR`, else `persondays` in the user's cache folder (`XDG_CACHE_HOME`, `~/.cache`). Only this
user should be able to write there, because its content is executed. Where it is not writable, numba's own cache is
used.
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
    """Return numba's decorator, with this cache before its own."""

    def decorate(function: Function) -> Function:
        before, config.CACHE_LOCATOR_CLASSES = config.CACHE_LOCATOR_CLASSES, LOCATORS
        try:
            compiled: Function = numba.njit(**options)(function)
            return compiled
        finally:
            config.CACHE_LOCATOR_CLASSES = before

    return decorate


def imported(path: Path) -> list[Path]:
    """Return the project files that a project file imports at its top."""
    found = []
    for module, names in _IMPORT.findall(path.read_text(encoding="utf-8")):
        place = ROOT.joinpath(*module.split("."))
        places = [place, *(place / name for name in re.findall(r"\w+", names.split("#")[0]))]
        candidates = (file for each in places for file in (each.with_suffix(".py"), each / "__init__.py"))
        found += [file for file in candidates if file.is_file()]
    return found


@cache
def digest(path: Path) -> str:
    """Return a digest of the names and contents of a file and of all project files that it imports, directly or not."""
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
    """Locates the cached code of a function by the content of its source."""

    def __init__(self, py_func: Any, py_file: str) -> None:
        path = Path(py_file).resolve()
        self._py_file, self._lineno = py_file, py_func.__code__.co_firstlineno
        self._digest = digest(path)
        self._cache_path = str(_folder() / f"{path.stem}-{self._digest[:24]}")

    def get_source_stamp(self) -> str:
        """Return what must be equal for an entry to be valid."""
        return self._digest

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> ByContent | None:
        """Return the locator for a function, or None where the folder is not writable."""
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
