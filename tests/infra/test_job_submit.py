"""`ray job submit --working-dir . -- python -m ingest ...` on a real head whose Python does not have the project."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.infra.commands import copy_checkout
from tests.ingest.cohort import HOUR, KEY

pytestmark = pytest.mark.slow
START_S = 60.0
SECRETS = ("runs/participants-of-the-study.csv", "study.key", "private/names.csv")


@dataclass(frozen=True)
class Head:
    """A running head: the Python of its jobs, the environment to reach it with, and its folder."""

    python: Path
    environment: dict[str, str]
    folder: Path

    def submit(self, checkout: Path, *entrypoint: object) -> subprocess.CompletedProcess[str]:
        """Submit a job as users do, and wait for its end."""
        command = ["job", "submit", "--working-dir", ".", "--", *map(str, entrypoint)]
        return subprocess.run(
            [self.python, "-m", "ray.scripts.scripts", *command],
            cwd=checkout,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )

    def uploaded(self) -> list[set[str]]:
        """The files of each working folder that was uploaded to the head."""
        folders = self.folder.glob("session_2*/runtime_resources/working_dir_files/_ray_pkg_*/")
        return [{str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()} for root in folders]


def free_ports(count: int) -> list[int]:
    """Ports that no process listens on."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def processes_of(folder: Path) -> list[str]:
    """Command lines of running processes that name a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in line:
            found.append(line)
    return found


@pytest.fixture(scope="module")
def python_without_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with all packages of this one, by a path file. The project, an editable install, is not among them."""
    folder = tmp_path_factory.mktemp("python")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    (site,) = (folder / "lib").glob("python*/site-packages")
    (site / "packages.pth").write_text(sysconfig.get_path("purelib") + "\n")
    for module, there in (("ray", True), ("zarr", True), ("ingest", False), ("pipeline", False)):
        asked = subprocess.run([python, "-c", f"import {module}"], cwd=folder, capture_output=True, check=False)
        assert (asked.returncode == 0) == there, module
    return python


@pytest.fixture(scope="module")
def head(python_without_project: Path) -> Iterator[Head]:
    """A head of two CPUs with token authentication, in a process group of its own."""
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # sockets below it need a short path
    gcs, dashboard, agent, agent_grpc, client, metrics = free_ports(6)
    token = folder / "token"
    token.write_text(secrets.token_hex(32))
    bin_ = str(python_without_project.parent)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "PYTHON"))}
    environment = inherited | {
        "PATH": f"{bin_}{os.pathsep}{os.environ['PATH']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_USAGE_STATS_ENABLED": "0",
        "PERSONDAYS_KEY": KEY.secret.hex(),
    }
    start = [
        "start",
        "--head",
        "--block",
        "--node-ip-address=127.0.0.1",
        f"--port={gcs}",
        f"--dashboard-port={dashboard}",
        f"--dashboard-agent-listen-port={agent}",
        f"--dashboard-agent-grpc-port={agent_grpc}",
        f"--ray-client-server-port={client}",
        f"--metrics-export-port={metrics}",
        "--num-cpus=2",
        "--object-store-memory=100000000",
        f"--temp-dir={folder}",
    ]
    with (folder / "head.log").open("w") as log:
        process = subprocess.Popen(
            [python_without_project, "-m", "ray.scripts.scripts", *start],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        address = f"http://127.0.0.1:{dashboard}"
        wait_for(address, process, folder / "head.log")
        yield Head(python_without_project, environment | {"RAY_ADDRESS": address}, folder)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        left = processes_of(folder)
        shutil.rmtree(folder, ignore_errors=True)
    assert left == []


def wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the dashboard answers; a refusal without a token counts as an answer."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"{address}/api/version", timeout=1)
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.3)
    raise RuntimeError(f"the head did not start: {log.read_text()[-2000:]}")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this checkout, with files that git ignores beside it."""
    folder = tmp_path_factory.mktemp("checkout")
    copy_checkout(folder)
    for name in (*SECRETS, ".venv/pyvenv.cfg", "ingest/__pycache__/old.pyc", ".pytest_cache/v/cache/lastfailed"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("private")
    return folder


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three recordings of an hour."""
    from ingest.simulate.recording import simulate_recording

    folder = tmp_path_factory.mktemp("recordings")
    for number in (1, 2, 3):
        simulate_recording(folder / f"10000{number}_90001_0_0.cwa", 0, number, days=HOUR)
    return folder


def test_a_job_ingests_where_the_project_is_not_installed(
    head: Head, checkout: Path, recordings: Path, tmp_path: Path
) -> None:
    flags = ("--recordings", recordings, "--store", tmp_path / "store", "--id-regex", "ukb")
    job = head.submit(checkout, "python", "-m", "ingest", *flags)
    printed = job.stdout + job.stderr
    assert job.returncode == 0, printed
    assert re.search(r"^ingest: 3/3 recordings", printed, re.MULTILINE)
    assert re.search(r"^3 recordings done, 0 rejected", printed, re.MULTILINE)
    assert "Traceback" not in printed
    assert "90001" not in printed.replace(" ".join(map(str, flags)), "")
    assert KEY.secret.hex() not in printed

    from pipeline.store.store import Store

    store = Store.open(str(tmp_path / "store"))
    rows = store.person_days.read(["slot", "checksum"]).to_pylist()
    assert len(rows) >= 3
    assert all(store.read_day(row["slot"]).checksum() == row["checksum"] for row in rows)

    again = head.submit(checkout, "python", "-m", "ingest", *flags)
    assert again.returncode == 0
    assert "nothing to do: 3 recordings done" in again.stdout + again.stderr


def test_files_ignored_by_git_are_not_uploaded(head: Head, checkout: Path) -> None:
    assert head.submit(checkout, "python", "-c", "import ingest").returncode == 0
    uploads = head.uploaded()
    assert uploads
    for files in uploads:
        assert {"ingest/__main__.py", "pipeline/store/store.py"} <= files
        assert not files.intersection(SECRETS)
        assert not any(part in name for name in files for part in ("runs/", ".venv/", "old.pyc", ".pytest_cache"))


def test_a_failed_ingest_fails_the_job_with_one_message(head: Head, checkout: Path, tmp_path: Path) -> None:
    job = head.submit(
        checkout, "python", "-m", "ingest", "--recordings", tmp_path / "nowhere", "--store", tmp_path / "store"
    )
    printed = job.stdout + job.stderr
    assert job.returncode == 1
    assert "there is no such file or folder. Check --recordings." in printed
    assert "Traceback" not in printed


def test_the_head_refuses_a_wrong_token(head: Head, checkout: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "token"
    wrong.write_text(secrets.token_hex(32))
    unauthorised = Head(head.python, head.environment | {"RAY_AUTH_TOKEN_PATH": str(wrong)}, head.folder)
    assert unauthorised.submit(checkout, sys.executable, "-c", "print('in')").returncode != 0
