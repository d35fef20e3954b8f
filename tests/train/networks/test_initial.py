"""Starting from given weights: what matched is said, another network's weights and files with code are refused."""

from __future__ import annotations

import pickle
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from pipeline.errors import UserError
from tests.train.runs import alone, command
from train.checkpoint import format as ck
from train.networks import NetworkSettings, make_network
from train.networks.downstream import DownstreamNetwork
from train.networks.initial import read_initial, start_from
from train.networks.model import Model
from train.objectives import ObjectiveSettings, make_objective

SETTINGS = NetworkSettings("harnet10", 0.0625)


def model(settings: NetworkSettings = SETTINGS, objective: str = "multitask", seed: int = 0) -> Model:
    torch.manual_seed(seed)
    network = make_network(settings)
    return Model(network, make_objective(ObjectiveSettings(name=objective)).heads(network.features))


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("file", ["weights.pt", "weights.mdl", "weights.safetensors"])
def test_a_whole_model_matches_under_every_name(tmp_path: Path, prefix: str, file: str) -> None:
    given, fresh = model(seed=1), model(seed=2)
    state = {prefix + name: tensor.clone() for name, tensor in given.state_dict().items()}
    (save_file if file.endswith("safetensors") else torch.save)(state, tmp_path / file)
    said = start_from(fresh, SETTINGS, read_initial(tmp_path / file))
    assert "139 of 139 entries matched (131 of the feature extractor, 8 of heads)" in said
    assert "missing" not in said
    for name, tensor in fresh.state_dict().items():
        assert torch.equal(tensor, given.state_dict()[name]), name


def test_missing_heads_stay_random_and_what_is_left_over_is_listed(tmp_path: Path) -> None:
    tuned: Any = DownstreamNetwork(make_network(SETTINGS), 5)
    torch.save(tuned.state_dict(), tmp_path / "tuned.pt")
    fresh = model(objective="simclr", seed=2)
    before = {name: tensor.clone() for name, tensor in fresh.state_dict().items()}
    said = start_from(fresh, SETTINGS, read_initial(tmp_path / "tuned.pt"))
    assert "131 of 135 entries matched (131 of the feature extractor, 0 of heads)" in said
    assert "missing in the file, so as for a new run: projection." in said
    assert "left over in the file: classifier.linear1.weight" in said
    for name, tensor in fresh.state_dict().items():
        assert torch.equal(tensor, tuned.state_dict()[name] if name in tuned.state_dict() else before[name]), name


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (NetworkSettings("harnet30", 0.0625), "found those of harnet30 at width 0.0625: 131 entries with"),
        (NetworkSettings("harnet10", 0.125), "found those of harnet10 at width 0.125: 131 entries with"),
        (NetworkSettings("transformer10", 1.0), "first: layer1.0.weight is missing"),
    ],
)
def test_weights_of_another_network_are_refused(tmp_path: Path, given: NetworkSettings, message: str) -> None:
    torch.save(model(given).state_dict(), tmp_path / "other.pt")
    with pytest.raises(UserError, match=message):
        start_from(model(), SETTINGS, read_initial(tmp_path / "other.pt"))


def test_a_file_in_which_nothing_matches_is_refused(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pt")
    with pytest.raises(UserError, match="found 0 entries with 131 differences"):
        start_from(model(), SETTINGS, read_initial(tmp_path / "other.pt"))


class Trap:
    """Unpickled, it would create a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.file,)


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    torch.save({"feature_extractor.layer1.0.weight": Trap(trap)}, tmp_path / "trap.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Trap(trap)))
    torch.save(model(), tmp_path / "whole.pt")
    refusal = r"expected tensors alone, found Python objects.*nothing of the file was run"
    for name in ("trap.pt", "plain.pt", "whole.pt"):
        with pytest.raises(UserError, match=refusal):
            read_initial(tmp_path / name)
    assert not trap.exists()


def test_a_run_starts_from_weights_and_resumes_with_or_without_them(store: str, tmp_path: Path) -> None:
    short: dict[str, Any] = {"run__windows": 32, "run__validate_every": 160, "run__save_every": 16}
    assert alone(store, tmp_path / "first", **short) == 0
    learned = ck.open_checkpoint(str(tmp_path / "first")).model
    torch.save(learned, tmp_path / "weights.pt")
    flags = command(store, tmp_path / "second", optimizer__rate_per_512=1e-30, optimizer__weight_decay=0, **short)
    assert "139 of 139 entries matched" in ended([*flags, "--init", str(tmp_path / "weights.pt")], 0)
    opened = ck.open_checkpoint(str(tmp_path / "second"))
    for name, tensor in opened.model.items():
        if name.endswith("weight"):
            assert torch.equal(tensor, learned[name]), name
    assert len(opened.state.facts.init) == 64
    torch.save({**learned, "aot_h.linear1.bias": torch.ones(2)}, tmp_path / "others.pt")
    longer = [part.replace("run.windows=32", "run.windows=48") for part in flags]
    assert "did not start from the weights in" in ended([*longer, "--init", str(tmp_path / "others.pt")], 1)
    ended(longer, 0)
    assert ck.open_checkpoint(str(tmp_path / "second")).state.facts.init == opened.state.facts.init


def ended(flags: list[str], status: int) -> str:
    """Run a command, check its exit status, and return what it printed as messages."""
    done = subprocess.run(flags, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    return done.stderr
