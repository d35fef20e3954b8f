"""Ingest runs in processes of their own, as users start them, and what tests do to them and check afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pipeline.storage.folder import Folder
from pipeline.store.store import Store
from pipeline.verify.checks import check_store
from tests.ingest import cohort
from tests.waiting import until

ROOT = Path(__file__).parents[2]
Process = subprocess.Popen[str]


def start(recordings: Path | str, store: Path | str, ray: str | None = None, *flags: str, **how: Any) -> Process:
    """`python -m ingest` as a process group of its own, on the Ray at an address or one that it starts."""
    settings = cohort.settings(recordings, store) if isinstance(recordings, Path) else None
    command = [sys.executable, "-m", "ingest", "--recordings", str(recordings), "--store", str(store)]
    if settings is not None:
        command += ["--participants", str(settings.participants), "--key-file", str(settings.key_file)]
    command += ["--ray-address", ray] if ray else []
    command += flags if "--workers" in flags or ray else ["--workers", "2", *flags]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, start_new_session=True, text=True, cwd=ROOT, **pipes | how)


def when(process: Process, condition: Callable[[], bool], number: int) -> int:
    """Send a signal to the process group as soon as a condition holds; returns the exit status."""
    until(condition, process)
    os.killpg(process.pid, number)
    return process.wait()


def finish(recordings: Path | str, store: Path | str, ray: str | None = None, *flags: str, **how: Any) -> str:
    """Run to the end and return the summary."""
    return ended_well(start(recordings, store, ray, *flags, **how))


def ended_well(process: Process) -> str:
    """Wait for a run that has to succeed; returns the summary."""
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert "Traceback" not in err
    return out


def ended_with_one_message(process: Process) -> str:
    """Wait for a run that has to fail; returns its one message, which names nobody."""
    _, err = process.communicate()
    assert process.returncode == 1, err
    assert "Traceback" not in err
    (message,) = (line for line in err.splitlines() if line.startswith("error: "))
    assert not [part for part in cohort.NAMING if part in err.lower()], err
    return message


def commits(store: Path, table: str) -> int:
    """Number of commits of a table, including the one that created it."""
    return len(list((store / "tables" / table / "_delta_log").glob("*.json")))


def days_written(store: Path) -> int:
    """Person-days whose last object exists."""
    return len(list((store / "state" / "c").glob("*/0")))


def processes(ancestor: int, title: str) -> Iterator[int]:
    """Processes that descend from another and whose command line begins with a title."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
    for process in parents:
        line = [process]
        while line[-1] in parents and line[-1] != ancestor:
            line.append(parents[line[-1]])
        if line[-1] == ancestor and _command_line(process).startswith(title):
            yield process


def _command_line(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_text()
    except OSError:
        return ""


def kill_worker(process: Process, title: str, at: Callable[[int], bool]) -> None:
    """SIGKILL a worker of this process's Ray while it is where `at` says: it is stopped first and checked again."""
    while process.poll() is None:
        for worker in processes(os.getpid(), title):
            if not at(worker):
                continue
            os.kill(worker, signal.SIGSTOP)
            if at(worker) and _command_line(worker).startswith(title):
                os.kill(worker, signal.SIGKILL)
                return
            os.kill(worker, signal.SIGCONT)
    raise AssertionError(f"it ended too soon: {process.communicate()}")


def assert_as_if_undisturbed(store: Path | str, undisturbed: Path | str, but: tuple[str, ...] = ()) -> None:
    """Nothing lost, duplicated or left over: rows (except some columns), slots, objects and their bytes."""
    found, wanted = Store.open(str(store)), Store.open(str(undisturbed))
    for table in ("plan", "person_days", "recordings"):
        columns = [name for name in getattr(found, table).schema.names if name not in but]
        assert _rows(found, table, columns) == _rows(wanted, table, columns), table
    assert found.length == wanted.length
    names = cohort.objects(store)
    assert names == cohort.objects(undisturbed)
    for name in names:
        assert Folder(str(store)).read(name) == Folder(str(undisturbed)).read(name), name
    left = Folder(str(store))
    assert not [path for path in left.fs.find(left.path) if path.endswith((".partial", ".tmp")) or "#" in path]
    report = check_store(found, lambda slots: slots)
    assert not report.findings, [finding.plain() for finding in report.findings]


def _rows(store: Store, table: str, columns: list[str]) -> list[dict[str, Any]]:
    return sorted(getattr(store, table).read(columns).to_pylist(), key=lambda row: [str(row[name]) for name in columns])
