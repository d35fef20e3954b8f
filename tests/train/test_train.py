"""The trainer, run as users run it: alone, by torchrun, interrupted, killed, resumed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from pipeline.errors import UserError
from pipeline.storage import Folder
from tests.train.days import write_store
from train import checkpoint as ck
from train.log import read_lines, wilson
from train.recipe import OptimizerSettings, load_recipe
from train.schedule import rate_at
from train.trainer import train

SMALL = {
    "network.width": 0.125,
    "data.lanes": 4,
    "data.min_wear_hours": 0,
    "data.threads": 1,
    "run.batch": 16,
    "run.windows": 480,
    "run.validate_every": 160,
    "run.save_every": 80,
    "run.keep": 100,
    "run.threads": 1,
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_store(str(tmp_path_factory.mktemp("made") / "store"), people=5, days=2).folder.url


def overrides(settings: dict[str, Any]) -> list[str]:
    """Settings as section__key over the small ones, as the command line takes them."""
    return [
        f"{name}={value}" for name, value in (SMALL | {k.replace("__", "."): v for k, v in settings.items()}).items()
    ]


def alone(store: str, checkpoints: Path, resume: Literal["auto", "never"] = "auto", **settings: Any) -> int:
    """A run in this process."""
    return train(load_recipe("demo", overrides(settings)), store, str(checkpoints), resume, None)


def command(store: str, checkpoints: Path, processes: int = 1, **settings: Any) -> list[str]:
    """The command line of a run."""
    start = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
    flags = [part for override in overrides(settings) for part in ("--set", override)]
    return [sys.executable, *start, "-m", "train", "demo", "--store", store, "--checkpoints", str(checkpoints), *flags]


def run(*arguments: Any, **settings: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments, **settings), capture_output=True, text=True, check=False, timeout=200)


def same_checkpoint(left: Path, right: Path, step: int) -> None:
    a, b = ck.read(Folder(str(left)), step), ck.read(Folder(str(right)), step)
    assert a.model.keys() == b.model.keys()
    for name, value in a.model.items():
        assert torch.equal(value, b.model[name]), name
    for name, fields in a.optimizer.items():
        for key, value in fields.items():
            assert torch.equal(value, b.optimizer[name][key]), (name, key)
    assert a.state["validation"] == b.state["validation"]
    assert a.state[ck.SCORE] == b.state[ck.SCORE]


@pytest.fixture(scope="module")
def straight(store: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one process that nothing disturbed."""
    folder = tmp_path_factory.mktemp("straight")
    assert alone(store, folder) == 0
    return folder


def test_a_run_writes_checkpoints_and_a_log(straight: Path) -> None:
    scores = ck.complete(Folder(str(straight)))
    assert sorted(scores) == [5, 10, 15, 20, 25, 30]
    assert [step for step, score in sorted(scores.items()) if score is not None] == [10, 20, 30]
    lines = read_lines(straight / "logs" / "log.jsonl")
    assert lines[0]["kind"] == "start"
    assert lines[0]["settings"]["network"]["width"] == 0.125
    looks = [line for line in lines if line["kind"] == "validation"]
    assert [line["seen"] for line in looks] == [0, 160, 320, 480]
    for line in looks:
        for kind in ("real", "noise", "phase"):
            assert line[kind]["windows"] == 4 * 100
            for task in ("reversal", "permutation", "warp"):
                result = line[kind][task]
                assert 0 <= result["low"] <= result["accuracy"] <= result["high"] <= 1
    assert any(path.name.startswith("events") for path in (straight / "logs").iterdir())
    state = ck.open_checkpoint(str(straight)).state
    assert state["windows_seen"] == 480
    assert len(state["validation_participants"]) == 2
    assert state["versions"]["torch"] == torch.__version__


def test_run_again_there_is_nothing_to_do(store: str, straight: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert alone(store, straight) == 0
    assert "nothing to do: 480 windows seen" in capsys.readouterr().out


def test_killed_and_resumed_equals_never_killed(store: str, straight: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(command(store, tmp_path), stderr=subprocess.DEVNULL)
    wait_for(tmp_path, 2)
    process.kill()
    process.wait()
    steps = ck.complete(Folder(str(tmp_path)))
    assert 30 not in steps
    assert alone(store, tmp_path) == 0
    same_checkpoint(straight, tmp_path, 30)
    seen = [line["seen"] for line in read_lines(tmp_path / "logs" / "log.jsonl") if line["kind"] == "validation"]
    assert seen == [0, 160, 320, 480]


def wait_for(folder: Path, count: int) -> None:
    """Until so many checkpoints are complete."""
    deadline = time.monotonic() + 120
    while len(ck.complete(Folder(str(folder)))) < count:
        assert time.monotonic() < deadline, "no checkpoint came"
        time.sleep(0.02)


def test_ctrl_c_saves_and_says_how_to_go_on(store: str, straight: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(command(store, tmp_path), stderr=subprocess.PIPE, text=True)
    wait_for(tmp_path, 1)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=100)
    assert process.returncode == 130
    assert "run the same command again to go on" in told
    assert "Traceback" not in told
    assert alone(store, tmp_path) == 0
    same_checkpoint(straight, tmp_path, 30)


@pytest.mark.parametrize("processes", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_processes_killed_and_resumed_equal_processes_never_killed(store: str, tmp_path: Path, processes: int) -> None:
    """With other portions of saving, too: looking and saving do not change a run."""
    whole = run(store, tmp_path / "whole", processes)
    assert whole.returncode == 0, whole.stderr
    assert f"{processes} process(es)" in whole.stderr
    cut = command(store, tmp_path / "cut", processes, run__save_every=48)
    process = subprocess.Popen(cut, stderr=subprocess.DEVNULL, start_new_session=True)
    wait_for(tmp_path / "cut", 2)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert run(store, tmp_path / "cut", processes, run__save_every=48).returncode == 0
    same_checkpoint(tmp_path / "whole", tmp_path / "cut", 30)


def test_weights_that_are_not_finite_are_never_saved(store: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="begin anew"):
        alone(store, tmp_path, optimizer__rate_per_512=1e30, optimizer__warmup_windows=0)
    assert ck.complete(Folder(str(tmp_path))) == {}


def test_other_folders_beside_checkpoints_are_left_alone(store: str, straight: Path, tmp_path: Path) -> None:
    shutil.copytree(straight / "step-000000005", tmp_path / "step-000000005.bak")
    shutil.copytree(straight / "step-000000005", tmp_path / "release")
    shutil.copytree(straight / "step-000000010", tmp_path / "step-000000010")
    assert sorted(ck.complete(Folder(str(tmp_path)))) == [10]
    ck.prune(Folder(str(tmp_path)), keep=1)
    assert {path.name for path in tmp_path.iterdir()} == {"step-000000005.bak", "release", "step-000000010"}


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"run__batch": 18}, "make it 16 or 20"),
        ({"data__seconds": 30}, "set data.seconds = 10"),
        ({"network__presets": "x"}, "did you mean 'preset'"),
        ({"network__preset": "harnet11"}, "harnet10"),
        ({"data__where": "nothing > 1"}, "cannot be run"),
        ({"data__where": "slot > 1000"}, "none of 10 person-days"),
        ({"run__windows": 0}, "at least 1"),
        ({"run__threads": -1}, "threads: expected at least 1"),
        ({"optimizer__rate_per_512": -1}, "rate_per_512: expected a number above 0"),
    ],
)
def test_mistakes_are_explained(store: str, tmp_path: Path, settings: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        alone(store, tmp_path, **settings)


def test_a_mistake_is_one_message_and_exit_1(store: str, tmp_path: Path) -> None:
    done = run(store, tmp_path, run__batch=18)
    assert done.returncode == 1
    assert "make it 16 or 20" in done.stderr
    assert "Traceback" not in done.stderr


def test_checkpoints_of_another_run_are_refused(store: str, straight: Path) -> None:
    with pytest.raises(UserError, match=r"network\.width: then 0\.125, now 0\.25"):
        alone(store, straight, network__width=0.25, run__windows=960)
    with pytest.raises(UserError, match="--resume never"):
        alone(store, straight, "never")


def test_a_missing_store_is_said_once_by_two_processes(tmp_path: Path) -> None:
    done = run(str(tmp_path / "nowhere"), tmp_path / "checkpoints", 2)
    assert done.returncode == 1
    assert done.stderr.count("expected a window store, found none") == 1


def test_a_control_is_trained_on_noise(store: str, tmp_path: Path) -> None:
    assert alone(store, tmp_path, data__control="noise", run__windows=160) == 0
    state = ck.open_checkpoint(str(tmp_path)).state
    assert state[ck.SCORE] == state["validation"]["noise"]["loss"]


def test_our_recipes_load_and_a_missing_one_lists_them() -> None:
    for name in ("demo", "harnet5", "harnet10", "harnet30"):
        assert load_recipe(name).name == name
    with pytest.raises(UserError, match="demo, harnet10"):
        load_recipe("harnet11")
    assert load_recipe("demo", ["run.windows=5", "data.where=device = 'AX3'"]).data.where == "device = 'AX3'"


def test_the_learning_rate_warms_up_and_follows_its_schedule() -> None:
    settings = OptimizerSettings(rate_per_512=1e-3, warmup_windows=1000, schedule="cosine", scaling="linear")
    rates = [rate_at(settings, 1024, seen, 11_000) for seen in (0, 500, 1000, 6000, 11_000)]
    assert rates == pytest.approx([2e-3 * 1024 / 2024, 2e-3 * 1524 / 2024, 2e-3, 1e-3, 0.0])
    assert rate_at(OptimizerSettings(scaling="sqrt"), 2048, 0, 10) == pytest.approx(2e-4)
    assert rate_at(OptimizerSettings(rate_cap=5e-5), 512, 0, 10) == 5e-5


def test_wilson_against_its_formula() -> None:
    from scipy.stats import norm

    low, high = wilson(80, 100)
    z = norm.ppf(0.995)
    for bound in (low, high):
        assert abs(80 / 100 - bound) == pytest.approx(z * (bound * (1 - bound) / 100) ** 0.5)
    assert json.dumps(wilson(0, 0)) == "[0.0, 1.0]"
