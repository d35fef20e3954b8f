"""A small backbone, a classifier fitted with it, and the command line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pipeline.cli import main
from tests.train.evaluate.labelled_sets import as_data, walkers
from tests.train.harnet_file import write_harnet
from train.classify.fit import FitSettings, fit_classifier, write_fit
from train.evaluate.cells import Cells
from train.networks import Encoder, NetworkSettings, make_network

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="session")
def backbone() -> Encoder:
    torch.manual_seed(0)
    return make_network(NetworkSettings("harnet5", 0.0625)).eval()


@pytest.fixture(scope="session")
def weights(backbone: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The backbone as a file of harnet weights."""
    return write_harnet(backbone, tmp_path_factory.mktemp("weights") / "weights.safetensors")


@pytest.fixture(scope="session")
def classifier(backbone: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fitted classifier of three activities; tests must not change it."""
    out = tmp_path_factory.mktemp("fitted") / "classifier"
    write_fit(fit_classifier(backbone, as_data(*walkers()), FitSettings()), out, Cells())
    return out


@pytest.fixture
def persondays(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command line: its exit status, standard output and standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["persondays", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        output = capsys.readouterr()
        return int(left.value.code or 0), output.out, output.err

    return run
