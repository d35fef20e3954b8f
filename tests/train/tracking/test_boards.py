"""Trackers, with fake modules: what they receive, and what happens when they fail."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UserError
from pipeline.storage.folder import Folder
from tests.train.runs import RECIPE, overrides
from train.checkpoint import format as ck
from train.loop.trainer import train
from train.recipe import load_recipe
from train.tracking.boards import TrackerName

FAKE = """
import json, os
lines = open(os.environ["FAKE_LOG"], "a")
def write(*values):
    print(json.dumps(values), file=lines, flush=True)
"""
FAKE_WANDB = (
    FAKE
    + """
class Run:
    def log(self, numbers, step):
        if step >= 10 and os.environ.get("FAKE_FAILS"):
            raise RuntimeError("the server is gone")
        write("log", step, numbers)
    def finish(self):
        write("finish")
def init(**values):
    write("init", values["project"], values["name"], values["id"], values["resume"], values["config"]["seed"])
    return Run()
"""
)
FAKE_MLFLOW = (
    FAKE
    + """
class Experiment: experiment_id = "7"
class Info: run_id = "r1"
class Found: info = Info
def set_experiment(name): write("experiment", name); return Experiment
class MlflowClient:
    def search_runs(self, experiments, text): return [Found] if os.environ.get("FAKE_FOUND") else []
def start_run(**values): write("start", values)
def log_dict(values, name): write("dict", values["seed"], name)
def log_metrics(numbers, step, synchronous): write("log", step, numbers)
def flush_async_logging(): write("flush")
def end_run(): write("end")
"""
)


@dataclass
class Tracking:
    """A fake tracker module, and the log of its calls."""

    store: str
    folder: Path
    monkeypatch: pytest.MonkeyPatch

    def run(self, name: TrackerName, module: str, **environment: str) -> list[Any]:
        """Train a short run and return the calls."""
        (self.folder / f"{name}.py").write_text(module)
        self.monkeypatch.syspath_prepend(self.folder)
        self.monkeypatch.delitem(sys.modules, name, raising=False)
        for variable, value in {"FAKE_LOG": str(self.folder / "calls.jsonl"), **environment}.items():
            self.monkeypatch.setenv(variable, value)
        recipe = load_recipe(RECIPE, overrides({"run__windows": 160, "run__validate_every": 80}))
        assert train(recipe, self.store, str(self.folder / "out"), "auto", None, name) == 0
        del sys.modules[name]
        return [json.loads(line) for line in (self.folder / "calls.jsonl").read_text().splitlines()]


@pytest.fixture
def tracking(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tracking:
    return Tracking(store, tmp_path, monkeypatch)


def test_numbers_go_to_weights_and_biases_until_it_fails(
    tracking: Tracking, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tracking.run("wandb", FAKE_WANDB, FAKE_FAILS="yes")
    assert output[0][:3] == ["init", "persondays", "multitask"]
    assert output[0][4:] == ["allow", 0]
    steps = {line[1]: line[2] for line in output[1:] if "train/loss" in line[2]}
    assert list(steps) == [5]
    assert {"train/loss", "train/windows_per_s", "train/reversal/accuracy"} <= set(steps[5])
    assert capsys.readouterr().err.count("wandb failed (the server is gone); the run continues without it") == 1


def test_numbers_go_to_mlflow(tracking: Tracking) -> None:
    output = tracking.run("mlflow", FAKE_MLFLOW)
    assert output[0] == ["experiment", "persondays"]
    assert output[1][1]["run_name"] == "multitask"
    assert output[1][1]["run_id"] is None
    assert output[2] == ["dict", 0, "settings.json"]
    assert [line[1] for line in output if line[0] == "log" and "validation/real/loss" in line[2]] == [0, 5, 10]
    assert output[-2:] == [["flush"], ["end"]]


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_missing_tracker_is_reported_before_the_first_step(store: str, tmp_path: Path, name: TrackerName) -> None:
    with pytest.raises(UserError, match=f"--track {name}: .*pip install {name}"):
        train(load_recipe(RECIPE, overrides({})), store, str(tmp_path), "auto", None, name)
    assert ck.complete(Folder(str(tmp_path))) == {}
