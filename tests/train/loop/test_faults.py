"""Faults: damaged checkpoints, signals, non-finite numbers, hanging processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.errors import UserError
from pipeline.storage.folder import Folder
from tests.train.runs import RECIPE, alone, background_run, overrides, ranks_of, run, wait_for
from tests.waiting import PATIENCE_S, until
from train.checkpoint import format as ck
from train.distributed.processes import Processes
from train.loop.messages import non_finite_message
from train.loop.meter import Meter, NonFinite
from train.loop.setup import prepare
from train.loop.signals import exit_status
from train.loop.step import take_step
from train.recipe import load_recipe
from train.tracking.log import read_lines

QUICK: dict[str, Any] = {"run__windows": 320, "run__validate_every": 320, "run__save_every": 80}


@pytest.fixture(scope="module")
def finished(store: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of twenty steps that saved every five."""
    folder = tmp_path_factory.mktemp("finished")
    assert alone(store, folder, **QUICK) == 0
    return folder


def damage(path: Path) -> None:
    """Flip a bit."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("file", [ck.MODEL, ck.OPTIMIZER, ck.MARKER])
def test_a_damaged_checkpoint_is_reported_and_the_one_before_is_used(
    store: str, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str
) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    newest = tmp_path / ck.name_of(20)
    if file == ck.MARKER:
        (newest / file).write_text("{")
    else:
        damage(newest / file)
    assert alone(store, tmp_path, run__keep=1, **QUICK) == 0
    output = capsys.readouterr().err
    assert f"{file} is damaged" in output
    assert "Resuming from step 15" in output
    assert "resuming after 240 windows" in output
    again, before = ck.read(Folder(str(tmp_path)), 20), ck.read(Folder(str(finished)), 20)
    assert all(torch.equal(value, before.model[name]) for name, value in again.model.items())


def test_a_damaged_checkpoint_never_replaces_an_intact_one(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    damage(tmp_path / ck.name_of(20) / ck.MODEL)
    folder = Folder(str(tmp_path))
    found, damaged = ck.newest(folder)
    assert (found.step, list(damaged)) == (15, [20])
    ck.prune(folder, 1, damaged)
    assert sorted(ck.complete(folder)) == [15, 20]
    assert ck.newest(folder)[0].step == 15


def test_no_new_run_starts_if_all_checkpoints_are_damaged(store: str, finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    for step in ck.complete(Folder(str(tmp_path))):
        damage(tmp_path / ck.name_of(step) / ck.STATE)
    with pytest.raises(UserError, match="all checkpoints are damaged"):
        alone(store, tmp_path, **QUICK)


def test_a_folder_that_cannot_be_written_is_found_before_the_first_step(store: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="expected a folder, found something else"):
        alone(store, tmp_path / "file" / "checkpoints")
    with pytest.raises(UserError, match="the folder cannot be created"):
        alone(store, Path("/proc/checkpoints"))


def test_no_folder_of_checkpoints_is_made_for_a_store_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected a window store"):
        alone(str(tmp_path / "elsewhere"), tmp_path / "checkpoints")
    assert not any(tmp_path.iterdir())


def test_sigusr1_before_pre_emption_saves_and_exits(store: str, tmp_path: Path) -> None:
    with background_run(store, tmp_path, run__windows=160_000, run__validate_every=160_000) as process:
        wait_for(tmp_path, 1)
        process.send_signal(signal.SIGUSR1)
        _, output = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 128 + signal.SIGUSR1
    assert "stopped by signal 10; run the same command again to resume" in output
    step = ck.open_checkpoint(str(tmp_path)).step
    lines = read_lines(tmp_path / "logs" / "log.jsonl")
    assert max(line["step"] for line in lines) == step
    saves = [line for line in lines if line["kind"] == "save"]
    saved = [line for line in lines if line["kind"] == "saved"]
    assert {line["saved_step"] for line in saved} == {line["step"] for line in saves}
    assert all(line["wait_s"] > 0 for line in saves)
    assert all(line["seconds"] > 0 and line["bytes"] > 100_000 for line in saved)


def test_exit_statuses() -> None:
    assert exit_status(0, False) == exit_status(0, True) == exit_status(signal.SIGUSR1, True) == 0
    assert exit_status(signal.SIGUSR1, False) == 138
    assert exit_status(signal.SIGTERM, True) == exit_status(signal.SIGTERM, False) == 143


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_signal_to_one_process_stops_all(store: str, tmp_path: Path) -> None:
    """After SIGTERM, sent when a machine shuts down, torchrun restarts its processes; SIGUSR1 ends it with 0."""
    long = {"run__windows": 160_000, "run__validate_every": 160_000}
    with background_run(store, tmp_path, 2, restarts=2, **long) as torchrun:
        wait_for(tmp_path, 1)
        first = ranks_of(torchrun)
        os.kill(first[1], signal.SIGTERM)
        stopped = ck.open_checkpoint(str(tmp_path)).step
        wait_for(tmp_path, stopped // 5 + 4)
        second = ranks_of(torchrun)
        assert not set(first) & set(second)
        os.kill(second[0], signal.SIGUSR1)
        _, output = torchrun.communicate(timeout=PATIENCE_S)
    assert torchrun.returncode == 0, output
    assert output.count("stopped by signal 15") == output.count("stopped by signal 10") == 1
    assert "resuming after" in output


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux signals the death of a parent")
def test_the_processes_of_a_killed_torchrun_stop(store: str, tmp_path: Path) -> None:
    with background_run(store, tmp_path, 2, run__windows=160_000, run__validate_every=160_000) as torchrun:
        wait_for(tmp_path, 1)
        ranks = ranks_of(torchrun)
        torchrun.kill()
        _, output = torchrun.communicate(timeout=PATIENCE_S)  # the ranks hold the pipe open
    assert "stopped by signal 15; run the same command again to resume" in output
    until(lambda: not any(_runs(rank) for rank in ranks))


def _runs(process: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    with suppress(FileNotFoundError):
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


def test_a_non_finite_loss_names_step_and_slots(store: str, tmp_path: Path) -> None:
    wild: dict[str, Any] = {"optimizer__rate_per_512": 1e30, "optimizer__warmup_windows": 0}
    with pytest.raises(UserError, match=r"the loss is nan at step \d+ .* from slots \d+.*start a new run") as error:
        alone(store, tmp_path, **wild)
    (line,) = [line for line in read_lines(tmp_path / "logs" / "log.jsonl") if line["kind"] == "broken"]
    assert f"at step {line['broken_step']} " in str(error.value)
    before = prepare(load_recipe(RECIPE, overrides({})), open_store(store), None, Processes(1))
    with before.stream:
        for _ in range(line["broken_step"]):
            windows = next(before.feed).windows
    assert line["slots"] == sorted(set(windows.slot_B.tolist()))
    assert line["broken_step"] <= 10, "found within the steps between two readings"


def open_store(url: str) -> Any:
    from pipeline.store.store import Store

    return Store.open(url)


def test_the_first_non_finite_step_and_its_process_are_found(store: str) -> None:
    run_ = prepare(load_recipe(RECIPE, overrides({})), open_store(store), None, Processes(1))
    with run_.stream:
        meter = Meter(run_.processes.device)
        steps = [take_step(run_) for _ in range(4)]
        steps[2].figures["loss_sum"].fill_(float("nan"))
        steps[3].figures["loss_sum"].fill_(float("inf"))
        for step in steps:
            meter.add(step)
        (reading,) = meter.read(run_.processes)
        broken = reading.non_finite
        assert (broken.step, broken.processes) == (3, [0])
        assert broken.slots == sorted(set(steps[2].place_BP[:, 2].tolist()))
        assert broken.norm_before == pytest.approx(float(steps[1].norm))
        for step in steps[:2]:
            meter.add(step)
        assert [reading.non_finite for reading in meter.read(run_.processes)] == [None]
        output = non_finite_message(NonFinite(3, float("nan"), 1.0, 2.0, [1], list(range(30))), run_)
        assert "slots 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19 ...." in output


HANGING = """
import sys, time
from train.loop.signals import Watchdog
def hanging_here():
    time.sleep(60)
with Watchdog(5.0, "process 3 of 8") as watchdog:
    for _ in range(60):
        watchdog.beat()
        time.sleep(0.1)
    print("beating", flush=True)
    hanging_here()
"""


def test_a_hanging_process_prints_its_stacks_and_exits() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HANGING], capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )
    assert done.returncode == 124
    assert done.stdout == "beating\n"
    assert "process 3 of 8 has taken no step for 5 s (run.timeout_s)" in done.stderr
    assert "in hanging_here" in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_hanging_rank_is_ended_and_the_run_resumes(store: str, tmp_path: Path) -> None:
    """One process is stopped; the other one notices, torchrun ends both and restarts them."""
    with background_run(store, tmp_path, 2, restarts=1, run__timeout_s=20.0) as torchrun:
        wait_for(tmp_path, 1)
        os.kill(ranks_of(torchrun)[1], signal.SIGSTOP)
        _, output = torchrun.communicate(timeout=500)
    assert torchrun.returncode == 0, output
    assert "process 0 of 2 has taken no step for 20 s" in output
    assert "previous_max" in output or "all_reduce" in output or "backward" in output
    assert "resuming after" in output
    assert "done: 480 windows seen" in output


def test_patience_ends_a_run(store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings: dict[str, Any] = {
        "run__patience": 32,
        "run__validate_every": 16,
        "optimizer__rate_per_512": 0.5,
        "run__windows": 1600,
    }
    assert alone(store, tmp_path, optimizer__warmup_windows=0, optimizer__clip_norm=1.0, **settings) == 0
    output = capsys.readouterr().err
    assert "(run.patience)" in output
    state = ck.open_checkpoint(str(tmp_path)).state
    assert state.windows_seen - state.best[1] >= 32
    assert state.windows_seen < 1600


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_patience_ends_all_processes(store: str, tmp_path: Path) -> None:
    settings = {"run__patience": 32, "run__validate_every": 16, "optimizer__rate_per_512": 0.5, "run__windows": 1600}
    done = run(store, tmp_path, 2, optimizer__warmup_windows=0, optimizer__clip_norm=1.0, **settings)
    assert done.returncode == 0, done.stderr
    assert "(run.patience)" in done.stderr


def test_the_log_and_checkpoints_describe_the_run(store: str, finished: Path) -> None:
    start = read_lines(finished / "logs" / "log.jsonl")[0]
    assert start["settings"]["run"]["accumulate"] == 1
    assert start["settings"]["engine"] == {"name": "ddp", "zero_stage": 1, "deepspeed": None}
    assert len(start["code"].split("+")[0]) == 40 or start["code"].startswith("persondays ")
    assert start["versions"]["torch"] == version("torch"), "without +cu130, which a build for CUDA adds"
    assert sum(start["devices"].values()) == start["world_size"] == start["machines"] == 1
    assert start["store"]["fingerprint"] == open_store(store).attributes.fingerprint
    state = ck.open_checkpoint(str(finished)).state.to_json()
    assert {name: state[name] for name in ("code", "versions", "devices", "store")} == {
        name: start[name] for name in ("code", "versions", "devices", "store")
    }
    line = next(line for line in read_lines(finished / "logs" / "log.jsonl") if line["kind"] == "train")
    for name in ("seen", "epoch", "rate", "windows_per_s", "data_wait", "loss", "gradient_norm", "memory_gb"):
        assert line[name] > 0, name
