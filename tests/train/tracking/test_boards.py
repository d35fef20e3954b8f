"""Trackers, by modules that stand in for theirs: what they are told, and what happens when they fail."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UserError
from pipeline.storage.folder import Folder
from tests.train.runs import overrides
from train.checkpoint import format as ck
from train.loop.trainer import train
from train.recipe import load_recipe
from train.tracking.boards import Tracked

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
    """A module that stands in for a tracker's, and what it was told."""

    store: str
    folder: Path
    monkeypatch: pytest.MonkeyPatch

    def run(self, name: Tracked, module: str, **environment: str) -> list[Any]:
        """What the module was told by a short run."""
        (self.folder / f"{name}.py").write_text(module)
        self.monkeypatch.syspath_prepend(self.folder)
        self.monkeypatch.delitem(sys.modules, name, raising=False)
        for variable, value in {"FAKE_LOG": str(self.folder / "told.jsonl"), **environment}.items():
            self.monkeypatch.setenv(variable, value)
        recipe = load_recipe("demo", overrides({"run__windows": 160, "run__validate_every": 80}))
        assert train(recipe, self.store, str(self.folder / "out"), "auto", None, name) == 0
        del sys.modules[name]
        return [json.loads(line) for line in (self.folder / "told.jsonl").read_text().splitlines()]


@pytest.fixture
def tracking(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tracking:
    return Tracking(store, tmp_path, monkeypatch)


def test_numbers_go_to_weights_and_biases_and_a_run_does_without_it_when_it_fails(
    tracking: Tracking, capsys: pytest.CaptureFixture[str]
) -> None:
    told = tracking.run("wandb", FAKE_WANDB, FAKE_FAILS="yes")
    assert told[0][:3] == ["init", "persondays", "demo"]
    assert told[0][4:] == ["allow", 0]
    steps = {line[1]: line[2] for line in told[1:] if "train/loss" in line[2]}
    assert list(steps) == [5]
    assert {"train/loss", "train/windows_per_s", "train/reversal/accuracy"} <= set(steps[5])
    assert capsys.readouterr().err.count("wandb fails (the server is gone); the run goes on without it") == 1


def test_numbers_go_to_mlflow(tracking: Tracking) -> None:
    told = tracking.run("mlflow", FAKE_MLFLOW)
    assert told[0] == ["experiment", "persondays"]
    assert told[1][1]["run_name"] == "demo"
    assert told[1][1]["run_id"] is None
    assert told[2] == ["dict", 0, "settings.json"]
    assert [line[1] for line in told if line[0] == "log" and "validation/real/loss" in line[2]] == [0, 5, 10]
    assert told[-2:] == [["flush"], ["end"]]


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_tracker_that_is_not_there_is_said_before_the_first_step(store: str, tmp_path: Path, name: Tracked) -> None:
    with pytest.raises(UserError, match=f"--track {name}: .*pip install {name}"):
        train(load_recipe("demo", overrides({})), store, str(tmp_path), "auto", None, name)
    assert ck.complete(Folder(str(tmp_path))) == {}
