"""Contrastive multiview coding: against plain NumPy in float64, runs, exports of each encoder, wrong locations."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from pipeline.errors import UserError
from pipeline.settings import build
from pipeline.store.alignments import write_alignments
from pipeline.store.store import Store
from tests.train.days import write_store
from tests.train.plain import Array, randoms
from tests.train.runs import RECIPE, alone, overrides, run, same_checkpoint
from tests.train.windows.companions.test_same_time import PEOPLE, TwoDevices, rows_of
from train.checkpoint import format as ck
from train.export.command import export
from train.export.folder import write_exports
from train.loop.trainer import train
from train.networks import NetworkSettings, make_network
from train.networks.several import Encoders, InTurn, make_encoders, separated
from train.networks.weights import load_model
from train.objectives import ObjectiveSettings
from train.objectives.cmc import Cmc, CmcSettings
from train.recipe import load_recipe
from train.tracking.log import read_lines
from train.windows.companions.same_time import SameTime, SameTimeChooser, is_at
from train.windows.members import select
from train.windows.settings import DataSettings

GROUPS = 7
RUN: dict[str, Any] = {
    "objective__name": "cmc",
    "network__preset": "transformer10",
    "network__width": 0.25,
    "network__sync_batch_norm": True,
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return located(str(tmp_path_factory.mktemp("made") / "store")).folder.url


def located(url: str, *locations: str) -> Store:
    """Two aligned days of each person: of a left wrist and a right hip, or at these locations."""
    days = TwoDevices()
    made = write_store(url, people=PEOPLE, days=2, made=days, locations=locations or ("left wrist", "right hip"))
    write_alignments(made, rows_of(days))
    return made


@pytest.fixture(scope="module")
def whole(store: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    assert alone(store, out, run__windows=160, run__validate_every=80, **RUN) == 0
    return out


@pytest.fixture(scope="module")
def model(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exported encoders of `whole`, a folder each; tests must not change them."""
    out = tmp_path_factory.mktemp("exported") / "model"
    nothing: Any = {"best": False, "shapes": None, "classifier": None, "labelled": None, "averaged": False}
    export(checkpoint=str(whole), out=out, **nothing)
    return out


def plain_losses(z_GVD: Array, compared: Any, settings: CmcSettings) -> tuple[list[float], int]:
    """Loss of each window, one at a time, and how many find the simultaneous one."""
    z_GVD = z_GVD / np.linalg.norm(z_GVD, axis=-1, keepdims=True)
    losses, right = [], 0
    for view in (0, 1):
        for group in range(len(z_GVD)):
            there = np.flatnonzero(compared[group])
            if len(there) == 1:
                losses.append(math.nan)  # a day of one window is left out
                continue
            cosine = z_GVD[there, 1 - view] @ z_GVD[group, view]
            own = there == group
            right += int(cosine.argmax() == np.flatnonzero(own)[0])
            if settings.loss == "sigmoid":
                losses.append(float(np.log1p(np.exp(-np.where(own, 1, -1) * (10 * cosine - 10))).sum()))
                continue
            u, n = np.exp(cosine / settings.temperature), len(there) - 1
            p, others = float(u[own][0]), u[~own]
            weighted = others * others**settings.hardness / np.mean(others**settings.hardness)
            negatives = (weighted.sum() - settings.prior * n * p) / (1 - settings.prior)
            losses.append(-math.log(p / (p + max(negatives, n * math.exp(-1 / settings.temperature)))))
    return losses, right


@pytest.mark.parametrize(
    "settings",
    [
        CmcSettings(temperature=0.1),
        CmcSettings(temperature=0.5, hardness=0.7, prior=0.1),
        CmcSettings(loss="sigmoid"),
    ],
)
def test_loss_and_score_equal_numpy_in_float64(settings: CmcSettings) -> None:
    objective, generator = Cmc(settings), np.random.default_rng(1)
    z_GVD = generator.normal(size=(GROUPS, 1, 6)) + 0.8 * generator.normal(size=(GROUPS, 2, 6))
    pairwise = {name: head.double() for name, head in settings.contrast.heads().items()}
    outputs = {"projection": torch.tensor(z_GVD).flatten(0, 1)}
    outputs |= {name: head(outputs["projection"]) for name, head in pairwise.items()}
    loss, figures = objective.loss(outputs, torch.zeros(GROUPS, dtype=torch.int64))
    losses, right = plain_losses(z_GVD, np.ones((GROUPS, GROUPS), bool), settings)
    close = 1e-7 if settings.loss == "sigmoid" else 1e-12  # scale and bias begin as float32
    assert loss.item() == pytest.approx(np.mean(losses), rel=close)
    assert 0 < right < 2 * GROUPS
    expected = {"loss_sum": sum(losses) / 2, "count": GROUPS, "contrast/correct": right / 2, "contrast/count": GROUPS}
    found = {name: value.item() for name, value in figures.items()}
    assert found == pytest.approx(expected | {"contrast/guessing_sum": 1.0}, rel=1e-7)

    slot = np.array([4, 4, 4, 9, 2, 2, 2])
    same = slot[:, None] == slot
    figures = objective.score(outputs, torch.tensor(slot))
    losses, _ = plain_losses(z_GVD, same, settings)
    kept = [loss for loss in losses if not math.isnan(loss)]
    assert len(kept) == 12
    assert figures["loss_sum"].item() == pytest.approx(sum(kept) / 2, rel=close)
    assert figures["contrast/guessing_sum"].item() == pytest.approx(2)


def test_each_encoder_has_weights_of_its_own_and_its_own_rows() -> None:
    torch.manual_seed(2)
    encoders = make_encoders(NetworkSettings("transformer10", 0.25), ("wrist", "hip"))
    assert isinstance(encoders, Encoders)
    single = make_network(NetworkSettings("transformer10", 0.25))
    assert (encoders.preset, encoders.ticks, encoders.features) == (single.preset, single.ticks, single.features)
    wrist, hip = encoders.eval().encoders["of_wrist"], encoders.encoders["of_hip"]
    x = torch.randn(6, 3, 300)
    with torch.no_grad():
        torch.testing.assert_close(encoders(x)[::2], wrist(x[::2]))
        torch.testing.assert_close(encoders(x)[1::2], hip(x[1::2]))
    assert not torch.equal(encoders(x[:1].expand(2, -1, -1))[0], encoders(x[:1].expand(2, -1, -1))[1])


def test_views_and_heads_take_turns() -> None:
    objective, x = Cmc(CmcSettings(locations=("left wrist", "hip"), projection=5)), torch.randn(4, 2, 3, 300)
    views, slots = objective.views(x, randoms(4))
    assert torch.equal(views.unflatten(0, (4, 2)), x)
    assert torch.equal(slots, randoms(4).slot)
    assert objective.encoders == ("left_wrist", "hip")
    projection = objective.heads(8)["projection"]
    assert isinstance(projection, InTurn)
    features = torch.randn(8, 8)
    torch.testing.assert_close(projection(features)[1::2], projection.encoders["of_hip"](features[1::2]))


def test_anchors_are_of_the_first_location_and_companions_of_the_second(store: str) -> None:
    opened = Store.open(store)
    for locations, first in ((("wrist", "hip"), 0), (("right hip", "left wrist"), 1)):
        kind = SameTime(locations=locations)
        bound = kind.bind(select(opened, 10, 0.0, None), opened, DataSettings(), kind.facts(opened))
        assert bound.members.slots.tolist() == list(range(first, 2 * PEOPLE, 2))
        assert isinstance(bound.chooser, SameTimeChooser)
        assert [bound.chooser.aligned_to(slot) for slot in bound.members.slots.tolist()] == [
            [slot ^ 1] for slot in bound.members.slots.tolist()
        ]
    assert is_at("non-dominant left wrist", "left wrist")
    assert not is_at("left wrist", "rist")
    assert not is_at(None, "wrist")


def test_a_run_resumes_to_the_bit_and_is_validated_by_day(store: str, whole: Path, tmp_path: Path) -> None:
    for windows in (80, 160):
        assert alone(store, tmp_path, run__windows=windows, run__validate_every=80, **RUN) == 0
    same_checkpoint(whole, tmp_path, 10)
    validation = [line for line in read_lines(whole / "logs" / "log.jsonl") if line["kind"] == "validation"][-1]
    assert 0 < validation["real"]["contrast"]["guessing"] < 0.1
    assert math.isfinite(validation["real"]["loss"])


@pytest.mark.slow
def test_several_processes_train_the_same_weights(store: str, tmp_path: Path) -> None:
    """Two steps in float64, so that the order of sums does not matter."""
    settings = {**RUN, "run__windows": 32, "run__validate_every": 32, "run__precision": "float64"}
    found = []
    for processes in (1, 2, 4):
        done = run(store, tmp_path / str(processes), processes, **settings)
        assert done.returncode == 0, done.stderr
        found.append(ck.open_checkpoint(str(tmp_path / str(processes))))
    for other in found[1:]:
        assert other.state.windows_digest == found[0].state.windows_digest
        for name, value in other.model.items():
            torch.testing.assert_close(value, found[0].model[name], rtol=1e-7, atol=1e-9, msg=name)


def test_each_encoder_is_exported_under_its_name(whole: Path, model: Path) -> None:
    trained = ck.open_checkpoint(str(whole)).model
    assert sorted(folder.name for folder in model.iterdir()) == ["encoders.json", "hip", "wrist"]
    for name in ("wrist", "hip"):
        network = load_model(model / name)
        for entry, value in network.state_dict().items():
            assert torch.equal(value, trained[f"feature_extractor.encoders.of_{name}.{entry}"])
        entries = load_file(model / name / "model.safetensors")
        assert {entry for entry in entries if entry.startswith("projection.")} == {
            f"projection.linear{number}.{kind}" for number in (1, 2) for kind in ("weight", "bias")
        }
        card = json.loads((model / name / "config.json").read_text())
        assert card["training"]["data"]["encoder of several"] == name
    loaded = torch.hub.load(str(model / "hip"), "transformer10", source="local", pretrained=True, class_num=3)
    assert loaded(torch.zeros(2, 3, 300)).shape == (2, 3)


def test_encoders_are_exported_together_or_not_at_all(whole: Path, tmp_path: Path) -> None:
    opened, out = ck.open_checkpoint(str(whole)), tmp_path / "model"
    models = separated(opened.model)
    damaged = dict(models["hip"])
    del damaged[next(name for name in damaged if name.startswith("feature_extractor."))]
    with pytest.raises(UserError):
        write_exports({**models, "hip": damaged}, opened.state, out, "checkpoint")
    assert not list(tmp_path.iterdir())
    for _ in range(2):  # the second one replaces the first
        write_exports(models, opened.state, out, "checkpoint")
    (out / "hip" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="hip is not empty and not an earlier result"):
        write_exports(models, opened.state, out, "checkpoint")
    (out / "hip" / "notes.txt").rename(out / "notes.txt")
    with pytest.raises(UserError, match="model is not empty and not an earlier result"):
        write_exports(models, opened.state, out, "checkpoint")
    assert (out / "notes.txt").read_text() == "mine"


def test_both_encoders_start_from_given_weights(
    store: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hip = load_file(model / "hip" / "model.safetensors")
    recipe = load_recipe(RECIPE, overrides({**RUN, "run__windows": 16, "optimizer__rate_per_512": 1e-12}))
    assert train(recipe, store, str(tmp_path / "run"), "auto", None, init=str(model / "hip")) == 0
    assert "left over" not in capsys.readouterr().err
    begun = ck.open_checkpoint(str(tmp_path / "run")).model
    for name, entries in separated(begun).items():
        assert name in ("wrist", "hip")
        for entry, value in hip.items():
            if entry.endswith("weight"):
                torch.testing.assert_close(entries[entry], value, rtol=0, atol=1e-6)


def test_encoders_are_named_by_any_location_of_ingest() -> None:
    """`half` is an attribute of modules; "dominant left wrist" is not the end of the other location's words."""
    for locations, names in (
        (("non-dominant left wrist", "dominant left wrist"), ["non_dominant_left_wrist", "dominant_left_wrist"]),
        (("half", "lower back"), ["half", "lower_back"]),
    ):
        objective = Cmc(CmcSettings(locations=locations, projection=2))
        heads = objective.heads(4)["projection"].state_dict(prefix="projection.")
        apart = separated(heads)
        assert list(apart) == names == list(objective.encoders)
        assert len(heads) == sum(map(len, apart.values()))
        assert all(entry.startswith("projection.linear") for each in apart.values() for entry in each)
        assert isinstance(make_encoders(NetworkSettings("transformer10", 0.25), names), Encoders)


def test_a_model_of_one_encoder_is_not_separated() -> None:
    entries = {"feature_extractor.layer1.0.weight": torch.zeros(1), "projection.linear1.weight": torch.zeros(1)}
    assert separated(entries) == {"": entries}


def test_stores_without_the_pairs_are_refused_before_anything_is_written(store: str, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def refused(match: str, store: str = store, **settings: Any) -> None:
        with pytest.raises(UserError, match=match):
            alone(store, out, **RUN, **settings)
        assert not out.exists()

    unknown = r"location 'ankle', found none; locations are left wrist, right hip\. Name two"
    refused(unknown, objective__cmc__locations='["wrist", "ankle"]')
    refused(r"same participant \(wrist and hip\), found none among 6", data__where="location = 'left wrist'")
    both = located(str(tmp_path / "wrists"), "left wrist", "right wrist").folder.url
    refused("location 'hip', found none; locations are left wrist, right wrist", both)
    single = write_store(str(tmp_path / "single"), people=PEOPLE, days=2, locations=["left wrist", "right hip"])
    refused("table of alignments", single.folder.url)
    assert alone(both, out, run__windows=16, objective__cmc__locations='["left wrist", "right wrist"]', **RUN) == 0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"locations": ["wrist"]}, "locations: expected two that no device can both be at"),
        ({"locations": ["wrist", "left wrist"]}, "locations: expected two that no device can both be at"),
        ({"locations": ["left wrist", "left-wrist"]}, "locations: expected two that differ in more than hyphens"),
        *(
            ({"locations": ["hip", name]}, "locations: expected words of lower-case letters, with single spaces")
            for name in ("a.b", "left_wrist", "Wrist", "", " wrist", "left  wrist")
        ),
        ({"locations": "wrist"}, "locations: expected a list, found 'wrist'"),
        ({"projection": 0}, "projection: expected at least 1, found 0"),
        ({"loss": "sigmoid", "hardness": 1}, "hardness: expected 0 with loss = sigmoid"),
    ],
)
def test_settings_are_checked(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(ObjectiveSettings, {"cmc": values}, "recipe.toml")
