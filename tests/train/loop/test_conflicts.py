"""Conflicts: another run's checkpoints or log, another store, settings of older code, a second Ctrl-C."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.errors import UserError
from pipeline.storage.folder import Folder
from pipeline.store.store import Store
from tests.train.days import write_store
from tests.train.runs import alone, command
from tests.waiting import PATIENCE_S, until
from train.checkpoint import format as ck
from train.checkpoint.saver import Saver
from train.checkpoint.state import State
from train.tracking.log import read_lines

SHORT: dict[str, Any] = {"run__windows": 160, "run__validate_every": 80}


def a_checkpoint(step: int) -> ck.Checkpoint:
    return ck.Checkpoint({"w": torch.full((3,), float(step))}, State(step))


def test_of_two_runs_in_one_folder_the_second_to_save_stops(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    ck.save(folder, a_checkpoint(1))
    ours, other = Saver(folder, keep=2), Saver(folder, keep=2)
    for step in (2, 3, 4):
        ours.save(a_checkpoint(step))
        ours.wait()
    other.save(a_checkpoint(5))
    with pytest.raises(UserError, match=r"another run saves here \(it wrote step-000000004\)"):
        other.wait()
    assert sorted(ck.complete(folder)) == [3, 4]
    ours.save(a_checkpoint(6))
    ours.wait()
    assert ck.newest(folder)[0].step == 6


def test_the_log_of_another_run_is_not_overwritten(store: str, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    assert alone(store, tmp_path / "one", logs=logs, **SHORT) == 0
    before = (logs / "log.jsonl").read_text()
    with pytest.raises(UserError, match=r"has the log of another run, whose checkpoints are in .*one\. Name a"):
        alone(store, tmp_path / "two", logs=logs, **SHORT)
    assert (logs / "log.jsonl").read_text() == before
    for file in (tmp_path / "one").glob("step-*/complete.json"):
        file.unlink()
    assert alone(store, tmp_path / "one", logs=logs, **SHORT) == 0, "the same run, started again"
    assert [line["kind"] for line in read_lines(logs / "log.jsonl")].count("start") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="a place where even root cannot make a folder")
def test_a_log_folder_that_cannot_be_made_is_reported(store: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--log-folder /proc/logs: cannot be written"):
        alone(store, tmp_path, logs=Path("/proc/logs"), **SHORT)


def test_a_store_of_other_days_or_other_settings_is_refused(store: str, tmp_path: Path) -> None:
    assert alone(store, tmp_path / "out", **SHORT) == 0
    other = write_store(str(tmp_path / "store"), people=5, days=2, seconds=1200).folder.url
    with pytest.raises(UserError, match="trained on other person-days"):
        alone(other, tmp_path / "out", **SHORT | {"run__windows": 240})
    root = Path(other) / "zarr.json"
    root.write_text(root.read_text().replace(Store.open(other).attributes.fingerprint, "0" * 16))
    with pytest.raises(UserError, match="trained on another store"):
        alone(other, tmp_path / "out", **SHORT | {"run__windows": 240})


def test_a_setting_newer_than_the_checkpoint_counts_as_its_default(store: str, tmp_path: Path) -> None:
    assert alone(store, tmp_path, **SHORT) == 0
    found = ck.open_checkpoint(str(tmp_path))
    del found.state.settings["network"]["sync_batch_norm"]
    ck.save(Folder(str(tmp_path)), found)
    longer: dict[str, Any] = SHORT | {"run__windows": 240}
    with pytest.raises(UserError, match=r"network\.sync_batch_norm: then False, now True"):
        alone(store, tmp_path, network__sync_batch_norm=True, **longer)
    assert alone(store, tmp_path, **longer) == 0


def test_a_checkpoint_without_its_stream_is_not_resumed(store: str, tmp_path: Path) -> None:
    assert alone(store, tmp_path, **SHORT) == 0
    found = ck.open_checkpoint(str(tmp_path))
    state = replace(found.state, facts=replace(found.state.facts, stream=None))
    ck.save(Folder(str(tmp_path)), replace(found, state=state))
    with pytest.raises(UserError, match=r"step-0+\d+: expected the lanes and the version of the tables in state\.json"):
        alone(store, tmp_path, **SHORT | {"run__windows": 240})


def test_tensorboard_shows_every_validation_of_a_resumed_run(store: str, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for windows in (160, 240):
        assert alone(store, tmp_path, **SHORT | {"run__windows": windows}) == 0
        ended = int(time.time())
        while int(time.time()) == ended:  # TensorBoard orders files by the second in their names
            time.sleep(0.01)
    board = EventAccumulator(str(tmp_path / "logs"))
    board.Reload()
    assert [event.step for event in board.Scalars("validation/real/loss")] == [0, 5, 10, 15]


STUCK = """
import sys, time
from train.checkpoint import format
from train.loop import trainer
format.save = lambda *_: time.sleep(1000)
step = trainer.take_step
trainer.take_step = lambda run: (time.sleep(0.5), step(run))[1]
from pipeline.cli import run_command
from train.command import train
sys.exit(run_command(train, "train"))
"""


def test_a_second_ctrl_c_does_not_wait_for_the_save(store: str, tmp_path: Path) -> None:
    """The storage never answers; the second one comes before the run waits for it."""
    python, _, _, *arguments = command(store, tmp_path, run__windows=16_000)
    process = subprocess.Popen([python, "-c", STUCK, *arguments], stderr=subprocess.PIPE, text=True)
    try:
        log = tmp_path / "logs" / "log.jsonl"
        until(lambda: log.exists() and any(line["kind"] == "save" for line in read_lines(log)), process)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        output = ""
        while "SIGINT" not in output:  # two signals sent before the process runs again would count as one
            output += (line := process.stderr.readline())
            assert line, "the first one lets the step finish"
        process.send_signal(signal.SIGINT)
        output += process.communicate(timeout=PATIENCE_S)[1]
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert "Traceback" not in output
