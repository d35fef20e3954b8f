"""Fewer labels and people, domains that are left out, and nearest neighbours."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier

from pipeline.errors import UserError
from pipeline.pages.figures import save as save_figure
from tests.train.evaluate.labelled_sets import as_data, save, walkers
from tests.train.evaluate.test_protocols import people_and_labels
from train.evaluate.cells import Cells
from train.evaluate.curves import Curve, parse_values
from train.evaluate.dataset import read_labelled
from train.evaluate.evaluation import Settings, evaluate
from train.evaluate.protocols import domain_splits, splits_of
from train.evaluate.results.folder import write_results
from train.evaluate.results.map_picture import draw_map
from train.evaluate.results.parts_pictures import draw_curve, draw_shifts
from train.evaluate.results.sections import files, sections
from train.evaluate.results.tables import mean_alone
from train.evaluate.retrieval import neighbours, unit, vote
from train.evaluate.rows import random_network
from train.evaluate.subsets import fewer_labels, fewer_people
from train.networks.harnet import Harnet


@given(st.integers(2, 9), st.integers(1, 40), st.integers(0, 50))
def test_parts_of_the_labels_are_nested_and_keep_every_class(people: int, each: int, seed: int) -> None:
    data = people_and_labels(people, each)
    split = splits_of("folds", data, 2, 0)[0]
    y, smaller = data.y_N[split.train_N], set[int]()
    for percent in (1, 10, 50, 100):
        part = fewer_labels(data, split, percent, seed)
        for label in np.unique(y):
            expected = max(1, round(percent / 100 * int((y == label).sum())))
            assert int((data.y_N[part.train_N] == label).sum()) == expected
        assert smaller <= set(part.train_N.tolist()) <= set(split.train_N.tolist())
        assert len(part.held_out_N) == len(part.train_N)
        assert np.array_equal(part.test_N, split.test_N)
        smaller = set(part.train_N.tolist())
    assert np.array_equal(np.sort(part.train_N), split.train_N)


@given(st.integers(1, 12), st.integers(0, 50))
def test_fewer_people_keep_all_their_windows(count: int, seed: int) -> None:
    data = people_and_labels(10)
    split = splits_of("folds", data, 5, 0)[0]
    part, larger = fewer_people(data, split, count, seed), fewer_people(data, split, count + 1, seed)
    people = np.unique(data.person_N[part.train_N])
    assert len(people) == min(count, 8)
    assert np.array_equal(part.train_N, split.train_N[np.isin(data.person_N[split.train_N], people)])
    assert set(people) <= set(data.person_N[larger.train_N].tolist())
    held_out = np.unique(data.person_N[part.train_N[part.held_out_N]])
    assert len(held_out) == (0 if count == 1 else -(-len(people) // 4) if len(people) >= 4 else 1)


@pytest.fixture
def network() -> Any:
    return random_network(Harnet("harnet5", 0.125), 1)  # type: ignore[arg-type]


def test_curves_cover_all_values_and_end_in_the_main_table(network: Any, tmp_path: Path) -> None:
    data = as_data(*walkers())
    curves = Curve("labels", (5, 100), 3), Curve("people", (1, 2, 4, 9), 3)
    results = evaluate(network, data, Settings(("random", "handmade"), folds=3, curves=curves))
    for curve in curves:
        found = results[curve.name]
        assert found["values"] == list(curve.values)
        for row in ("random", "handmade"):
            scores = [each["macro_f1"] for each in found["rows"][row]]
            assert scores[-1]["mean"] == results["rows"][row]["macro_f1"]["mean"]
            assert all(each["low"] <= each["mean"] <= each["high"] for each in scores)
        gained = found["minus_reference"]["handmade"]
        assert gained[0]["macro_f1"]["mean"] == pytest.approx(
            found["rows"]["handmade"][0]["macro_f1"]["mean"] - found["rows"]["random"][0]["macro_f1"]["mean"]
        )
    assert results["people"]["rows"]["handmade"][2] == results["people"]["rows"]["handmade"][3]
    pages = sections(results)
    assert [page.split("\n")[0] for page in pages] == ["## Fewer labels", "## Fewer people"]
    assert "| handmade minus random |" in pages[0]
    assert "interval" not in sections(results, mean_alone)[0]
    lines = list(csv.DictReader(files(results)["people.csv"].splitlines()))
    assert len(lines) == 2 * 4 * 3
    save_figure(draw_curve(results, "people"), tmp_path / "people.png")


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("--labels", "0,5"),
        ("--labels", "5,101"),
        ("--labels", "a"),
        ("--labels", ","),
        ("--people", "2.5"),
        ("--people", "0"),
    ],
)
def test_values_that_cannot_be_are_refused(option: str, text: str) -> None:
    with pytest.raises(UserError, match=f"{option}: expected .*; found '{text}'"):
        parse_values(option, text)


def test_values_are_read_in_ascending_order() -> None:
    assert parse_values("--labels", "50, 1,5,5") == (1, 5, 50)
    assert parse_values("--people", "8,2") == (2, 8)
    assert parse_values("--people", None) == ()


def test_a_domain_is_never_in_training_and_nor_are_its_people() -> None:
    data = people_and_labels(8)
    place = np.where(np.arange(len(data.y_N)) % 2, "wrist", "waist")  # everybody has both
    season = np.where(data.person_N < 3, "summer", "winter")  # nobody has both
    for domain, count in ((place, 2 * 5), (season, 2)):
        splits = domain_splits(data, domain, 5, 0)
        assert len(splits) == count
        for split in splits:
            assert (domain[split.test_N] == split.domain).all()
            assert (domain[split.train_N] != split.domain).all()
            assert not set(data.person_N[split.train_N]) & set(data.person_N[split.test_N])
        for value in np.unique(domain):
            tested = np.concatenate([split.test_N for split in splits if split.domain == value])
            assert sorted(tested.tolist()) == np.flatnonzero(domain == value).tolist()


def test_named_people_are_tested_in_every_domain_they_have() -> None:
    data = people_and_labels(8)
    place = np.where(np.arange(len(data.y_N)) % 2, "wrist", "waist")
    place[data.person_N == 7] = "ankle"  # of nobody who is tested
    splits = domain_splits(data, place, 5, 0, ("p0", "p5"))
    assert [split.domain for split in splits] == ["waist", "wrist"]
    for split in splits:
        assert np.array_equal(split.test_N, np.flatnonzero(np.isin(data.person_N, [0, 5]) & (place == split.domain)))
        assert np.array_equal(split.train_N, np.flatnonzero(~np.isin(data.person_N, [0, 5]) & (place != split.domain)))


def test_named_people_are_the_only_ones_scored(network: Any, tmp_path: Path) -> None:
    data = as_data(*walkers(each=12))
    place = np.where(np.arange(len(data.y_N)) % 2, "left", "right")
    data = replace(data, domain_N=place)
    named = ("person 1", "person 4")
    curves = (Curve("people", (2, 4), 2),)
    settings = Settings(
        ("random", "handmade"), "fixed", named, curves=curves, domain="place", shifts=True, retrieval=True
    )
    cells = Cells.beside(tmp_path / "out")
    results = evaluate(network, data, settings, cells)
    assert results["protocol_name"] == "fixed"
    assert results["test_people"] == list(named)
    assert results["data"]["tested"] == 2
    for row in results["rows"].values():
        assert [value is not None for value in row["macro_f1"]["by_person"]] == [False, True, False, False, True, False]
        assert row["macro_f1"]["people"] == row["kappa"]["people"] == 2
        assert sum(map(sum, row["confusion"])) == 2 * 36
    assert results["differences"][0]["macro_f1"]["people"] == 2
    of_four = results["people"]["rows"]["handmade"][1]["macro_f1"]
    assert of_four["mean"] == results["rows"]["handmade"]["macro_f1"]["mean"]
    write_results(results, tmp_path / "out", cells, network, data)
    assert "6 people (2 of them tested)" in (tmp_path / "out" / "tables.md").read_text()
    again = Cells.beside(tmp_path / "out")
    assert evaluate(network, data, settings, again)["rows"] == results["rows"]
    assert again.stale == 0


def test_neighbours_of_named_people_are_not_among_them() -> None:
    data = people_and_labels(4, each=2, classes=2)
    features = np.eye(8, dtype=np.float32)[[0, 1, 0, 1, 4, 5, 6, 7]]  # people 0 and 1 are alike
    near = neighbours(data, features, np.array([0, 1]))
    assert (near[:4, :4] >= 0).all()
    assert (near[:4, 4:] == -1).all()  # four windows of two other people
    assert (near[4:] == -1).all()


def test_a_domain_that_leaves_nobody_to_train_on_is_refused() -> None:
    data = people_and_labels(4)
    device = np.where((data.person_N == 0) & (np.arange(len(data.y_N)) % 2 == 0), "new", "old")
    with pytest.raises(UserError, match="--domain: expected people to train on with 'old' left out"):
        domain_splits(data, device, 4, 0)


def test_an_unseen_orientation_costs_what_training_on_it_saves(network: Any) -> None:
    x, y, pid = walkers(each=12)
    place = np.where(np.arange(len(y)) % 2, "left", "right")
    x[place == "right"] = x[place == "right"][:, :, [1, 2, 0]]  # worn the other way round
    data = replace(as_data(x, y, pid), domain_N=place)
    results = evaluate(network, data, Settings(("handmade",), folds=3, domain="place"))
    assert results["domain"]["column"] == "place"
    for part in results["domain"]["values"]:
        scores = part["rows"]["handmade"]["macro_f1"]
        assert part["people"] == 6
        assert part["windows"] == len(y) // 2
        assert scores["lost"]["mean"] == pytest.approx(scores["in_training"]["mean"] - scores["left_out"]["mean"])
        assert scores["in_training"]["mean"] > 0.6  # one place's posture is the other's
        assert scores["lost"]["mean"] > 0.2
    assert "| place | windows | people | row | in training | left out | lost |" in sections(results)[0]
    assert len(files(results)["domain.csv"].splitlines()) == 1 + 2 * 3 * 3


def test_columns_of_a_set_are_read_and_checked(tmp_path: Path) -> None:
    x, y, pid = walkers()
    folder = save(tmp_path / "set", x, y, pid)
    place = np.where(np.arange(len(y)) % 2, "a", "b")
    np.save(folder / "place.npy", place)
    y = y.astype("<U8")
    y[3] = ""
    np.save(folder / "Y.npy", y)
    data = read_labelled(folder, 150, 30, "place")
    assert data.domain_N is not None
    assert data.domain_N.tolist() == np.delete(place, 3).tolist()
    assert read_labelled(folder, 150, 30).domain_N is None
    cases = [
        ("season", None, "this set has place"),
        ("pid", None, "use --protocol loso"),
        ("place", place[:5], "shape"),
    ]
    cases += [("place", np.where(place == "a", "", "b"), "empty ones"), ("place", np.full(len(y), "a"), "only 'a'")]
    for column, values, message in cases:
        if values is not None:
            np.save(folder / f"{column}.npy", values)
        with pytest.raises(UserError, match=message):
            read_labelled(folder, 150, 30, column)


def test_neighbours_are_those_of_scikit_learn_and_never_the_same_person() -> None:
    rng = np.random.default_rng(0)
    data = people_and_labels(5, 30, classes=4)
    features = rng.normal(size=(150, 6)).astype(np.float32) + data.y_N[:, None] * rng.normal(size=6).astype(np.float32)
    near = neighbours(data, features)
    unit_NF = unit(features)
    np.testing.assert_allclose(np.linalg.norm(unit_NF, axis=1), 1, rtol=1e-5)
    for person in range(5):
        own, others = data.person_N == person, data.person_N != person
        model = KNeighborsClassifier(20, metric="cosine").fit(unit_NF[others], data.y_N[others])
        _, found = model.kneighbors(unit_NF[own])
        assert np.array_equal(near[own], data.y_N[others][found])
    few = people_and_labels(2, 6)
    assert (neighbours(few, features[:12])[:, 6:] == -1).all()
    constant = neighbours(few, np.ones((12, 3), np.float32))
    assert (constant[:, :6] >= 0).all()


def test_a_vote_is_the_majority_and_of_equal_ones_the_nearest() -> None:
    near = np.array([[0, 1, 1, 2, 2], [2, 1, 1, 2, 0], [0, 1, 1, 1, 0], [1, -1, -1, -1, -1]])
    assert vote(near, 3).tolist() == [1, 2, 1, 1]
    assert vote(near[:, :1], 3).tolist() == [0, 2, 0, 1]


def test_retrieval_and_its_map(network: Any, tmp_path: Path) -> None:
    data = as_data(*walkers())
    results = evaluate(network, data, Settings(("handmade",), folds=3, retrieval=True))
    spaces = results["retrieval"]["spaces"]
    assert list(spaces) == [
        *("backbone", "random", "random, estimated statistics", "hand-made", "backbone and hand-made")
    ]
    for scores in spaces.values():
        recall = [each["mean"] for each in scores["recall"]]
        assert recall == sorted(recall)
        assert scores["macro_f1"][0]["mean"] > 0.8
    assert "recall@20" in sections(results)[0]
    features = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    drawn = {"First": features, "Second": features[:, :2]}
    save_figure(draw_map(drawn, np.arange(60) % 3, ("a", "b", "c"), 0), tmp_path / "map.png")
    assert (tmp_path / "map.png").stat().st_size > 10_000


def test_the_losses_are_drawn(network: Any, tmp_path: Path) -> None:
    results = evaluate(network, as_data(*walkers(people=3)), Settings(("handmade",), folds=3, shifts=True))
    save_figure(draw_shifts(results), tmp_path / "shifts.png")
    assert "rotated 90° about x" in sections(results)[0]
    assert len(files(results)["shifts.csv"].splitlines()) == 1 + 3 * len(results["shifts"]["shifts"])
