"""The comparison of rows, end to end."""

from __future__ import annotations

import csv
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import cohen_kappa_score

from pipeline.errors import UserError
from pipeline.extras import missing_extra
from pipeline.pages.figures import save as save_figure
from tests.train.evaluate.labelled_sets import as_data, save, walkers
from tests.train.evaluate.test_scores import sklearn_f1
from train.evaluate.cells import Cells
from train.evaluate.dataset import LabelledSet, read_labelled
from train.evaluate.evaluation import Settings, evaluate, parse_rows, reference_of
from train.evaluate.folds import assign_folds
from train.evaluate.jobs import Block, run_blocks
from train.evaluate.protocols import Split, fold_splits, harnet_splits
from train.evaluate.results import tables
from train.evaluate.results.rows_picture import draw_rows
from train.evaluate.results.tables import minus
from train.evaluate.rows import ROWS, Context, random_network
from train.evaluate.workers import workers
from train.labelled.wisdm import find_files, label_wisdm
from train.networks.harnet import Harnet


def predictions(network: Any, data: LabelledSet, splits: list[Split], row: str, draws: int) -> NDArray[np.int64]:
    """The predictions of a row for every window, (draws, windows)."""
    with workers() as pool:
        context = Context(data, network, pool, seed=0, epochs=2)
        cells = run_blocks(context, [Block(row, "all", draw, splits) for draw in range(draws)], Cells())
    predicted_RN = np.full((draws, len(data.y_N)), -1)
    for draw in range(draws):
        for split, cell in zip(splits, cells[row, "all", draw], strict=True):
            predicted_RN[draw, split.test_N] = cell.predicted_VN[0]
    return predicted_RN


def test_the_comparison_end_to_end(tmp_path: Path) -> None:
    x, y, pid = walkers()
    y[pid == "person 0"] = "up"  # one true class: no kappa for this person
    data = read_labelled(save(tmp_path / "set", x, y, pid), 150, rate_hz=30)
    network = random_network(cast(Any, Harnet("harnet5", 0.125)), 99)
    splits = fold_splits(data, assign_folds(data.y_N, data.person_N, 3, 0), 0)
    results = evaluate(network, data, Settings(("linear", "random"), folds=3))
    json.dumps(results, allow_nan=False)
    assert [row["subject"] for row in results["subjects"]] == [f"person {i}" for i in range(6)]
    table = np.array(results["confusion"])
    assert table.sum(1).tolist() == [int((y == k).sum()) for k in results["classes"]]
    for kind, row, networks in (("pretrained", "linear", 1), ("random", "random", 5)):
        predicted_RN = predictions(network, data, splits, row, networks)
        assert predicted_RN.shape == (networks, len(y))
        if kind == "pretrained":
            assert np.trace(table) == int((predicted_RN[0] == data.y_N).sum())
        for person in results["subjects"][1:]:
            own = pid == person["subject"]
            truth, said = data.y_N[own], predicted_RN[:, own]
            assert person[kind]["macro_f1"] == pytest.approx(np.mean([sklearn_f1(truth, each) for each in said]))
            assert person[kind]["kappa"] == pytest.approx(np.mean([cohen_kappa_score(truth, each) for each in said]))
        assert results["subjects"][0][kind]["kappa"] is None
    macro = results["summary"]["macro_f1"]
    assert macro["people"] == 6
    assert np.mean(macro["random_networks"]) == pytest.approx(macro["random"]["mean"])
    assert macro["beaten"] == sum(draw < macro["pretrained"]["mean"] for draw in macro["random_networks"])
    assert results["summary"]["kappa"]["people"] == 5
    assert results["summary"]["kappa"]["random"]["mean"] > 0.5  # the postures are plain to any features


def test_a_person_is_predicted_by_a_head_that_never_saw_them(tmp_path: Path) -> None:
    x, y, pid = walkers()
    data = read_labelled(save(tmp_path / "set", x, y, pid), 150, rate_hz=30)
    network: Any = Harnet("harnet5", 0.125)
    own = pid == "person 2"
    splits = fold_splits(data, assign_folds(data.y_N, data.person_N, 3, 0), 0)
    (tested,) = (split.test_N for split in splits if np.flatnonzero(own)[0] in split.test_N)
    before = {row: predictions(network, data, splits, row, 1) for row in ROWS}
    y[own] = np.roll(y[own], 8)  # other labels, as many of each
    data = read_labelled(save(tmp_path / "set", x, y, pid), 150, rate_hz=30)
    for row, predicted_1N in before.items():
        assert (predictions(network, data, splits, row, 1)[0, tested] == predicted_1N[0, tested]).all(), row


def test_rows_protocols_and_draws_are_reported(tmp_path: Path) -> None:
    data = as_data(*walkers())
    network = random_network(cast(Any, Harnet("harnet5", 0.125)), 99)
    results = evaluate(network, data, Settings(("mlp", "handmade", "forest"), protocol="harnet", draws=2, epochs=2))
    json.dumps(results, allow_nan=False)
    assert results["protocol"]["split"].startswith("five random splits")
    assert {name: row["draws"] for name, row in results["rows"].items()} == {"mlp": 2, "handmade": 1, "forest": 2}
    assert "summary" not in results
    row = results["rows"]["handmade"]["macro_f1_union"]
    tested = [len(np.unique(data.person_N[split.test_N])) for split in harnet_splits(data)]
    assert row["tests"]["count"] == sum(tested) == 10
    assert row["people"] == sum(value is not None for value in row["by_person"]) <= 6
    pairs = [(found["row"], found["other"]) for found in results["differences"]]
    assert pairs == [("mlp", "handmade"), ("mlp", "forest"), ("handmade", "forest")]
    both = minus(results, "forest", "mlp")["kappa"], minus(results, "mlp", "forest")["kappa"]
    assert both[0]["mean"] == -both[1]["mean"]
    assert both[0]["low"] == -both[1]["high"]

    page = tables.page(results)
    assert "| row | what | macro F1, union | kappa | minus forest |" in page
    lines = list(csv.DictReader(tables.rows_csv(results).splitlines()))
    assert len(lines) == 3 * 3
    assert float(lines[0]["mean"]) == results["rows"]["mlp"]["macro_f1"]["mean"]
    assert len(list(csv.DictReader(tables.differences_csv(results).splitlines()))) == 3 * 3
    save_figure(draw_rows(results), tmp_path / "rows.png")
    assert (tmp_path / "rows.png").stat().st_size > 10_000


def test_rows_that_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    assert parse_rows(None, notes) == ("linear", "random", "forest")
    assert parse_rows("all", notes) == tuple(ROWS)
    assert parse_rows(" forest, linear ", notes) == ("linear", "forest")
    assert notes == []
    assert reference_of(("linear", "random", "forest")) == "random"
    assert reference_of(("linear", "handmade", "both")) == "handmade"
    assert reference_of(("linear", "mlp")) == "mlp"
    with pytest.raises(UserError, match=r"--rows: expected linear, .* found 'trees'"):
        Settings(parse_rows("linear,trees", notes))
    with pytest.raises(UserError, match="--rows: expected at least one"):
        Settings(parse_rows(",", notes))
    with pytest.raises(UserError, match="--protocol: expected folds, harnet, loso, fixed; found 'kfold'"):
        Settings(protocol="kfold")
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert parse_rows(None, notes) == ("linear", "random")
    assert "forest is left out: it needs scikit-learn (pip install 'persondays[evaluate]')" in notes[0]
    with pytest.raises(ModuleNotFoundError) as missing:
        parse_rows("boosting", notes)
    error = missing_extra(missing.value)
    assert error is not None
    assert "persondays[evaluate]" in str(error)


def test_hand_made_features_recognise_activities_of_people_they_have_not_seen(real_data: Path) -> None:
    windows, _ = label_wisdm(find_files(real_data / "labelled" / "wisdm_watch")[:6], 10)
    data = as_data(windows.x_NTC, np.array(windows.y_N), np.array(windows.pid_N))
    network = random_network(cast(Any, Harnet("harnet10", 0.125)), 0)
    results = evaluate(network, data, Settings(("handmade",), folds=3))
    assert len(data.classes) == 18
    assert results["rows"]["handmade"]["macro_f1"]["mean"] > 0.5  # .72 with all people; guessing .06
