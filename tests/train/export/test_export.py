"""Exported folders: loaded as users load them, counted, refused when wrong, written atomically."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pipeline.errors import UserError
from train.checkpoint.state import State, state_from_json
from train.export.card import shareable
from train.export.folder import write_export
from train.networks import NETWORKS
from train.networks.downstream import DownstreamNetwork
from train.networks.model import Model
from train.networks.weights import load_harnet_weights, load_model
from train.objectives.multitask import Multitask, MultitaskSettings

WIDTH = 0.125


@cache
def trained(preset: str = "harnet10") -> dict[str, Tensor]:
    """A model's tensors with BatchNorm statistics that are not the initial ones."""
    torch.manual_seed(5)
    network: Any = NETWORKS[preset].kind(preset, WIDTH)
    model = Model(network, Multitask(MultitaskSettings()).heads(network.features)).train()
    for _ in range(3):
        model(torch.randn(16, 3, network.ticks))
    return model.state_dict()


def state(preset: str = "harnet10") -> State:
    values = {
        "settings": {
            "network": {"preset": preset, "width": WIDTH},
            "optimizer": {"name": "adamw", "learning_rate": 1e-3, "amsgrad": True},
            "store": "s3://bucket/secret-person-1234",
            "where": "participant != 'Alice Smith'",
        },
        "windows_seen": 123_456,
        "step": 789,
        "versions": {"torch": "2.13.0+cpu", "numpy": "2.4.6"},
        "store": {"fingerprint": "0123456789abcdef", "key_check": "ab" * 32},
        "stream": {"table_version": 3, "lanes": 8, "members": 24},
        "participants": 12,
        "validation_participants": ["cd" * 32, "ef" * 32],
        "validation": {"real": {"reversal": {"accuracy": 0.71}}},
    }
    return state_from_json(values)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export") / "model"
    write_export(trained(), state(), out, "checkpoint")
    return out


def hub(folder: Path, name: str, **arguments: Any) -> nn.Module:
    network = torch.hub.load(str(folder), name, source="local", **arguments)
    assert isinstance(network, nn.Module)
    return network


def test_hub_gives_the_trained_backbone_under_a_new_classifier(exported: Path) -> None:
    network = hub(exported, "harnet10", pretrained=True, class_num=5).eval()
    assert len(network.state_dict()) == 135
    weights = trained()
    for name, tensor in network.state_dict().items():
        if name.startswith("feature_extractor."):
            assert torch.equal(tensor, weights[name]), name
    reference = DownstreamNetwork(load_model(exported), 5).eval()
    reference.classifier.load_state_dict(network.get_submodule("classifier").state_dict())
    x = torch.randn(4, 3, 300)
    assert torch.equal(network(x), reference(x))
    assert network.get_submodule("feature_extractor")(x).shape == (4, 128, 1)


def test_hub_needs_nothing_from_persondays(exported: Path, tmp_path: Path) -> None:
    code = f"""
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("train", "pipeline", "ingest", "numpy.testing"):
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
import torch
network = torch.hub.load({str(exported)!r}, "harnet10", source="local", pretrained=True, class_num=7, my_device="cpu")
print(tuple(network(torch.zeros(2, 3, 300)).shape))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(2, 7)"


@pytest.mark.parametrize("preset", ["harnet5", "harnet10", "harnet30", "transformer5"])
def test_an_export_can_be_scripted_saved_and_loaded(preset: str, tmp_path: Path) -> None:
    out = tmp_path / "model"
    write_export(trained(preset), state(preset), out, "checkpoint")
    network = hub(out, preset, pretrained=True, class_num=4).eval()
    torch.jit.script(network).save(str(tmp_path / "scripted.pt"))
    scripted = torch.jit.load(str(tmp_path / "scripted.pt"))
    assert network.state_dict().keys() <= scripted.state_dict().keys()  # with the positions of a transformer
    x = torch.randn(4, 3, NETWORKS[preset].ticks)
    torch.testing.assert_close(scripted(x), network(x))
    torch.testing.assert_close(scripted.train()(x), network.train()(x))
    for name, tensor in scripted.named_buffers():
        if "running" in name:
            torch.testing.assert_close(tensor, network.get_buffer(name))


def test_another_preset_is_random_or_refused(exported: Path) -> None:
    network = hub(exported, "harnet30", pretrained=False, class_num=3)
    assert network(torch.zeros(2, 3, 900)).shape == (2, 3)
    with pytest.raises(ValueError, match="holds the weights of harnet10, not of harnet30"):
        hub(exported, "harnet30", pretrained=True)
    random = hub(exported, "harnet10", pretrained=False).state_dict()["feature_extractor.layer1.0.weight"]
    assert not torch.equal(random, trained()["feature_extractor.layer1.0.weight"])


def test_two_exports_in_one_process_do_not_mix(exported: Path, tmp_path: Path) -> None:
    write_export(trained("harnet5"), state("harnet5"), tmp_path / "five", "checkpoint")
    assert hub(exported, "harnet10", pretrained=True)(torch.zeros(2, 3, 300)).shape == (2, 2)
    assert hub(tmp_path / "five", "harnet5", pretrained=True)(torch.zeros(2, 3, 150)).shape == (2, 2)
    with pytest.raises(ValueError, match="harnet5"):
        hub(tmp_path / "five", "harnet10", pretrained=True)


def test_changed_weights_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "model"
    write_export(trained(), state(), out, "checkpoint")
    data = bytearray((out / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (out / "model.safetensors").write_bytes(data)
    with pytest.raises(ValueError, match="export it again"):
        hub(out, "harnet10", pretrained=True)
    with pytest.raises(UserError, match=r"model\.safetensors is not the file that config\.json describes"):
        load_model(out)
    (out / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"model\.safetensors cannot be read"):
        load_model(out)


def test_files_and_config(exported: Path) -> None:
    assert {file.name for file in exported.iterdir()} - {"__pycache__"} == {
        "model.safetensors",
        "config.json",
        "harnet.py",
        "downstream.py",
        "hub_mixin.py",
        "streaming.py",
        "hubconf.py",
        "README.md",
    }
    assert len(load_file(exported / "model.safetensors")) == 139
    config = json.loads((exported / "config.json").read_text())
    assert config["network"] == {"preset": "harnet10", "width": WIDTH}
    assert config["input"] == {"axes": 3, "ticks": 300, "rate_hz": 30, "unit": "g"}
    assert config["weights"]["entries"] == 139


def test_card_has_the_numbers_and_no_identifiers(exported: Path) -> None:
    text = (exported / "README.md").read_text()
    assert "123,456 windows" in text
    assert "| person-days trained on | 24 |" in text
    assert "| people held out | 2 |" in text
    assert "| real.reversal.accuracy | 0.71 |" in text
    assert "| optimizer.learning_rate | 0.001 |" in text
    assert "| torch | 2.13.0+cpu |" in text
    everything = text + (exported / "config.json").read_text().replace("sha256", "")
    for secret in ("secret-person", "s3:", "Alice", "abab", "cdcd"):
        assert secret not in everything
    assert not re.search(r"TODO|FIXME|More information needed|\{[a-z]", text)


def test_shareable_keeps_numbers_and_plain_words_only() -> None:
    values = {
        "a": 1,
        "b": "cosine",
        "c": "/home/x",
        "d": "ab12" * 16,
        "e": float("nan"),
        "f": {"g": "s3://x"},
        "h": True,
    }
    assert shareable(values) == {"a": 1, "b": "cosine", "h": True}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda w: w.pop("feature_extractor.layer3.2.bn1.weight"), "layer3.2.bn1.weight is missing"),
        (lambda w: w.update({"feature_extractor.layer9.weight": torch.zeros(1)}), "layer9.weight is unexpected"),
        (lambda w: w.update({"feature_extractor.layer1.0.weight": torch.zeros(8, 3, 7)}), "has shape"),
        (lambda w: w["feature_extractor.layer1.5.kernel"].mul_(2), "fixed kernel"),
        (lambda w: w["feature_extractor.layer2.0.weight"].fill_(float("nan")), "not finite"),
    ],
)
def test_wrong_weights_are_refused(tmp_path: Path, damage: Any, message: str) -> None:
    weights = {name: tensor.clone() for name, tensor in trained().items()}
    damage(weights)
    with pytest.raises(UserError, match=message):
        write_export(weights, state(), tmp_path / "model", "the checkpoint")
    assert not list(tmp_path.iterdir())


def test_a_state_of_another_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="harnet30"):
        write_export(trained("harnet10"), state("harnet30"), tmp_path / "model", "the checkpoint")
    with pytest.raises(UserError, match="names a known network"):
        write_export(trained(), State(step=1), tmp_path / "model", "the checkpoint")


def test_an_earlier_export_is_replaced_and_nothing_else_is(exported: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    write_export(trained("harnet5"), state("harnet5"), out, "checkpoint")
    hub(out, "harnet5")  # leaves __pycache__
    write_export(trained(), state(), out, "checkpoint")
    assert (out / "model.safetensors").read_bytes() == (exported / "model.safetensors").read_bytes()
    assert [file.name for file in tmp_path.iterdir()] == ["model"]

    (out / "thesis.tex").write_text("mine")
    with pytest.raises(UserError, match=r"thesis\.tex"):
        write_export(trained(), state(), out, "checkpoint")
    assert (out / "thesis.tex").read_text() == "mine"

    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "README.md").write_text("another project")
    with pytest.raises(UserError, match="not an earlier result"):
        write_export(trained(), state(), tmp_path / "other", "checkpoint")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        write_export(trained(), state(), tmp_path / "file", "checkpoint")


def test_interrupted_export_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("train.export.folder.card", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_export(trained(), state(), tmp_path / "model", "checkpoint")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("preset", ["harnet5", "harnet10", "harnet30"])
def test_public_weights_are_recognised_by_their_shapes(tmp_path: Path, prefix: str, preset: str) -> None:
    weights = trained(preset)
    torch.save({prefix + name: tensor for name, tensor in weights.items()}, tmp_path / "weights.mdl")
    network = load_harnet_weights(tmp_path / "weights.mdl")
    assert (network.preset, network.width) == (preset, WIDTH)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, weights[f"feature_extractor.{name}"])


def test_files_without_weights_are_refused(tmp_path: Path) -> None:
    weights = trained()
    cases: dict[str, Any] = {
        "nested.pt": {"state_dict": weights},
        "partial.pt": {name: tensor for name, tensor in weights.items() if ".bn2." not in name},
        "heads.pt": {name: tensor for name, tensor in weights.items() if not name.startswith("feature_extractor.")},
    }
    for name, content in cases.items():
        torch.save(content, tmp_path / name)
    (tmp_path / "text.pt").write_text("hello")
    (tmp_path / "text.safetensors").write_text("hello")
    expected = {
        "nested.pt": "state dict",
        "partial.pt": "is missing",
        "heads.pt": "harnet5, harnet10 or harnet30",
        "text.pt": "file of weights",
        "text.safetensors": "file of weights",
        "absent.pt": "no such file",
    }
    for name, message in expected.items():
        with pytest.raises(UserError, match=message):
            load_harnet_weights(tmp_path / name)
    with pytest.raises(UserError, match="persondays export"):
        load_model(tmp_path)
