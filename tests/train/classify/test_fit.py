"""`persondays fit`: the same predictions as the row of `evaluate`, the folder and its checks, what it refuses."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from scipy.special import log_softmax
from torch.nn import functional as F

from pipeline.errors import UserError
from tests.train.evaluate.labelled_sets import as_data, save, walkers
from train.classify.classifier import MODEL, read_classifier
from train.classify.fit import FitSettings, fit_classifier, write_fit
from train.evaluate.cells import Cells
from train.evaluate.dataset import LabelledSet, read_labelled
from train.evaluate.jobs import Block, run_blocks
from train.evaluate.protocols import splits_of
from train.evaluate.rows import Context, kept
from train.evaluate.rows import training as recipe
from train.evaluate.rows.calibrate import class_weights, fit_temperature
from train.evaluate.rows.row import Learned
from train.evaluate.scores.metrics import confusion, macro_f1
from train.evaluate.workers import workers
from train.export.shapes import read_classifier as read_for_export
from train.labelled.files import write_labelled
from train.labelled.wisdm import find_files, label_wisdm
from train.networks import Encoder
from train.networks.weights import digest, load_model

Run = Callable[..., tuple[int, str, str]]
ROWS = ("linear", "weighted", "tuned", "finetuned")


def part(data: LabelledSet, windows: NDArray[np.int64]) -> LabelledSet:
    """Some windows of a labelled set, as a set of their own."""
    people, person_N = np.unique(data.person_N[windows], return_inverse=True)
    names = tuple(data.people[number] for number in people)
    return replace(data, x_NCT=data.x_NCT[windows], y_N=data.y_N[windows], person_N=person_N, people=names)


def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train networks fast enough for so few windows."""
    for name, value in (("TRAINING_BATCH", 16), ("RATE", 3e-3), ("PATIENCE", 3)):
        monkeypatch.setattr(recipe, name, value)
    monkeypatch.setattr(kept, "RATE", 3e-3)


@pytest.mark.parametrize("row", ROWS)
def test_fitted_to_the_training_people_of_a_fold_it_predicts_what_evaluate_predicts(
    row: str, backbone: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick(monkeypatch)
    data = as_data(*walkers(people=7))
    splits = splits_of("folds", data, 3, 0)
    with workers() as pool:
        context = Context(data, backbone, pool, seed=0, epochs=4)
        cells = run_blocks(context, [Block(row, "all", 0, splits)], Cells())[row, "all", 0]
    for split, cell in list(zip(splits, cells, strict=True))[: 1 if "tuned" in row else None]:
        settings = FitSettings(row, folds=2, epochs=4)
        write_fit(fit_classifier(backbone, part(data, split.train_N), settings), tmp_path / "out", Cells())
        logits_NK = read_classifier(tmp_path / "out").logits(data.x_NCT[split.test_N])
        # features differ in their last bits, because they are computed in other batches
        assert (logits_NK.argmax(1) == cell.predicted_VN[0]).mean() > 0.97


def test_the_folds_calibrate_a_network_that_was_trained_on_everybody(
    backbone: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fine-tuned on labels of which some are wrong, and made four times too sure of itself."""
    quick(monkeypatch)
    train_for = kept.train_for

    def too_sure(*arguments: Any) -> Learned:
        learned = train_for(*arguments)
        last: Any = learned.head.network.classifier.linear2  # type: ignore[attr-defined]
        with torch.no_grad():
            last.weight *= 4
            last.bias *= 4
        return learned

    monkeypatch.setattr(kept, "train_for", too_sure)
    data, rng = as_data(*walkers(people=8)), np.random.default_rng(0)
    wrong_N = rng.random(len(data.y_N)) < 0.3
    data = replace(data, y_N=np.where(wrong_N, rng.integers(0, 3, len(data.y_N)), data.y_N))
    used_N = data.person_N < 5
    fitted = fit_classifier(backbone, part(data, np.flatnonzero(used_N)), FitSettings("tuned", folds=3, epochs=6))
    write_fit(fitted, tmp_path / "out", Cells())
    read = read_classifier(tmp_path / "out")
    logits_NK, new_N = read.logits(data.x_NCT[~used_N]), data.y_N[~used_N]
    raw_NK, calibrated_NK = log_softmax(logits_NK.astype(np.float64), 1), read.log_probabilities(logits_NK)
    raw, calibrated = (-log_NK[np.arange(len(new_N)), new_N].mean() for log_NK in (raw_NK, calibrated_NK))
    assert read.temperature > 1.5
    assert calibrated < raw - 0.05
    assert (calibrated_NK.argmax(1) == logits_NK.argmax(1)).all()
    people = fitted.description["fitted"]
    assert (people["trained_on"]["people"], people["held_out"]["people"], people["people"]) == (5, 0, 5)
    assert "then fitted to all of these people." in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(("row", "least"), [("linear", 0.3), ("tuned", 0.2)])
def test_on_real_people_it_predicts_what_evaluate_predicts(
    row: str, least: float, real_data: Path, tmp_path: Path
) -> None:
    """Six people of the WISDM watch, one fold; the backbone in the box."""
    windows, facts = label_wisdm(find_files(real_data / "labelled" / "wisdm_watch")[:6], seconds=10)
    write_labelled(tmp_path / "set", windows, "WISDM", facts)
    backbone = load_model("wrist-small")
    data = read_labelled(tmp_path / "set", backbone.ticks)
    split = splits_of("folds", data, 3, 0)[0]
    with workers() as pool:
        context = Context(data, backbone, pool, seed=0, epochs=3)
        (cell,) = run_blocks(context, [Block(row, "all", 0, [split])], Cells())[row, "all", 0]
    settings = FitSettings(row, folds=2, epochs=3)
    write_fit(fit_classifier(backbone, part(data, split.train_N), settings), tmp_path / "out", Cells())
    found_N = read_classifier(tmp_path / "out").logits(data.x_NCT[split.test_N]).argmax(1)
    assert (found_N == cell.predicted_VN[0]).mean() > 0.995
    score, expected = (
        macro_f1(confusion(data.y_N[split.test_N], each, 18)) for each in (found_N, cell.predicted_VN[0])
    )
    assert score == pytest.approx(expected, abs=0.003)
    assert score > least, "18 classes, guessed right for 1 in 18"


def test_the_folder_says_what_it_is(backbone: Encoder, classifier: Path) -> None:
    config = json.loads((classifier / "config.json").read_text())
    assert config["classes"] == ["moving", "side", "up"]
    assert config["network"] == {"preset": "harnet5", "width": 0.0625}
    assert config["backbone"]["sha256"] == digest(backbone.state_dict())
    assert config["fitted"]["windows_by_class"] == {"moving": 48, "side": 48, "up": 48}
    assert config["fitted"]["trained_on"] == {"people": 6, "windows": 144}
    scores = config["validation"]
    assert scores["folds"] == 5
    assert scores["macro_f1"]["people"] == len(scores["macro_f1_by_person"]) == 6
    assert scores["macro_f1"]["low"] <= scores["macro_f1"]["mean"] <= scores["macro_f1"]["high"]
    assert np.array(scores["confusion"]).sum() == 144
    card = (classifier / "README.md").read_text()
    assert "moving, side, up" in card
    assert "then fitted to all of these people." in card
    assert f"**{scores['macro_f1']['mean']:.3f} (95% interval" in card
    assert "person " not in json.dumps(config), "names of people stay out"
    read = read_classifier(classifier)
    assert read.classes == ("moving", "side", "up")
    assert read.prior_K.tolist() == pytest.approx([1 / 3] * 3)
    state = load_file(classifier / MODEL)
    assert {name.split(".")[0] for name in state} == {"feature_extractor", "head"}


def test_a_fine_tuned_classifier_has_the_names_of_the_downstream_network(
    backbone: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick(monkeypatch)
    data = as_data(*walkers(people=4))
    fitted = fit_classifier(backbone, data, FitSettings("finetuned", folds=2, epochs=3))
    write_fit(fitted, tmp_path / "out", Cells())
    read = read_classifier(tmp_path / "out")
    exported = read_for_export(tmp_path / "out" / MODEL, backbone)
    with torch.inference_mode():
        expected = exported(torch.from_numpy(data.x_NCT))
    torch.testing.assert_close(torch.from_numpy(read.logits(data.x_NCT)), expected)
    facts = fitted.description["fitted"]
    assert 1 <= facts["best_epoch"] <= 3
    assert (facts["trained_on"]["people"], facts["held_out"]["people"], facts["people"]) == (3, 1, 4)
    assert facts["trained_on"]["windows"] + facts["held_out"]["windows"] == facts["windows"]
    card = (tmp_path / "out" / "README.md").read_text()
    assert "then trained on 3 of these people and stopped on the other 1." in card
    assert read.prior_K.tolist() == pytest.approx([1 / 3] * 3)


def test_class_weights_are_scikit_learns_balanced_ones() -> None:
    sklearn = pytest.importorskip("sklearn.linear_model")
    from train.evaluate.rows.head import fit_head

    rng = np.random.default_rng(0)
    y = rng.choice(3, 400, p=[0.8, 0.15, 0.05])
    x = (rng.normal(size=(400, 5)) + y[:, None]).astype(np.float32)
    head = fit_head(x, y, 3, c=0.5, weighted=True)
    standard = (x - x.mean(0)) / x.std(0)
    other = sklearn.LogisticRegression(C=0.5, class_weight="balanced", tol=1e-8, max_iter=2000).fit(standard, y)
    log_odds = head.logits(x) - head.logits(x).mean(1, keepdims=True)
    expected = standard @ other.coef_.T + other.intercept_
    np.testing.assert_allclose(log_odds, expected - expected.mean(1, keepdims=True), atol=0.02)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_the_temperature_makes_probabilities_of_logits(temperature: float) -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 2, (20_000, 4))
    chances = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    y = (chances.cumsum(1) < rng.uniform(size=(len(scores), 1))).sum(1)
    assert fit_temperature((scores * temperature).astype(np.float32), y) == pytest.approx(temperature, rel=0.05)


def test_the_temperature_weighs_classes_as_the_head_does() -> None:
    rng = np.random.default_rng(0)
    y = rng.choice(2, 5_000, p=[0.95, 0.05])
    logits = (rng.normal(size=(5_000, 2)) + np.diag([3.0, 0.5])[y]).astype(np.float32)
    weight = class_weights(y, 2)
    best = fit_temperature(logits, y, weight)

    def loss(t: float) -> float:
        return float(F.cross_entropy(torch.from_numpy(logits) / t, torch.from_numpy(y), weight))

    assert loss(best) <= min(loss(0.9 * best), loss(1.1 * best))
    assert best != pytest.approx(fit_temperature(logits, y), rel=0.01)


def test_an_interrupted_run_uses_its_folds_again(
    backbone: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, out, learned = as_data(*walkers()), tmp_path / "out", 0

    class Interrupted(Exception):
        pass

    def progress(share: float, note: str) -> None:
        if share > 0.8:
            raise Interrupted

    with pytest.raises(Interrupted):
        fit_classifier(backbone, data, FitSettings(), Cells.beside(out), progress)
    saved = sorted(path.name for path in (tmp_path / "out.unfinished").iterdir())
    assert len(saved) == 5
    from train.evaluate.rows import linear

    fit_head = linear.fit_head

    def counted(*arguments: Any, **more: Any) -> Any:
        nonlocal learned
        learned += 1
        return fit_head(*arguments, **more)

    monkeypatch.setattr(linear, "fit_head", counted)
    cells = Cells.beside(out)
    write_fit(fit_classifier(backbone, data, FitSettings(), cells), out, cells)
    assert learned == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_the_command_fits_and_says_how_well(weights: Path, tmp_path: Path, persondays: Run) -> None:
    save(tmp_path / "set", *walkers(people=3))
    out = tmp_path / "out"
    flags = ("fit", "--model", weights, "--labelled", tmp_path / "set", "--out", out, "--rate", 30)
    status, said, err = persondays(*flags)
    assert status == 0, err
    assert "3 people, 72 windows, 3 activities" in said
    assert "macro F1 0." in said or "macro F1 1." in said
    assert sorted(os.listdir(out)) == ["README.md", "config.json", "confusion.png", "model.safetensors"]
    assert persondays(*flags)[0] == 0, "an earlier classifier is replaced"


def flip(file: Path, place: int) -> None:
    data = bytearray(file.read_bytes())
    data[place] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "README.md", "confusion.png"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.99])
def test_a_flipped_bit_is_found(name: str, share: float, classifier: Path, tmp_path: Path) -> None:
    for file in classifier.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    flip(tmp_path / name, int(share * (tmp_path / name).stat().st_size))
    with pytest.raises(UserError, match=r"config\.json|another sha256|expected a classifier"):
        read_classifier(tmp_path)


class Code:
    """What runs code when unpickled."""

    def __reduce__(self) -> Any:
        return os.abort, ()


def signed(folder: Path, changes: dict[str, Any]) -> None:
    """Write a config.json that agrees with the files in the folder, as somebody who knows the format would."""
    from hashlib import sha256

    from train.classify.classifier import digest as of_config

    config = json.loads((folder / "config.json").read_text()) | changes
    config["files"] = {name: sha256((folder / name).read_bytes()).hexdigest() for name in config["files"]}
    config["sha256"] = of_config(config)
    (folder / "config.json").write_text(json.dumps(config))


def test_what_is_no_classifier_is_refused_with_one_message(
    classifier: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(folder: Path, message: str) -> None:
        with pytest.raises(UserError, match=message):
            read_classifier(folder)

    refused(tmp_path / "none", "found no folder")
    refused(tmp_path, r"found a folder without config\.json")
    (tmp_path / "config.json").write_text('{"format": "persondays-export"}')
    refused(tmp_path, "found a backbone. Fit a classifier with it first")
    for file in classifier.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / MODEL).unlink()
    refused(tmp_path, "model.safetensors cannot be read")
    torch.save({"a": Code()}, tmp_path / MODEL)
    refused(tmp_path, "another sha256")
    signed(tmp_path, {})
    refused(tmp_path, "of which nothing was run")
    (tmp_path / MODEL).write_bytes(weights.read_bytes())
    signed(tmp_path, {})
    refused(tmp_path, "It belongs to another classifier")
    (tmp_path / MODEL).write_bytes((classifier / MODEL).read_bytes())
    signed(tmp_path, {"network": {"preset": "harnet10", "width": 0.0625}})
    refused(tmp_path, "found those of harnet5")
    signed(tmp_path, {"head": "forest"})
    refused(tmp_path, "this release cannot read")


def test_the_frozen_network_standardises_as_the_head_does(classifier: Path) -> None:
    read = read_classifier(classifier)
    network: Any = read.network
    x = torch.from_numpy(as_data(*walkers(people=2, each=2)).x_NCT)
    with torch.inference_mode():
        features = network.feature_extractor(x).flatten(1)
        expected = ((features - network.head.mean) / network.head.scale) @ network.head.weight + network.head.bias
        torch.testing.assert_close(network(x), expected)
    logits = read.logits(x.numpy())
    chances = np.exp(read.log_probabilities(logits))
    scaled = np.exp(logits.astype(np.float64) / read.temperature)
    np.testing.assert_allclose(chances, scaled / scaled.sum(1, keepdims=True), rtol=1e-6)
