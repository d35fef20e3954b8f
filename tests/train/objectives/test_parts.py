"""Objectives and encoders are interchangeable: SimCLR, a transformer, and a third of each defined here, end to end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline.errors import UserError
from tests.train.days import write_store
from tests.train.runs import RECIPE
from tests.train.toy_encoder import Toy
from train.checkpoint import format as ck
from train.evaluate.dataset import LabelledSet
from train.evaluate.evaluation import Settings, evaluate
from train.export.folder import write_export
from train.labelled.files import LabelledWindows, write_labelled
from train.loop.trainer import train
from train.loop.validate import validate
from train.networks import NETWORKS, Network, NetworkSettings, make_network
from train.networks.model import Model
from train.networks.transformer import Transformer
from train.networks.weights import load_model
from train.objectives import OBJECTIVES, Objective
from train.objectives.objective import Figures
from train.objectives.simclr import Simclr, SimclrSettings
from train.random import WindowRandom
from train.recipe import load_recipe
from train.report.curves import draw_curves
from train.report.history import read_history
from train.report.numbers import final_numbers
from train.tracking.log import read_lines
from train.windows.pool import Windows

SMALL = (
    *("network.width=0.125", "data.lanes=4", "data.min_wear_hours=0", "data.threads=1", "run.threads=1"),
    *("run.batch=16", "run.windows=80", "run.validate_every=32", "run.save_every=80"),
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_store(str(tmp_path_factory.mktemp("made") / "store"), people=4, days=2).folder.url


def trained(store: str, folder: Path, *more: str) -> ck.Checkpoint:
    """Train for five steps and return the last checkpoint."""
    assert train(load_recipe(RECIPE, [*SMALL, *more]), store, str(folder), "auto", None) == 0
    return ck.open_checkpoint(str(folder))


class Moments(Objective):
    """A toy: predict the mean and the deviation of each axis. One view, one head, no accuracy."""

    def heads(self, features: int) -> dict[str, nn.Module]:
        return {"moments": nn.Linear(features, 6)}

    def views(self, x_BCT: Tensor, random: WindowRandom) -> tuple[Tensor, Tensor]:
        return x_BCT, torch.cat((x_BCT.mean(2), (x_BCT - x_BCT.mean(2, keepdim=True)).square().mean(2).sqrt()), 1)

    def loss(self, outputs: dict[str, Tensor], targets: Tensor) -> tuple[Tensor, Figures]:
        error = nn.functional.mse_loss(outputs["moments"], targets)
        count = torch.tensor(len(targets), dtype=torch.float64)
        return error, {"loss_sum": error.detach().double() * count, "count": count}


def test_a_third_objective_trains_is_resumed_reported_and_exported(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(OBJECTIVES, "moments", lambda settings: Moments())
    trained(store, tmp_path / "run", "objective.name=moments")
    last = trained(store, tmp_path / "run", "objective.name=moments", "run.windows=160")
    assert last.step == 10
    assert last.model["moments.weight"].shape == (6, 128)
    history = read_history(tmp_path / "run" / "logs")
    assert history.tasks == []
    assert [line["seen"] for line in history.validation] == [0, 32, 64, 80, 96, 128, 160]
    assert len(set(history.losses("real")[1])) == 7
    assert "loss" in {axes.get_title(loc="left") for axes in draw_curves(history, None).get_axes()}
    assert final_numbers(history, None, None)["tasks"] == {}
    write_export(last.model, last.state, tmp_path / "model", "checkpoint")
    assert load_model(tmp_path / "model").features == 128


def test_a_third_encoder_trains_is_exported_and_evaluated(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(NETWORKS, "toy10", Network(Toy, 300))
    with pytest.raises(UserError, match=r"toy10 takes windows of 10 s, data\.seconds is 5"):
        load_recipe(RECIPE, ["network.preset=toy10", "data.seconds=5"])
    last = trained(store, tmp_path / "run", "network.preset=toy10", "network.width=1.5")
    write_export(last.model, last.state, tmp_path / "model", "checkpoint")
    assert "toy_encoder.py" in {path.name for path in (tmp_path / "model").iterdir()}
    network = torch.hub.load(str(tmp_path / "model"), "toy10", source="local", pretrained=True, class_num=4)
    assert network(torch.zeros(2, 3, 300)).shape == (2, 4)
    loaded = load_model(tmp_path / "model")
    assert torch.equal(loaded.state_dict()["layer.weight"], last.model["feature_extractor.layer.weight"])
    results = evaluate(loaded, labelled(300), Settings(("random", "finetuned"), folds=2, epochs=1))
    assert len(results["rows"]["random"]["macro_f1"]["draws"]) == 5


def labelled(ticks: int) -> LabelledSet:
    """Two people, lying still or swinging."""
    random = np.random.default_rng(0)
    swing = np.sin(np.arange(ticks) / 5) * np.tile([0.0, 0.5], 24)[:, None, None]
    x_NCT = (random.normal(0, 0.02, (48, 3, ticks)) + swing).astype(np.float32)
    return LabelledSet(x_NCT, np.tile([0, 1], 24), np.repeat([0, 1], 24), ("still", "swing"), ("a", "b"), ())


SIMCLR = ("objective.name=simclr", "network.preset=transformer10", "network.width=0.25")


@pytest.fixture(scope="module")
def contrasted(store: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of SimCLR on the transformer, with a running mean of the weights and a probe."""
    folder, data = tmp_path_factory.mktemp("simclr"), labelled(300)
    y_N, pid_N = [data.classes[number] for number in data.y_N], [data.people[number] for number in data.person_N]
    write_labelled(folder / "labelled", LabelledWindows(data.x_NCT.transpose(0, 2, 1), y_N, pid_N), "made", {})
    trained(store, folder / "run", *SIMCLR, "optimizer.average_windows=32", f"probe.data={folder / 'labelled'}")
    return folder / "run"


def test_simclr_refuses_a_batch_in_pieces(store: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"run\.accumulate: simclr compares the windows of a batch"):
        trained(store, tmp_path, *SIMCLR, "run.accumulate=2")


def test_simclr_is_validated_by_day_with_controls(contrasted: Path) -> None:
    lines = [line for line in read_lines(contrasted / "logs" / "log.jsonl") if line["kind"] == "validation"]
    for line in lines:
        for windows in ("real", "noise", "phase"):
            assert line[windows]["windows"] == 400
            scores = line[windows]["contrast"]
            assert scores["guessing"] == pytest.approx(1 / 199)
            assert 0 <= scores["low"] <= scores["accuracy"] <= scores["high"] <= 1
    steps = [line for line in read_lines(contrasted / "logs" / "log.jsonl") if line["kind"] == "train"]
    assert steps[-1]["contrast"]["guessing"] == pytest.approx(1 / 31)
    assert steps[-1]["loss"] > 0


def test_figures_of_simclr_do_not_depend_on_the_distribution_of_days(store: str, contrasted: Path) -> None:
    """Processes score different days; their sums equal those of one process."""

    class Alone:
        device = torch.device("cpu")

        def sum(self, figures: dict[str, Tensor]) -> dict[str, float]:
            return {name: float(value) for name, value in figures.items()}

    generator = torch.Generator().manual_seed(1)
    count = torch.tensor([30, 2, 45, 20])
    place = torch.stack(
        (
            torch.full((97,), 0xFFFFFFFF),
            torch.zeros(97).long(),
            torch.arange(4).repeat_interleave(count),
            torch.arange(97),
        ),
        1,
    )
    windows = Windows(
        (1000 * torch.randn(97, 1, 3, 300, generator=generator)).to(torch.int16), place, torch.zeros(97, 0)
    )
    objective = Simclr(SimclrSettings())
    network = make_network(NetworkSettings("transformer10", 0.25))
    model = Model(network, objective.heads(network.features))

    def asked(part: Windows) -> dict[str, Any]:
        return validate(model, objective, part, {"real": lambda x, random: x}, 0, 1024.0, Alone())["real"]  # type: ignore[arg-type]

    whole = asked(windows)
    mine = torch.isin(windows.slot_B, torch.tensor([0, 2]))
    parts = [asked(windows.take(torch.nonzero(rows)[:, 0])) for rows in (mine, ~mine)]
    for name in ("loss", "contrast"):
        values = [each[name] if name == "loss" else each[name]["accuracy"] for each in (whole, *parts)]
        combined = sum(value * part["windows"] for value, part in zip(values[1:], parts, strict=True)) / 97
        assert values[0] == pytest.approx(combined, rel=1e-5)


def test_simclr_is_reported_with_its_own_chance_level(contrasted: Path, tmp_path: Path) -> None:
    history = read_history(contrasted / "logs")
    assert history.tasks == ["contrast"]
    assert history.guessing("contrast") == pytest.approx(1 / 199)
    figure = draw_curves(history, None)
    titles = {axes.get_title(loc="left") for axes in figure.get_axes()}
    assert {"contrast", "learning rate", "windows per second", "linear probe,\nmacro F1"} <= titles
    shown = {text.get_text() for text in figure.subfigs[0].legends[0].get_texts()}
    assert {"chance", "same network, noise only", "same windows, running mean of the weights"} <= shown
    numbers = json.loads(json.dumps(final_numbers(history, None, None)))
    assert numbers["tasks"]["contrast"]["real"]["guessing"] == pytest.approx(1 / 199)
    assert (numbers["probe"]["people"], numbers["probe"]["seen"]) == (2, 80)


def test_the_backbone_of_simclr_on_a_transformer_is_exported_loaded_by_the_hub_and_evaluated(
    contrasted: Path, tmp_path: Path
) -> None:
    last = ck.open_checkpoint(str(contrasted))
    backbone = write_export(last.model, last.state, tmp_path / "model", "checkpoint")
    assert isinstance(backbone, Transformer)
    names = {path.name for path in (tmp_path / "model").iterdir()}
    parts = {
        "README.md",
        "config.json",
        "downstream.py",
        "hub_mixin.py",
        "hubconf.py",
        "model.safetensors",
        "streaming.py",
    }
    assert names == {*parts, "transformer.py"}
    code = (
        f"import json, sys, torch; n = torch.hub.load({str(tmp_path / 'model')!r}, 'transformer10', source='local', "
        "pretrained=True, class_num=7).eval(); torch.manual_seed(0); x = torch.randn(2, 3, 300); "
        "print(json.dumps([n(x).shape, n.feature_extractor(x)[..., 0].tolist(), 'train' in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    shape, features, ours = json.loads(done.stdout)
    network = load_model(tmp_path / "model")
    torch.manual_seed(0)
    expected = network(torch.randn(2, 3, 300))[..., 0]
    assert (shape, ours) == ([2, 7], False)
    torch.testing.assert_close(torch.tensor(features), expected, rtol=0, atol=1e-5 * expected.abs().max().item())
    results = evaluate(load_model(tmp_path / "model"), labelled(300), Settings(("linear",), folds=2))
    assert np.sum(results["rows"]["linear"]["confusion"]) == 48
    with pytest.raises(ValueError, match="holds the weights of transformer10"):
        torch.hub.load(str(tmp_path / "model"), "transformer30", source="local", pretrained=True)
    with pytest.raises(RuntimeError, match="harnet10"):
        torch.hub.load(str(tmp_path / "model"), "harnet10", source="local")
    write_export(last.model, last.state, tmp_path / "model", "checkpoint")  # replaces the earlier one
