"""A withdrawal that is killed at any step is completed by the next run."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.store.store import Store
from pipeline.withdraw.forget import forget
from pipeline.withdraw.prove import prove
from tests.pipeline import six_participants as people
from tests.pipeline.six_participants import ANN, BOB, CLARA, DORA, EMIL, TODAY, files_in, traces

ROOT = Path(__file__).parents[3]


def _exists(pattern: str) -> Callable[[Path], bool]:
    return lambda store: any(store.glob(pattern))


def _is_deleted(name: str) -> Callable[[Path], bool]:
    return lambda store: not (store / name).exists()


MOMENTS = {
    "registered": _exists(f"withdrawn/{ANN}"),
    "days deleted": _exists("tables/person_days/_delta_log/*06.json"),
    "recordings deleted": _exists("tables/recordings/_delta_log/*05.json"),
    "some objects": _is_deleted("signal/c/2/0/0"),
    "more objects": _is_deleted("state/c/8/0"),
    "plan deleted": _exists("tables/plan/_delta_log/*04.json"),
    "a checkpoint": _exists("tables/person_days/_delta_log/*.checkpoint.parquet"),
    "the log shorter": _is_deleted("tables/person_days/_delta_log/00000000000000000000.json"),
    "another checkpoint": _exists("tables/recordings/_delta_log/_last_checkpoint"),
    "the last log shorter": _is_deleted("tables/plan/_delta_log/00000000000000000000.json"),
    "done for one": _exists("withdrawn/*.purged"),
}

KILLED = """
import os, sys, threading
from pathlib import Path
from pipeline.cli import run_command
from pipeline.withdraw.command import withdraw
from tests.pipeline.withdraw.test_withdraw_killed import MOMENTS
moment, store = MOMENTS[sys.argv.pop(1)], Path(sys.argv.pop(1))
def watch(frame, event, argument):
    if frame.f_globals.get("__name__", "").startswith(("pipeline.", "fsspec.")) and moment(store):
        os.kill(os.getpid(), 9)
threading.setprofile(watch)
sys.setprofile(watch)
sys.exit(run_command(withdraw, "withdraw"))
"""
"""Kills itself at the first call or return at which a moment has come."""


def start(store: Path, who: Path) -> subprocess.Popen[bytes]:
    line = [sys.executable, "-m", "pipeline", "withdraw", "--store", str(store), "--participants", str(who)]
    return subprocess.Popen(line, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _require_others_unchanged(folder: Path) -> None:
    """Rows and days of the others are unchanged at any moment."""
    store = Store.open(str(folder))
    days = people.days_of(store, [BOB, EMIL])
    kept = {row["slot"]: row["checksum"] for row in people.rows_of(store, [BOB, EMIL]) if "checksum" in row}
    assert days == kept
    assert len(days) == 3


def _ends_well(folder: Path, who: list[str]) -> None:
    _require_others_unchanged(folder)
    forget(Store.open(str(folder)), who, TODAY)
    assert traces(files_in(folder), who) == []
    assert prove(Store.open(str(folder))).participants == len(who)
    _require_others_unchanged(folder)


SHORT = ("registered", "days deleted", "some objects", "plan deleted", "the log shorter")


@pytest.mark.parametrize(
    "moment", [moment if moment in SHORT else pytest.param(moment, marks=pytest.mark.slow) for moment in MOMENTS]
)
def test_a_withdrawal_killed_at_a_step_is_completed_by_the_next_run(made: Path, tmp_path: Path, moment: str) -> None:
    folder, who = tmp_path / "store", tmp_path / "who"
    shutil.copytree(made, folder)
    who.write_text(f"{ANN}\n{DORA}\n{CLARA}\n")
    line = [sys.executable, "-c", KILLED, moment, str(folder), "--store", str(folder), "--participants", str(who)]
    killed = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert {ANN, DORA, CLARA} & Store.open(str(folder)).withdrawals.participants()
    _ends_well(folder, [ANN, DORA, CLARA])


@pytest.mark.slow
def test_a_withdrawal_killed_at_any_moment_is_completed_by_the_next_run(made: Path, tmp_path: Path) -> None:
    """Forty kills, spread over the time an undisturbed run takes from registration to its end."""
    random = np.random.default_rng(0)
    who = tmp_path / "who"
    who.write_text(f"{ANN}\n{DORA}\n{CLARA}\n")
    killed = 0
    for number in range(40):
        folder = tmp_path / str(number)
        shutil.copytree(made, folder)
        process = start(folder, who)
        while not (folder / "withdrawn" / ANN).exists():
            time.sleep(0.001)
        time.sleep(random.uniform(0, 0.3))
        os.kill(process.pid, signal.SIGKILL)
        killed += process.wait() != 0
        _ends_well(folder, [ANN, DORA, CLARA])
        shutil.rmtree(folder)
    assert killed > 20
