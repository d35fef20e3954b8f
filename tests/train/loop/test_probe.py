"""The linear probe: equal to `evaluate` on the same network, and without effect on training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from train.evaluate.dataset import read_labelled
from train.evaluate.evaluation import Settings, evaluate
from train.labelled.files import LabelledWindows, write_labelled
from train.loop.probe import FOLDS, SEED, probe
from train.networks import NetworkSettings, make_network


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six participants who lie still, walk and turn."""
    random, time = np.random.default_rng(0), np.arange(150) / 30
    x, y, pid = [], [], []
    for person in range(6):
        rate, size = random.uniform(1.5, 2.5), random.uniform(0.1, 0.5)
        moves = {
            "still": np.zeros((3, 150)),
            "walk": size * np.sin(2 * np.pi * rate * time)[None] * np.ones((3, 1)),
            "turn": np.stack((np.sin(time), np.cos(time), 0 * time)),
        }
        for label, move in moves.items():
            for _ in range(8):
                x.append((move + random.normal(0, 0.02, (3, 150)) + np.array([[0], [0], [1]])).T)
                y.append(label)
                pid.append(f"p{person}")
    folder = tmp_path_factory.mktemp("labelled") / "set"
    write_labelled(folder, LabelledWindows(np.stack(x).astype(np.float32), y, pid), "made", {})
    return folder


def test_the_probe_equals_evaluate(folder: Path) -> None:
    torch.manual_seed(0)
    network, data = make_network(NetworkSettings("harnet5", 0.125)), read_labelled(folder, 150)
    found = probe(network, data)
    expected = evaluate(network, data, Settings(("linear",), folds=FOLDS, seed=SEED))["rows"]["linear"]
    assert found["macro_f1"] == pytest.approx(expected["macro_f1"]["mean"], abs=1e-12)
    assert found["kappa"] == pytest.approx(expected["kappa"]["mean"], abs=1e-12)
    assert (found["people"], found["windows"]) == (6, 144)
    assert found["macro_f1"] > 0.5


@pytest.mark.parametrize("training", [True, False])
def test_network_mode_and_random_numbers_do_not_change(folder: Path, training: bool) -> None:
    network = make_network(NetworkSettings("transformer5", 0.125)).train(training).double()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    threads, numbers = torch.get_num_threads(), torch.get_rng_state()
    probe(network, read_labelled(folder, 150))
    assert network.training is training
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), numbers)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
