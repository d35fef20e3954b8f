"""`persondays simulate`: atomic files, runs that are resumed and never mixed, nothing left behind when stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from ingest.simulate.cohort import ARGUMENTS, TRUTH, SimulatedCohort, make
from ingest.simulate.recording import simulate_recording
from pipeline.errors import UserError
from tests.waiting import PATIENCE_S, until

COHORT = SimulatedCohort(participants=3, days=0.01, seed=4)
COMMAND = """
import signal, sys
from ingest.simulate.command import simulate
from pipeline.cli import run_command

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it in commands that end with &
    sys.exit(run_command(simulate, "simulate"))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("cohort") / "recordings"
    assert make(COHORT, made, workers=2) == 3
    return made


def command(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    call = [sys.executable, "-c", COMMAND, *map(str, arguments)]
    return subprocess.Popen(call, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def test_files_depend_neither_on_workers_nor_on_other_files(folder: Path, tmp_path: Path) -> None:
    for number in (1, 3):
        alone = tmp_path / f"{number}.cwa"
        simulate_recording(alone, COHORT.seed, number, days=COHORT.days)
        assert alone.read_bytes() == (folder / f"P000{number}.cwa").read_bytes()


def test_truth_table(folder: Path) -> None:
    table = pq.read_table(folder / TRUTH)
    assert table.column_names == ["participant", "start", "end", "activity", "cadence_hz", "wrist"]
    assert set(table["participant"].to_pylist()) == {"P0001", "P0002", "P0003"}
    start, end = table["start"].to_numpy(), table["end"].to_numpy()
    assert start.dtype == np.dtype("datetime64[us]")
    assert np.all(end > start)
    assert (end - start).sum().astype(float) / 1e6 == pytest.approx(3 * 864, abs=1e-3)


def test_a_second_run_writes_only_missing_files(folder: Path) -> None:
    whole = (folder / "P0002.cwa").read_bytes()
    kept = (folder / "P0001.cwa").stat().st_mtime_ns
    (folder / "P0002.cwa").unlink()
    (folder / TRUTH).unlink()
    (folder / ".P0002.cwa.partial").write_bytes(b"left by a kill")
    assert make(COHORT, folder, workers=1) == 1
    assert (folder / "P0002.cwa").read_bytes() == whole
    assert (folder / "P0001.cwa").stat().st_mtime_ns == kept
    assert (folder / TRUTH).exists()
    assert sorted(path.name for path in folder.iterdir()) == [
        "P0001.cwa",
        "P0002.cwa",
        "P0003.cwa",
        TRUTH,
        ARGUMENTS,
    ]
    assert make(COHORT, folder, workers=1) == 0


def test_the_command_says_when_there_is_nothing_to_do(folder: Path) -> None:
    with command(folder, "--participants", 3, "--days", 0.01, "--seed", 4) as process:
        assert "nothing to do" in process.communicate()[0]
    assert process.returncode == 0


@pytest.mark.parametrize(
    "other", [SimulatedCohort(3, 0.01, 5), SimulatedCohort(4, 0.01, 4), SimulatedCohort(3, 0.02, 4)]
)
def test_a_folder_with_other_arguments_is_refused(folder: Path, other: Any) -> None:
    with pytest.raises(UserError, match=r"was simulated with participants 3 days 0\.01 seed 4"):
        make(other, folder, workers=1)


def test_a_foreign_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(UserError, match="holds other files"):
        make(COHORT, tmp_path, workers=1)
    with pytest.raises(UserError, match="found a file"):
        make(COHORT, tmp_path / "letter.txt", workers=1)
    (tmp_path / ".film.partial").write_text("half")
    with pytest.raises(UserError, match="holds other files"):
        make(COHORT, tmp_path, workers=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".film.partial", "letter.txt"]


@pytest.mark.parametrize("arguments", [(0, 1.0, 0), (1, 0.0, 0), (1, 61.0, 0), (1, 1.0, -1), (1, float("nan"), 0)])
def test_impossible_cohorts_are_refused(arguments: Any) -> None:
    with pytest.raises(UserError, match="expected at least 1 participant"):
        SimulatedCohort(*arguments)


def children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in listed.read_text().split()] if listed.exists() else []


LONG_DAYS = 60
"""No machine simulates this many days before it is interrupted."""


def simulating(pid: int) -> list[int]:
    """Return the workers among the children."""
    return [child for child in children(pid) if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


def started(process: subprocess.Popen[str], out: Path, workers: int) -> list[int]:
    """Return the processes of a command once all its workers run and one of them writes a recording."""
    until(lambda: any(out.glob(".*.cwa.partial")) and len(simulating(process.pid)) == workers, process)
    return children(process.pid)


def wait_until_gone(pids: list[int]) -> None:
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


def test_workers_end_when_the_command_is_killed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = command(out, "--participants", 2, "--days", LONG_DAYS, "--workers", 1, start_new_session=True)
    workers = started(process, out, 1)
    process.kill()
    process.communicate(timeout=PATIENCE_S)
    wait_until_gone(workers)
    assert not list(out.glob("*.cwa"))


def test_a_killed_worker_is_an_error(tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = command(out, "--participants", 2, "--days", LONG_DAYS, "--workers", 1, start_new_session=True)
    started(process, out, 1)
    (worker,) = simulating(process.pid)
    os.kill(worker, signal.SIGKILL)
    error = process.communicate(timeout=PATIENCE_S)[1]
    assert process.returncode == 1
    assert "ended with status -9" in error
    assert [path.name for path in out.iterdir()] == [ARGUMENTS]


def test_ctrl_c_leaves_complete_files_and_no_process(tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = command(out, "--participants", 4, "--days", LONG_DAYS, "--workers", 2, start_new_session=True)
    workers = started(process, out, 2)
    os.killpg(process.pid, signal.SIGINT)
    error = process.communicate(timeout=PATIENCE_S)[1]
    assert process.returncode == 130
    assert "Run the same command again" in error
    assert "Traceback" not in error
    wait_until_gone(workers)
    assert [path.name for path in out.iterdir()] == [ARGUMENTS]
    assert json.loads((out / ARGUMENTS).read_text())["participants"] == 4
