"""The further files of an export give what the network gives, and weights come back to the bit under every name."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pipeline.errors import UserError
from tests.train.evaluate.labelled_sets import save, walkers
from tests.train.export.test_export import WIDTH, hub, state, trained
from train.export.folder import Further, write_export
from train.export.shapes import OPSET, Written, made_windows, parse_shapes, require_same
from train.labelled.wisdm import find_files, read_samples, runs, windows_of
from train.networks import NETWORKS, NetworkSettings, make_network
from train.networks.downstream import DownstreamNetwork
from train.networks.weights import load_harnet_weights, load_model, read_weights

CLOSE: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-4}
CLASSES = 4
with_onnx = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxruntime", "onnxscript")),
    reason="needs the extra onnx",
)


def tuned(preset: str = "harnet10") -> nn.Module:
    """A network with a classifier, as fine-tuning leaves it."""
    torch.manual_seed(9)
    network: Any = DownstreamNetwork(NETWORKS[preset].kind(preset, WIDTH), CLASSES).train()
    for _ in range(2):
        network(torch.randn(16, 3, NETWORKS[preset].ticks))
    return network.eval()


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export with every file."""
    folder = tmp_path_factory.mktemp("everything")
    torch.save(tuned().state_dict(), folder / "tuned.pt")
    labelled = save(folder / "labelled", *walkers(ticks=300))
    further = Further(parse_shapes("all"), folder / "tuned.pt", labelled)
    write_export(trained(), state(), folder / "model", "checkpoint", further)
    return folder / "model"


def onnx(file: Path, x_BCT: Tensor) -> Tensor:
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {"windows": x_BCT.numpy()})[0])


@with_onnx
@pytest.mark.parametrize("batch", [1, 2, 9])
def test_onnx_and_program_give_the_features_at_any_batch(everything: Path, batch: int) -> None:
    network, x_BCT = load_model(everything), made_windows(300, batch)
    with torch.inference_mode():
        expected = network(x_BCT)
        program = torch.export.load(everything / "backbone.pt2").module()(x_BCT)
    torch.testing.assert_close(program, expected, **CLOSE)
    torch.testing.assert_close(onnx(everything / "backbone.onnx", x_BCT), expected, **CLOSE)


@with_onnx
def test_the_classifier_gives_the_logits_of_the_fine_tuned_network(everything: Path) -> None:
    x_BCT = made_windows(300, 3)
    with torch.inference_mode():
        expected = tuned()(x_BCT)
    assert expected.shape == (3, CLASSES)
    torch.testing.assert_close(onnx(everything / "classifier.onnx", x_BCT), expected, **CLOSE)


@with_onnx
def test_every_file_is_in_the_card_with_its_size_and_what_int8_costs(everything: Path) -> None:
    import onnx as format_

    config, card = json.loads((everything / "config.json").read_text()), (everything / "README.md").read_text()
    written = {"model.safetensors", "model.mdl", "backbone.pt2", "backbone.onnx", "backbone.int8.onnx"}
    assert set(config["files"]) == written | {"classifier.onnx"}
    for name, facts in config["files"].items():
        assert facts["bytes"] == (everything / name).stat().st_size
        assert f"| {name} | {facts['bytes']:,} |" in card
        assert (facts["ms"] is None) == (name == "model.mdl")
    assert config["files"]["backbone.int8.onnx"]["bytes"] < config["files"]["backbone.onnx"]["bytes"]
    assert "Milliseconds were measured when this folder was written" in card
    assert format_.load(everything / "backbone.onnx").opset_import[0].version == OPSET == config["opset"]
    assert config["int8"]["people"] == 6
    assert config["int8"]["macro F1 float32"] > 0.9
    assert abs(config["int8"]["macro F1 lost"]) < 0.2, "the postures are far apart"
    assert f"{config['int8']['macro F1 int8']:.3f} where float32 has" in card


@with_onnx
def test_int8_is_close_to_the_network(everything: Path) -> None:
    x_BCT = torch.from_numpy(walkers(ticks=300)[0]).transpose(1, 2).contiguous()
    with torch.inference_mode():
        expected = load_model(everything)(x_BCT)
    found = onnx(everything / "backbone.int8.onnx", x_BCT)
    assert not torch.equal(found, expected)
    assert np.corrcoef(found.flatten(), expected.flatten())[0, 1] > 0.95


@with_onnx
def test_all_give_the_same_on_real_windows(everything: Path, real_data: Path) -> None:
    samples = read_samples(find_files(real_data / "labelled" / "wisdm_watch")[0])
    x_NTC = np.concatenate([windows_of(samples, *run, 300) for run in runs(samples)])[:64]
    assert len(x_NTC) == 64
    x_BCT = torch.from_numpy(x_NTC.astype(np.float32)).transpose(1, 2).contiguous()
    with torch.inference_mode():
        expected = load_model(everything)(x_BCT)
        program = torch.export.load(everything / "backbone.pt2").module()(x_BCT)
        by_hub = hub(everything, "harnet10", pretrained=True).eval().get_submodule("feature_extractor")(x_BCT)
    assert torch.equal(by_hub, expected)
    torch.testing.assert_close(program, expected, **CLOSE)
    torch.testing.assert_close(onnx(everything / "backbone.onnx", x_BCT), expected, **CLOSE)


@with_onnx
@pytest.mark.slow
@pytest.mark.parametrize("preset", ["harnet5", "harnet30", "transformer5"])
def test_every_network_can_be_onnx(tmp_path: Path, preset: str) -> None:
    write_export(trained(preset), state(preset), tmp_path / "model", "checkpoint", Further(("onnx", "int8", "program")))
    x_BCT = made_windows(NETWORKS[preset].ticks, 3)
    with torch.inference_mode():
        expected = load_model(tmp_path / "model")(x_BCT)
    torch.testing.assert_close(onnx(tmp_path / "model" / "backbone.onnx", x_BCT), expected, **CLOSE)
    assert "What int8 costs has not been measured" in (tmp_path / "model" / "README.md").read_text()


@pytest.mark.parametrize("preset", ["harnet5", "harnet10", "harnet30"])
def test_weights_come_back_to_the_bit_by_name_and_in_order(tmp_path: Path, preset: str) -> None:
    weights, out = trained(preset), tmp_path / "model"
    write_export(weights, state(preset), out, "checkpoint", Further(("mdl",)))
    as_listed = [
        f"feature_extractor.layer{stage}.{rest}" for stage in range(1, 6) for rest in entries_of_a_stage(stage < 5)
    ]
    assert len(as_listed) == 131
    saved = torch.load(out / "model.mdl", weights_only=True)
    assert [name.removeprefix("module.") for name in saved][:131] == as_listed
    assert all(name.startswith("module.") for name in saved)
    for file in ("model.mdl", "model.safetensors"):
        found = read_weights(out / file)
        assert found.keys() == weights.keys()
        assert all(torch.equal(found[name], tensor) for name, tensor in weights.items())
        network = load_harnet_weights(out / file)
        assert (network.preset, network.width) == (preset, WIDTH)
    assert {name: tensor.shape for name, tensor in load_file(out / "model.safetensors").items()} == {
        name: tensor.shape for name, tensor in weights.items()
    }


def entries_of_a_stage(blocks: bool) -> list[str]:
    """Names in the order convolution, two blocks, BatchNorm, (ReLU), downsampling; the last stage has no blocks."""
    norm = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    block = [f"{bn}.{each}" for bn in ("bn1", "bn2") for each in norm] + ["conv1.weight", "conv2.weight"]
    numbered = [f"{number}.{each}" for number in (1, 2) for each in block] if blocks else []
    last = 3 if blocks else 1
    return ["0.weight", *numbered, *(f"{last}.{each}" for each in norm), f"{last + 2}.kernel"]


def test_a_quarter_of_the_width_keeps_the_names(tmp_path: Path) -> None:
    narrow = make_network(NetworkSettings("harnet10", 0.25))
    assert list(narrow.state_dict()) == list(make_network(NetworkSettings("harnet10")).state_dict())
    assert narrow.features == 256


def public_loader(file: Path, model: nn.Module) -> int:
    """Load as a loader does that takes known names after the first dot and drops all others; returns how many."""
    own = model.state_dict()
    named = {name.split(".", 1)[1]: tensor for name, tensor in torch.load(file, weights_only=True).items()}
    known = {name: tensor for name, tensor in named.items() if name in own and not name.startswith("classifier")}
    own.update(known)
    model.load_state_dict(own)
    return len(known)


def test_a_loader_that_drops_unknown_names_finds_every_entry_of_mdl(tmp_path: Path) -> None:
    write_export(trained(), state(), tmp_path / "model", "checkpoint", Further(("mdl",)))
    network = hub(tmp_path / "model", "harnet10", pretrained=False)
    assert public_loader(tmp_path / "model" / "model.mdl", network) == 131
    for name, tensor in network.state_dict().items():
        if not name.startswith("classifier"):
            assert torch.equal(tensor, trained()[name]), name


def test_a_file_that_differs_is_an_error() -> None:
    torch.manual_seed(0)
    network = make_network(NetworkSettings("harnet5", 0.0625)).eval()
    require_same(Written("same", network), network, 150)
    with pytest.raises(RuntimeError, match="other differs from the network"):
        require_same(Written("other", lambda x_BCT: network(x_BCT) + 1e-3), network, 150)


def test_unknown_shapes_and_other_classifiers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--shapes: expected onnx, int8, .*; found 'tflite'"):
        parse_shapes("onnx,tflite")
    with pytest.raises(UserError, match="Add int8 to --shapes"):
        Further(("onnx",), labelled=tmp_path)
    for given in (tuned("harnet5").state_dict(), trained()):
        torch.save(given, tmp_path / "other.pt")
        with pytest.raises(UserError, match="expected the 135 entries of harnet10 at width"):
            write_export(trained(), state(), tmp_path / "model", "c", Further(classifier=tmp_path / "other.pt"))
    assert not (tmp_path / "model").exists()


def test_the_hub_pushes_and_loads_an_export(tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    write_export(trained(), state(), tmp_path / "model", "checkpoint")
    code = f"""
import torch
Backbone = torch.hub.load({str(tmp_path / "model")!r}, "hugging_face", source="local")
first = Backbone.from_pretrained({str(tmp_path / "model")!r})
first.save_pretrained({str(tmp_path / "pushed")!r})
second = Backbone.from_pretrained({str(tmp_path / "pushed")!r})
x = torch.randn(4, 3, 300)
assert torch.equal(first(x), second(x))
torch.save((x, second(x)), {str(tmp_path / "found.pt")!r})
try:
    Backbone.from_pretrained("nobody/nothing")
except Exception as error:
    print(type(error).__name__)
"""
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache"), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    x_BCT, found = torch.load(tmp_path / "found.pt")
    with torch.inference_mode():
        torch.testing.assert_close(found, load_model(tmp_path / "model")(x_BCT).flatten(1), **CLOSE)
    assert contents(tmp_path / "pushed") == contents(tmp_path / "model")


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
