"""numba's `njit` with one cache of compiled code per machine, keyed by the content of the source.

numba itself caches beside the source, or by the path of the source. So every fresh clone, container and working
directory of a cluster job compiles for ten seconds in its first worker. It also checks one file only, and misses a
changed constant or loop in an imported file. Here the name of an entry is a digest of the file and of all project files
that it imports. So the same code is compiled once, wherever it is stored, and an image can ship the cache
(`infra/image/Dockerfile`). Entries never change; the folder may be deleted at any time.

The folder is `NUMBA_CACHE_DIR`, else `persondays` in the user's cache folder (`XDG_CACHE_HOME`, `~/.cache`). Only this
user should be able to write there, because its content is executed. Where it is not writable (a read-only container, a
user without a home), a private folder in the temporary folder takes its place and starts with the entries of the first;
without that, every process compiles for itself. A warning names the place that is used.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core import caching

from pipeline.private_folder import private_folder, writable

config: Any = numba.config
LOCATORS = "pipeline.numerics.jit.ByContent"
REPORTED = "PERSONDAYS_CACHE_REPORTED"
"""Environment variable that is set once the warning has been given; worker processes inherit it."""
ROOT = Path(__file__).resolve().parents[2]
_IMPORT = re.compile(r"^from ((?:pipeline|ingest|train)[\w.]*) import (\([^)]*\)|.*)", re.MULTILINE)

log = logging.getLogger(__name__)

Function = TypeVar("Function", bound=Callable[..., Any])


def njit(**options: Any) -> Callable[[Function], Function]:
    """Return numba's decorator, with this cache in place of its own."""

    def decorate(function: Function) -> Function:
        if options.get("cache") and folder() is None:
            uncached: Function = numba.njit(**options | {"cache": False})(function)
            return uncached
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
        name = f"{path.stem}-{self._digest[:24]}"
        found = folder()
        assert found is not None  # njit leaves the cache out where there is no folder
        if found != chosen_folder():
            _copy_entries(chosen_folder(), found, name)
        self._cache_path = str(found / name)

    def get_source_stamp(self) -> str:
        """Return what must be equal for an entry to be valid."""
        return self._digest

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> ByContent:
        """Return the locator for a function, with its folder created."""
        self = cls(py_func, py_file)
        self.ensure_cache_path()
        return self


def chosen_folder() -> Path | None:
    """Return the folder that the user's environment names; None for a user without a home."""
    if config.CACHE_DIR:
        return Path(config.CACHE_DIR)
    try:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:
        return None
    return Path(home) / "persondays"


@cache
def folder() -> Path | None:
    """Return the folder of compiled code that this process uses: the user's, a temporary one, or None."""
    chosen = chosen_folder()
    if chosen is not None and writable(chosen):
        return chosen
    place = private_folder()
    if REPORTED not in os.environ:
        os.environ[REPORTED] = "1"
        log.warning(
            "cannot write compiled code to %s: %s. Set NUMBA_CACHE_DIR to a folder of yours that lasts.",
            chosen or "a home folder, as this user has none",
            f"keeping it in {place}" if place else "every process compiles for itself, which takes seconds",
        )
    return place


def _copy_entries(source: Path | None, target: Path, name: str) -> None:
    """Copy a function's entries from a folder that is only readable, such as one shipped in an image."""
    if source is None or (target / name).exists() or not (source / name).is_dir():
        return
    fresh = Path(tempfile.mkdtemp(dir=target))
    try:
        shutil.copytree(source / name, fresh / name)
        os.rename(fresh / name, target / name)
    except OSError:  # unreadable, or another process has been faster: compiling again is correct too
        log.debug("cannot copy compiled code", exc_info=True)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
