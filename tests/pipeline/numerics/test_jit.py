"""Cached code is found wherever its sources are, and never after any of them has changed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pipeline.numerics.jit import REPORTED, ROOT, _copy_entries, digest, imported

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


def ask(root: Path, cache: Path | None, **environment: str) -> list[int]:
    """Return, from a new process, the result, and how many signatures were cached and compiled."""
    return answer(run(root, cache, **environment))


def run(root: Path, cache: Path | None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `CALL` in a new process that has to succeed."""
    variables = {name: value for name, value in os.environ.items() if name != REPORTED}
    variables |= {"PYTHONPATH": str(root), **({"NUMBA_CACHE_DIR": str(cache)} if cache else {}), **environment}
    done = subprocess.run([sys.executable, "-c", CALL], cwd=root, env=variables, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return done


def answer(done: subprocess.CompletedProcess[str]) -> list[int]:
    """The numbers that `CALL` has printed."""
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


def test_without_a_writable_folder_a_private_temporary_one_is_used_and_reported_once(tmp_path: Path) -> None:
    root, temporary = clone(tmp_path / "a"), tmp_path / "t"
    (tmp_path / "file").touch()
    temporary.mkdir()
    done = run(root, tmp_path / "file" / "cache", TMPDIR=str(temporary))
    assert answer(done) == [2, 0, 1]
    (private,) = temporary.iterdir()
    assert private.stat().st_mode & 0o777 == 0o700
    (message,) = done.stderr.splitlines()
    assert str(private) in message
    again = run(root, tmp_path / "file" / "cache", TMPDIR=str(temporary), **{REPORTED: "1"})
    assert (answer(again), again.stderr) == ([2, 1, 0], "")


def test_a_user_without_a_home_or_a_name_gets_a_private_temporary_folder() -> None:
    if os.geteuid():
        pytest.skip("only root can become a user without a name")
    environment = {name: value for name, value in os.environ.items() if name not in ("HOME", "NUMBA_CACHE_DIR")}
    become = "import os; os.setgid(54321); os.setuid(54321); print(folder())"
    with tempfile.TemporaryDirectory(dir="/tmp") as temporary:  # pytest's own folders are closed to that user
        os.chmod(temporary, 0o777)
        done = subprocess.run(
            [sys.executable, "-c", f"from pipeline.numerics.jit import folder; {become}"],
            cwd=ROOT,
            env={**environment, "TMPDIR": temporary},
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{temporary}/persondays-cache-54321"
    assert "this user has none" in done.stderr


@pytest.mark.parametrize("fault", ["open to others", "a link", "of another user"])
def test_a_temporary_folder_that_others_could_write_to_is_not_used(tmp_path: Path, fault: str) -> None:
    root, temporary = clone(tmp_path / "a"), tmp_path / "t"
    (tmp_path / "file").touch()
    temporary.mkdir()
    planted = temporary / f"persondays-cache-{os.geteuid()}"
    if fault == "a link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        planted.symlink_to(tmp_path / "elsewhere")
    else:
        planted.mkdir(mode=0o700)
        if fault == "open to others":
            planted.chmod(0o770)
        elif os.geteuid():
            pytest.skip("only root can give a folder away")
        else:
            os.chown(planted, 54321, 54321)
    done = run(root, tmp_path / "file" / "cache", TMPDIR=str(temporary))
    assert answer(done)[0] == 2
    assert "compiles for itself" in done.stderr
    assert not list(planted.iterdir())


def test_a_shipped_cache_that_is_only_readable_is_used(tmp_path: Path) -> None:
    shipped, private = tmp_path / "shipped", tmp_path / "private"
    (shipped / "name").mkdir(parents=True)
    (shipped / "name" / "entry").write_text("code")
    private.mkdir()
    for _ in range(2):
        _copy_entries(shipped, private, "name")
        _copy_entries(shipped, private, "absent")
        assert [path.name for path in private.iterdir()] == ["name"]
        assert (private / "name" / "entry").read_text() == "code"


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
    loaded = (
        "import sys, importlib, pipeline, ingest, train; before = set(sys.modules); "
        "importlib.import_module(sys.argv[1]); "
        "tops = ('pipeline', 'ingest', 'train'); new = {n: m for n, m in sys.modules.items() if n not in before}; "
        "print(*(m.__file__ for n, m in new.items() if n.split('.')[0] in tops))"
    )
    said = subprocess.run(
        [sys.executable, "-c", loaded, module], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    packages = {ROOT / top / "__init__.py" for top in ("pipeline", "ingest", "train")} | {
        parent / "__init__.py" for file in found for parent in file.parents
    }
    assert {Path(path) for path in said.split()} - packages <= found
    assert len(digest(ROOT / name)) == 64
