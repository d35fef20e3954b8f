"""The trainer as users run it: as one process, by torchrun, interrupted, killed, resumed."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UserError
from pipeline.storage.folder import Folder
from tests.train.runs import alone, command, run, same_checkpoint, wait_for
from tests.waiting import PATIENCE_S
from train.checkpoint import format as ck
from train.optim.schedule import rate_at
from train.optim.settings import OptimizerSettings
from train.recipe import load_recipe
from train.tracking.log import read_lines, wilson


@pytest.fixture(scope="module")
def straight(store: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed run of one process."""
    folder = tmp_path_factory.mktemp("straight")
    assert alone(store, folder) == 0
    return folder


def test_a_run_writes_checkpoints_and_a_log(straight: Path) -> None:
    scores = ck.complete(Folder(str(straight)))
    assert sorted(scores) == [5, 10, 15, 20, 25, 30]
    assert [step for step, score in sorted(scores.items()) if score is not None] == [10, 20, 30]
    lines = read_lines(straight / "logs" / "log.jsonl")
    assert lines[0]["kind"] == "start"
    assert lines[0]["settings"]["network"]["width"] == 0.0625
    validations = [line for line in lines if line["kind"] == "validation"]
    assert [line["seen"] for line in validations] == [0, 160, 320, 480]
    for line in validations:
        for kind in ("real", "noise", "phase"):
            assert line[kind]["windows"] == 4 * 100
            for task in ("reversal", "permutation", "warp"):
                result = line[kind][task]
                assert 0 <= result["low"] <= result["accuracy"] <= result["high"] <= 1
    assert any(path.name.startswith("events") for path in (straight / "logs").iterdir())
    state = ck.open_checkpoint(str(straight)).state
    assert state.windows_seen == 480
    assert len(state.facts.validation_participants) == 2
    assert state.facts.versions["torch"] == version("torch")


def test_a_finished_run_has_nothing_to_do(store: str, straight: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert alone(store, straight) == 0
    assert "nothing to do: 480 windows seen" in capsys.readouterr().out


def test_killed_and_resumed_equals_never_killed(store: str, straight: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(command(store, tmp_path, held={14: tmp_path / "gate"}), stderr=subprocess.DEVNULL)
    wait_for(tmp_path, 2)
    process.kill()
    process.wait()
    steps = ck.complete(Folder(str(tmp_path)))
    assert 30 not in steps
    assert alone(store, tmp_path) == 0
    same_checkpoint(straight, tmp_path, 30)
    seen = [line["seen"] for line in read_lines(tmp_path / "logs" / "log.jsonl") if line["kind"] == "validation"]
    assert seen == [0, 160, 320, 480]


def test_ctrl_c_saves_and_explains_how_to_resume(store: str, straight: Path, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    process = subprocess.Popen(command(store, tmp_path, held={9: gate}), stderr=subprocess.PIPE, text=True)
    wait_for(tmp_path, 1)
    process.send_signal(signal.SIGINT)
    gate.touch()
    _, output = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert "SIGINT: will save after this step or the next, then exit" in output
    assert "run the same command again to resume" in output
    assert "Traceback" not in output
    assert alone(store, tmp_path) == 0
    same_checkpoint(straight, tmp_path, 30)


def test_weights_that_are_not_finite_are_never_saved(store: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="start a new run"):
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
    ("settings", "output"),
    [
        ({"run__batch": 18}, "make it 16 or 20"),
        ({"data__seconds": 30}, "set data.seconds = 10"),
        ({"network__presets": "x"}, "did you mean 'preset'"),
        ({"network__preset": "harnet11"}, "harnet10"),
        ({"data__where": "nothing > 1"}, "cannot be run"),
        ({"data__where": "slot > 1000"}, "none of 10 person-days"),
        ({"run__windows": 0}, "at least 1"),
        ({"data__min_wear_hours": "nan"}, "min_wear_hours: expected 0 to 24"),
        ({"data__windows_per_day": 0}, "windows_per_day: expected at least 1"),
        ({"run__threads": -1}, "threads: expected at least 1"),
        ({"optimizer__rate_per_512": -1}, "rate_per_512: expected a number above 0"),
    ],
)
def test_mistakes_are_explained(store: str, tmp_path: Path, settings: dict[str, Any], output: str) -> None:
    with pytest.raises(UserError, match=output):
        alone(store, tmp_path, **settings)


def test_a_mistake_is_one_message_and_exit_1(store: str, tmp_path: Path) -> None:
    done = run(store, tmp_path, run__batch=18)
    assert done.returncode == 1
    assert "make it 16 or 20" in done.stderr
    assert "Traceback" not in done.stderr


def test_checkpoints_of_another_run_are_refused(store: str, straight: Path) -> None:
    with pytest.raises(UserError, match=r"network\.width: then 0\.0625, now 0\.25"):
        alone(store, straight, network__width=0.25, run__windows=960)
    with pytest.raises(UserError, match="--resume never"):
        alone(store, straight, "never")


def test_two_processes_report_a_missing_store_once(tmp_path: Path) -> None:
    done = run(str(tmp_path / "nowhere"), tmp_path / "checkpoints", 2)
    assert done.returncode == 1
    assert done.stderr.count("expected a window store, found none") == 1


def test_a_control_run_trains_on_noise(store: str, tmp_path: Path) -> None:
    assert alone(store, tmp_path, data__control="noise", run__windows=160) == 0
    state = ck.open_checkpoint(str(tmp_path)).state
    assert state.validation_loss == state.validation["noise"]["loss"]


def test_our_recipes_load_and_an_unknown_name_lists_them() -> None:
    for name in ("demo", "harnet5", "harnet10", "harnet30"):
        assert load_recipe(name).name == name
    with pytest.raises(UserError, match="demo, distil, hard_negatives"):
        load_recipe("harnet11")
    assert load_recipe("demo", ["run.windows=5", "data.where=device = 'AX3'"]).data.where == "device = 'AX3'"


def test_the_learning_rate_warms_up_and_follows_its_schedule() -> None:
    settings = OptimizerSettings(rate_per_512=1e-3, warmup_windows=1000, schedule="cosine", scaling="linear")
    rates = [rate_at(settings, 1024, seen, 11_000) for seen in (0, 500, 1000, 6000, 11_000)]
    assert rates == pytest.approx([2e-3 * 1024 / 2024, 2e-3 * 1524 / 2024, 2e-3, 1e-3, 0.0])
    assert rate_at(OptimizerSettings(scaling="sqrt"), 2048, 0, 10) == pytest.approx(2e-4)
    assert rate_at(OptimizerSettings(rate_cap=5e-5), 512, 0, 10) == 5e-5


def test_wilson_against_scipy() -> None:
    from scipy.stats import binomtest

    for correct, count in ((80, 100), (0, 7), (7, 7), (66_000, 131_072)):
        expected = binomtest(correct, count).proportion_ci(0.99, method="wilson")
        assert wilson(correct, count) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert json.dumps(wilson(0, 0)) == "[0.0, 1.0]"
