"""Two devices on simulated people, through all commands: simulate, ingest, align, train with pairs of windows."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.identity import load_key, write_new_key
from pipeline.store.alignments import read_alignments
from pipeline.store.store import Store
from tests.train.runs import background_run, run, same_checkpoint, wait_for
from train.checkpoint import format as ck

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
PEOPLE = 5
TRAINING = {
    "objective__name": "simclr",
    "objective__simclr__positive": "same_time",
    "network__preset": "transformer10",
    "network__width": 0.25,
    "run__windows": 320,
}


def command(*arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `raw`, `key` and `store`: three hours of five people on wrist and hip, aligned."""
    made = tmp_path_factory.mktemp("devices")
    write_new_key(made / "key")
    command("simulate", made / "raw", "--participants", PEOPLE, "--days", 0.125, "--devices", 2, "--seed", 3)
    ingest = ("--recordings", made / "raw", "--store", made / "store", "--key-file", made / "key", "--workers", 2)
    command("ingest", *ingest, "--id-regex", r"(P\d+)_", "--any-location")
    assert f"{PEOPLE} now" in command("align", made / "store", "--workers", 2)
    return made


def test_the_clocks_of_the_simulator_are_found(folder: Path) -> None:
    store, key = Store.open(str(folder / "store")), load_key(folder / "key")
    clocks = {key.recording(row["file"]): row for row in pq.read_table(folder / "raw/_clocks.parquet").to_pylist()}
    days = {row["slot"]: row for row in store.person_days.read().to_pylist()}
    rows = [row for row in read_alignments(store, store.alignments.version) if not row.refused]
    assert len({frozenset((days[row.slot]["recording"], days[row.other_slot]["recording"])) for row in rows}) == PEOPLE
    for row in rows:
        own, other = (clocks[days[slot]["recording"]] for slot in (row.slot, row.other_slot))
        begins, begins_there = (np.datetime64(days[slot]["day"], "us") for slot in (row.slot, row.other_slot))
        start = np.datetime64(own["start"], "us")
        tick = (own["offset_s"] + 5_400) * 30 + (start - begins) / np.timedelta64(1, "s") * 30
        true = other["offset_s"] + 5_400 * (1 + (other["drift_ppm"] - own["drift_ppm"]) / 1e6)
        wanted = (true + (start - begins_there) / np.timedelta64(1, "s")) * 30
        found = tick + row.offset_ticks + row.drift_ppm / 1e6 * (tick - 30 * row.first_second)
        assert found == pytest.approx(wanted, abs=2.0)  # in the middle of three hours


def test_a_run_is_killed_and_resumed_to_the_bit(folder: Path, tmp_path: Path) -> None:
    store = str(folder / "store")
    assert run(store, tmp_path / "straight", **TRAINING).returncode == 0
    with background_run(store, tmp_path / "killed", held={12: tmp_path / "never"}, **TRAINING) as process:
        wait_for(tmp_path / "killed", 2)
        os.killpg(process.pid, signal.SIGKILL)
    assert run(store, tmp_path / "killed", **TRAINING).returncode == 0
    same_checkpoint(tmp_path / "straight", tmp_path / "killed", 20)


def test_two_processes_see_the_windows_of_one(folder: Path, tmp_path: Path) -> None:
    store = str(folder / "store")
    digests = []
    for processes in (1, 2):
        done = run(store, tmp_path / str(processes), processes, **TRAINING)
        assert done.returncode == 0, done.stderr[-2000:]
        digests.append(ck.open_checkpoint(str(tmp_path / str(processes))).state.windows_digest)
    assert digests[0] == digests[1]
