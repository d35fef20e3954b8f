"""A run in an environment where much of the usual is missing: home, user name, short paths, UTF-8, a working proxy."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.run.cluster import MAX_TEMPORARY_BYTES, ray_folder
from tests.ingest import cohort
from tests.ingest.runs import ROOT, assert_as_if_undisturbed

USER = 54321
"""A user id without a name."""
SOCKET = "/session_2026-01-31_23-59-59_999999_4194304/sockets/plasma_store"
"""What Ray appends to its folder; process numbers have seven digits at most."""
SOCKET_BYTES = 107


def hostile(**more: str) -> dict[str, str]:
    """The environment with a home that cannot exist, a locale without UTF-8, dead proxies, and with `more`."""
    dropped = ("NUMBA_CACHE_DIR", "MPLCONFIGDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "PERSONDAYS_CACHE_REPORTED")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    return {**kept, **proxies, **locale, "HOME": "/proc/nonexistent", **more}


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can write to; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o777)
        yield Path(folder)


@pytest.mark.parametrize("length", [20, MAX_TEMPORARY_BYTES, MAX_TEMPORARY_BYTES + 1, 200])
def test_sockets_have_short_paths_in_every_temporary_folder(
    length: int, open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(f"{open_folder}/".ljust(length, "x")) if length > len(f"{open_folder}/") else open_folder
    folder.mkdir(exist_ok=True)
    monkeypatch.setenv("RAY_TMPDIR", str(folder))
    with ray_folder() as found:
        assert len(f"{found}{SOCKET}") <= SOCKET_BYTES
        assert Path(found).parent.resolve() == folder.resolve()
        private = Path(found).parents[1]
        assert (private.stat().st_mode & 0o777 == 0o700) == (length > MAX_TEMPORARY_BYTES)
    assert folder.is_dir()
    assert private.exists() == (length <= MAX_TEMPORARY_BYTES)


@pytest.mark.slow
def test_a_run_needs_little_of_its_environment(cohort_folder: Path, open_folder: Path) -> None:
    """As root, run as a user without a name, who may read the program but owns nothing."""
    long = open_folder / ("ä" * 30)
    long.mkdir()
    long.chmod(0o777)
    store = open_folder / "störe"
    settings = cohort.settings(cohort_folder, store)
    given = {"--participants": settings.participants, "--key-file": settings.key_file}
    become: list[str] = []
    if not os.geteuid():
        reads_all = ["--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"]
        become = ["setpriv", *reads_all, f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
        for flag, path in given.items():
            given[flag] = Path(shutil.copy(str(path), open_folder))
            os.chown(str(given[flag]), USER, USER)
    command = [*become, sys.executable, "-m", "ingest", "--recordings", str(cohort_folder), "--store", str(store)]
    command += [str(part) for flag in given.items() for part in flag]
    done = subprocess.run(
        [*command, "--workers", "2"],
        env=hostile(TMPDIR=str(long)),
        cwd=ROOT,
        umask=0o077,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("cannot write compiled code") == 1
    assert (store / "zarr.json").is_file()
    assert not [path for path in Path("/tmp").glob("pd-*") if path.stat().st_uid == USER]


READ_ONLY = f"mount --bind {ROOT} {ROOT} && mount -o remount,ro,bind {ROOT}"
PLACES = {
    "read-only installation": ["unshare", "-m", "bash", "-c", f'{READ_ONLY} && exec "$@"', "-"],
    "no network": ["unshare", "-n", "bash", "-c", 'ip link set lo up; exec "$@"', "-"],
    "noexec": ["unshare", "-m", "bash", "-c", 'mount -t tmpfs -o noexec tmpfs /dev/shm && exec "$@"', "-"],
    "small shared memory": [
        "unshare",
        "-m",
        "bash",
        "-c",
        'mount -t tmpfs -o size=64m tmpfs /dev/shm && exec "$@"',
        "-",
    ],
    "one CPU": ["taskset", "-c", str(min(os.sched_getaffinity(0)))],
}


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_a_run_in_a_restricted_place(place: str, cohort_folder: Path, undisturbed: Path, tmp_path: Path) -> None:
    wrapper = PLACES[place]
    if shutil.which(wrapper[0]) is None or subprocess.run([*wrapper, "true"], capture_output=True).returncode:
        pytest.skip(f"{wrapper[0]} is not permitted here")
    store = tmp_path / "store"
    settings = cohort.settings(cohort_folder, store)
    command = [*wrapper, sys.executable, "-m", "ingest", "--recordings", str(cohort_folder), "--store", str(store)]
    command += ["--participants", str(settings.participants), "--key-file", str(settings.key_file)]
    done = subprocess.run(command, env=hostile(), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert_as_if_undisturbed(store, undisturbed)
