"""Optional parts of a run: the running mean of the weights, and the linear probe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.errors import UserError
from pipeline.storage.folder import Folder
from tests.train.runs import alone, same_checkpoint
from train.checkpoint import format as ck
from train.evaluate.dataset import read_labelled
from train.labelled.files import LabelledWindows, write_labelled
from train.loop.probe import probe
from train.networks import NetworkSettings, make_network
from train.optim.averaging import averages
from train.tracking.log import read_lines

KEPT: dict[str, Any] = {"optimizer__average_windows": 64, "run__validate_every": 80}


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four participants who lie still or shake."""
    random = np.random.default_rng(0)
    x = random.normal(0, 0.02, (64, 300, 3)).astype(np.float32) + np.array([0, 0, 1], np.float32)
    x[::2] *= random.uniform(0.5, 1.5, (32, 300, 1)).astype(np.float32)
    folder = tmp_path_factory.mktemp("labelled") / "set"
    windows = LabelledWindows(x, ["shake", "still"] * 32, [f"p{n // 16}" for n in range(64)])
    write_labelled(folder, windows, "made", {})
    return folder


def test_a_running_mean_is_kept_validated_and_resumed_to_the_bit(store: str, tmp_path: Path) -> None:
    assert alone(store, tmp_path / "whole", run__windows=320, **KEPT) == 0
    assert alone(store, tmp_path / "cut", run__windows=160, **KEPT) == 0
    assert alone(store, tmp_path / "cut", run__windows=320, **KEPT) == 0
    same_checkpoint(tmp_path / "whole", tmp_path / "cut", 20)
    found = ck.read(Folder(str(tmp_path / "cut")), 20)
    mean = averages(found.optimizer)
    assert mean.keys() == {name for name, value in found.model.items() if value.is_floating_point()}
    assert any(not torch.equal(value, found.model[name]) for name, value in mean.items())
    validations = [line for line in read_lines(tmp_path / "cut" / "logs" / "log.jsonl") if line["kind"] == "validation"]
    assert ["averaged" in line for line in validations] == [False, True, True, True, True]
    assert validations[-1]["averaged"]["windows"] == validations[-1]["real"]["windows"]
    assert validations[-1]["averaged"]["loss"] != validations[-1]["real"]["loss"]


def test_the_running_mean_is_the_mean_of_the_weights_after_each_step(store: str, tmp_path: Path) -> None:
    every_step = {"run__save_every": 16, "run__windows": 64}
    assert alone(store, tmp_path, **KEPT | every_step) == 0
    steps = [ck.read(Folder(str(tmp_path)), step) for step in (1, 2, 3, 4)]
    for name, value in averages(steps[-1].optimizer).items():
        expected = torch.stack([step.model[name] for step in steps]).mean(0)
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-6, msg=name)


def test_a_run_without_a_mean_does_not_resume_with_one(store: str, tmp_path: Path) -> None:
    assert alone(store, tmp_path, run__windows=80) == 0
    with pytest.raises(UserError, match=r"optimizer\.average_windows: then None, now 64"):
        alone(store, tmp_path, **KEPT)


def test_the_probe_is_logged_during_training_and_changes_nothing(store: str, labelled: Path, tmp_path: Path) -> None:
    assert alone(store, tmp_path / "bare", run__windows=160) == 0
    asked: dict[str, Any] = {"probe__data": labelled, "probe__every": 48, "run__windows": 160}
    assert alone(store, tmp_path / "probed", **asked) == 0
    same_checkpoint(tmp_path / "bare", tmp_path / "probed", 10)
    lines = [line for line in read_lines(tmp_path / "probed" / "logs" / "log.jsonl") if line["kind"] == "probe"]
    assert [line["seen"] for line in lines] == [0, 48, 96, 144, 160]
    torch.manual_seed(0)
    fresh = probe(make_network(NetworkSettings("harnet10", 0.0625)), read_labelled(labelled, 300))
    assert {name: lines[0][name] for name in fresh} == fresh


def test_a_missing_labelled_set_is_reported(store: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        alone(store, tmp_path, probe__data=tmp_path / "nowhere")
