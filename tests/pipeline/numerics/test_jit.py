"""Cached code is found wherever its sources are, and never after any of them has changed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.numerics.jit import ROOT, digest, imported

CALL = """
import numpy as np
from pipeline.store.person_day import _spread
ticks = np.zeros((3, 60), np.int16)
ticks[0, :30:2] = 2
found = _spread(ticks)
print(found.size, len(_spread.stats.cache_hits), len(_spread.stats.cache_misses))
"""


def clone(to: Path) -> Path:
    """Copy the package that both halves share."""
    shutil.copytree(ROOT / "pipeline", to / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    return to


def ask(root: Path, cache: Path) -> list[int]:
    """Return, from a new process, the result, and how many signatures were cached and compiled."""
    environment = {**os.environ, "PYTHONPATH": str(root), "NUMBA_CACHE_DIR": str(cache)}
    done = subprocess.run([sys.executable, "-c", CALL], cwd=root, env=environment, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return [int(number) for number in done.stdout.split()]


def test_another_clone_uses_the_cache_and_a_changed_constant_does_not(tmp_path: Path) -> None:
    first, second, cache = clone(tmp_path / "a"), clone(tmp_path / "deeper" / "b"), tmp_path / "cache"
    assert ask(first, cache) == [2, 0, 1]
    assert ask(second, cache) == [2, 1, 0]
    grid = second / "pipeline" / "grid.py"  # person_day imports it, and numba by itself would not check it
    changed = grid.read_text().replace("SAMPLE_RATE_HZ = 30", "SAMPLE_RATE_HZ = 15")
    assert changed != grid.read_text()
    grid.write_text(changed)
    assert ask(second, cache) == [4, 0, 1]
    assert ask(first, cache) == [2, 1, 0]


def test_without_a_writable_folder_numba_uses_its_own_cache(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert ask(clone(tmp_path / "a"), tmp_path / "file" / "cache") == [2, 0, 1]


@pytest.mark.parametrize(
    "name", ["ingest/devices/axivity/reader.py", "pipeline/numerics/resample.py", "train/windows/draw.py"]
)
def test_a_digest_covers_the_files_that_python_imports(name: str) -> None:
    found, waiting = set(), [ROOT / name]
    while waiting:
        if (file := waiting.pop()) not in found:
            found.add(file)
            waiting += imported(file)
    module = name.removesuffix(".py").replace("/", ".")
    loaded = "import sys, importlib; before = set(sys.modules); importlib.import_module(sys.argv[1]); " + (
        "print(*(m.__file__ for n, m in sys.modules.items() if n.split('.')[0] in ('pipeline', 'ingest', 'train')))"
    )
    said = subprocess.run(
        [sys.executable, "-c", loaded, module], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    packages = {ROOT / top / "__init__.py" for top in ("pipeline", "ingest", "train")} | {
        parent / "__init__.py" for file in found for parent in file.parents
    }
    assert {Path(path) for path in said.split()} - packages <= found
    assert len(digest(ROOT / name)) == 64
