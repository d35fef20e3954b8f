"""Smoothing: Viterbi against every sequence there is, transitions from bouts, and what it does to a noisy day."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import UserError
from tests.train.evaluate.labelled_sets import as_data, walkers
from train.classify.classifier import read_classifier
from train.classify.fit import FitSettings, fit_classifier, write_fit
from train.classify.smoothing import LABELLED, Smoothing, learn_smoothing, stationary, viterbi
from train.evaluate.cells import Cells
from train.labelled.bouts import Bout, BoutCounts
from train.networks import Encoder

CLASSES = ("sit", "walk", "run")


def made(seed: int = 0) -> Smoothing:
    rng = np.random.default_rng(seed)
    following = rng.uniform(0.1, 1, (3, 3)) * (1 - np.eye(3))
    return Smoothing(np.array([300.0, 45.0, 30.0]), following / following.sum(1, keepdims=True), "a test")


@pytest.mark.parametrize("seed", range(5))
def test_viterbi_finds_the_best_of_all_sequences(seed: int) -> None:
    rng = np.random.default_rng(seed)
    emission, step = rng.normal(size=(7, 3)), made(seed).transitions(10)
    start = stationary(step)
    first = np.array([True, False, False, True, False, False, False])

    def score(states: tuple[int, ...]) -> float:
        total = 0.0
        for number, state in enumerate(states):
            before = start[state] if first[number] else step[states[number - 1], state]
            total += emission[number, state] + np.log(before)
        return total

    best = max(product(range(3), repeat=7), key=score)
    assert viterbi(emission, first, np.log(start), np.log(step)).tolist() == list(best)


def test_transitions_keep_the_mean_length_of_a_bout() -> None:
    step = made().transitions(10)
    np.testing.assert_allclose(step.sum(1), 1)
    np.testing.assert_allclose(10 / (1 - np.diag(step)), [300, 45, 30])
    np.testing.assert_allclose(stationary(step) @ step, stationary(step), atol=1e-9)
    assert np.diag(made().transitions(30))[2] == 0.5, "no shorter than two windows"


def test_a_lone_window_is_outvoted_and_a_pause_ends_the_sequence() -> None:
    smoothing = made()
    chances = np.tile([0.8, 0.1, 0.1], (40, 1))
    chances[20] = [0.3, 0.6, 0.1]
    prior = np.full(3, 1 / 3)
    assert smoothing.decode(np.log(chances), prior, np.arange(40), 10).tolist() == [0] * 40
    chances[20:] = [0.05, 0.9, 0.05]
    assert smoothing.decode(np.log(chances), prior, np.arange(40), 10).tolist() == [0] * 20 + [1] * 20
    alone = np.array([[0.2, 0.75, 0.05]])
    near = np.vstack([np.tile([0.9, 0.05, 0.05], (20, 1)), alone])
    steps = np.append(np.arange(20), 20)
    assert smoothing.decode(np.log(near), prior, steps, 10)[-1] == 0
    steps[-1] = 4_000
    start = stationary(smoothing.transitions(10))
    assert smoothing.decode(np.log(near), prior, steps, 10)[-1] == (start * alone[0]).argmax()
    assert smoothing.decode(np.zeros((0, 3)), prior, np.zeros(0, np.int64), 10).tolist() == []


def test_frequent_classes_of_the_labelled_set_do_not_count_twice() -> None:
    """With the same likelihoods, another prior of the labelled set decodes the same sequence."""
    rng = np.random.default_rng(1)
    likelihood = rng.uniform(0.05, 1, (200, 3))
    found = []
    for prior in (np.array([1, 1, 1]) / 3, np.array([0.9, 0.05, 0.05])):
        chances = likelihood * prior
        log = np.log(chances / chances.sum(1, keepdims=True))
        found.append(made().decode(log, prior, np.arange(200), 10).tolist())
    assert found[0] == found[1]


def test_it_mends_a_noisy_day() -> None:
    rng = np.random.default_rng(2)
    smoothing = made()
    step = smoothing.transitions(10)
    truth = [0]
    for _ in range(4_000):
        truth.append(int(rng.choice(3, p=step[truth[-1]])))
    scores = rng.normal(0, 1, (len(truth), 3)) + 1.5 * np.eye(3)[truth]
    log = scores * 1.5 - np.log(np.exp(scores * 1.5).sum(1, keepdims=True))
    plain = (log.argmax(1) == truth).mean()
    smooth = (smoothing.decode(log, np.full(3, 1 / 3), np.arange(len(truth)), 10) == truth).mean()
    assert smooth > plain + 0.1


# ---------------------------------------------------------------------------------------- transitions of labelled bouts


def test_bouts_are_counted_with_what_follows_them() -> None:
    counts = BoutCounts()
    counts.add([Bout(0, 100, "sit"), Bout(100, 130, "walk"), Bout(140, 150, "walk"), Bout(150, 400, "sit")])
    counts.add([Bout(1000, 1010, "run"), Bout(5000, 5010, "walk")])
    assert counts.facts() == {
        "bouts": {
            "mean_seconds": {"run": 10.0, "sit": 175.0, "walk": 30.0},
            "next": [["sit", "walk", 1], ["walk", "sit", 1]],
        }
    }
    alone = BoutCounts()
    alone.add([Bout(0, 100, "sit")])
    assert alone.facts() == {}, "no order, so nothing is known of transitions"


def test_transitions_are_those_of_the_labelled_set_or_of_one_length(tmp_path: Path) -> None:
    for text in (None, "{}", "[]", "not JSON"):
        if text is not None:
            (tmp_path / "info.json").write_text(text)
        found = learn_smoothing(tmp_path, CLASSES)
        assert found.bout_s_K.tolist() == [60] * 3
        assert found.next_KK[0].tolist() == [0, 0.5, 0.5]
    bouts = {"mean_seconds": {"sit": 200, "walk": 50, "run": 20}, "next": [["sit", "walk", 9], ["walk", "sit", 4]]}
    (tmp_path / "info.json").write_text(json.dumps({"bouts": bouts}))
    found = learn_smoothing(tmp_path, CLASSES)
    assert found.source == LABELLED
    assert found.bout_s_K.tolist() == [200, 50, 20]
    assert found.next_KK[0].tolist() == pytest.approx([0, 0.95, 0.05])
    assert learn_smoothing(tmp_path, CLASSES, 30).bout_s_K.tolist() == [30] * 3
    bouts["mean_seconds"] = {"sit": 200, "walk": 0, "run": 20}
    (tmp_path / "info.json").write_text(json.dumps({"bouts": bouts}))
    assert learn_smoothing(tmp_path, CLASSES).bout_s_K.tolist() == [200, 60, 20], "no length says nothing"
    expected = r"info\.json: expected `bouts` with the mean seconds of every activity in Y\.npy and successions"
    with pytest.raises(UserError, match=f"{expected}, found no mean seconds of swim, yoga. Give"):
        learn_smoothing(tmp_path, ("sit", "swim", "walk", "yoga"))
    for wrong in ({"sit": -1, "walk": 50, "run": 20}, {"sit": "long", "walk": 50, "run": 20}, 3):
        (tmp_path / "info.json").write_text(json.dumps({"bouts": bouts | {"mean_seconds": wrong}}))
        with pytest.raises(UserError, match=f"{expected}, found other values"):
            learn_smoothing(tmp_path, CLASSES)


def test_a_classifier_keeps_its_smoothing(backbone: Encoder, tmp_path: Path) -> None:
    settings = FitSettings(folds=2, smoothing=made())
    write_fit(fit_classifier(backbone, as_data(*walkers(people=4)), settings), tmp_path / "out", Cells())
    read = read_classifier(tmp_path / "out")
    assert read.smoothing is not None
    np.testing.assert_array_equal(read.smoothing.next_KK, made().next_KK)
    log = np.log(np.tile([0.8, 0.1, 0.1], (9, 1)))
    log[4] = np.log([0.3, 0.6, 0.1])
    assert read.classes_of(log, np.arange(9), 10).tolist() == [0] * 9
    assert "hidden Markov model" in (tmp_path / "out" / "README.md").read_text()
