"""The comparison of a frozen backbone with random weights: its parts against references, then end to end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import cohen_kappa_score, confusion_matrix, f1_score

from pipeline.errors import UserError
from train.evaluate.compare import predict, random_network, summarise
from train.evaluate.dataset import read_labelled
from train.evaluate.features import estimate_statistics, extract
from train.evaluate.folds import assign_folds
from train.evaluate.head import DEFAULT_C, PENALTIES, choose, fit_head, objective
from train.evaluate.metrics import confusion, kappa, macro_f1, paired
from train.evaluate.workers import workers
from train.networks.harnet import Harnet

Ints = NDArray[np.int64]


def sklearn_f1(truth: Ints, predicted: Ints) -> float:
    return float(f1_score(truth, predicted, labels=np.unique(truth), average="macro", zero_division=0))


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60))
def test_metrics_agree_with_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    truth, predicted = np.array(pairs).T
    table = confusion(truth, predicted, 5)
    np.testing.assert_array_equal(table, confusion_matrix(truth, predicted, labels=range(5)))
    assert macro_f1(table) == pytest.approx(sklearn_f1(truth, predicted))
    if len(set(truth.tolist())) > 1:
        assert kappa(table) == pytest.approx(cohen_kappa_score(truth, predicted))
    else:
        assert np.isnan(kappa(table))


def test_metrics_by_hand() -> None:
    # truth: 3 of class 0 (2 right, 1 said to be class 2), 1 of class 1 (right); class 2 never happened
    table = confusion(np.array([0, 0, 0, 1]), np.array([0, 0, 2, 1]), 3)
    assert table.tolist() == [[2, 0, 1], [0, 1, 0], [0, 0, 0]]
    assert macro_f1(table) == pytest.approx((2 * 2 / (3 + 2) + 1) / 2)
    assert kappa(table) == pytest.approx((0.75 - (0.75 * 0.5 + 0.25 * 0.25)) / (1 - 0.4375))
    assert np.isnan(macro_f1(np.zeros((2, 2), np.int64)))
    # example of a textbook: 20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no: kappa 0.4
    assert kappa(np.array([[20, 5], [10, 15]])) == pytest.approx(0.4)


def test_paired_interval_against_published_quantiles() -> None:
    first, second = np.array([3.0, 5.0, 4.0, 6.0, np.nan]), np.array([1.0, 4.0, 1.0, 2.0, 7.0])
    result = paired(first, second[None])
    sd = (sum((d - 2.5) ** 2 for d in (2.0, 1.0, 3.0, 4.0)) / 3) ** 0.5
    half = 3.182446 * sd / 2  # Student's t, 97.5%, 3 degrees of freedom
    assert result.people == 4
    assert (result.mean, result.difference) == ((4.5, 2.0), 2.5)
    assert (result.low, result.high) == pytest.approx((2.5 - half, 2.5 + half), rel=1e-6)

    # two others around the same mean: 1.9 and 2.1, so their standard error is 0.1 with 1 degree of freedom
    both = paired(first, np.stack((second - 0.1, second + 0.1)))
    errors = (sd**2 / 4, 0.1**2)
    degrees = sum(errors) ** 2 / (errors[0] ** 2 / 3 + errors[1] ** 2 / 1)
    assert both.difference == pytest.approx(2.5)
    assert both.high - 2.5 == pytest.approx(stats.t(degrees).ppf(0.975) * sum(errors) ** 0.5)

    alone = paired(np.array([1.0]), np.array([[0.5], [0.7]]))
    assert alone.difference == pytest.approx(0.4)
    assert np.isnan(alone.low)
    assert np.isnan(alone.sd[0])
    assert np.isnan(paired(np.array([np.nan]), np.array([[1.0]])).difference)
    same = paired(np.ones(4), np.ones((3, 4)))
    assert (same.low, same.difference, same.high) == (0, 0, 0)


def test_the_interval_covers_the_true_difference_95_times_in_100() -> None:
    """Networks of one kind on people of one kind: the true difference is 0 and lies inside about 95 times in 100."""
    rng = np.random.default_rng(8)
    inside = 0
    for _ in range(1_000):
        people, networks, noise = rng.normal(0, 0.15, 20), rng.normal(0, 0.03, 5), rng.normal(0, 0.03, (6, 20))
        result = paired(people + noise[0], people + networks[:, None] + noise[1:])
        inside += result.low <= 0 <= result.high
    assert 925 <= inside <= 985


@given(
    st.lists(st.tuples(st.integers(0, 11), st.integers(0, 4)), min_size=2, max_size=200),
    st.integers(1, 12),
    st.integers(0, 3),
)
def test_folds_never_split_a_person(rows: list[tuple[int, int]], folds: int, seed: int) -> None:
    people, person = np.unique([person for person, _ in rows], return_inverse=True)
    y = np.array([label for _, label in rows])
    if folds > len(people):
        with pytest.raises(ValueError, match="folds"):
            assign_folds(y, person, folds, seed)
        return
    fold = assign_folds(y, person, folds, seed)
    assert all(len(set(fold[person == p].tolist())) == 1 for p in range(len(people)))
    assert set(fold.tolist()) == set(range(folds))
    assert (fold == assign_folds(y, person, folds, seed)).all()


def test_folds_spread_classes() -> None:
    # 10 people do class 0 only, 10 do class 1 only: every one of 5 folds can have two of each
    person = np.repeat(np.arange(20), 10)
    y = (person >= 10).astype(np.int64)
    fold = assign_folds(y, person, 5, 0)
    for f in range(5):
        assert [int((y[fold == f] == k).sum()) for k in (0, 1)] == [20, 20]


def test_head_is_at_the_optimum_that_scikit_learn_finds() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 7)).astype(np.float32) * 5 + 3
    x[:, 4] = 2.5  # never varies
    y = (x[:, 0] + rng.normal(size=200) > 3).astype(np.int64) + (x[:, 1] > 5)
    head = fit_head(x, y, 3, c=0.5)
    assert head.converged
    z = (x.astype(np.float64) - x.mean(0)) / np.where(x.std(0) > 0, x.std(0), 1)
    z[:, 4] = 0
    np.testing.assert_allclose(head.logits(x), z @ head.weight_FK + head.bias_K, atol=1e-4)

    reference = LogisticRegression(C=0.5, tol=1e-8, max_iter=10_000).fit(z, y)
    ours, theirs = (
        logits - logits.mean(1, keepdims=True) for logits in (head.logits(x), reference.decision_function(z))
    )
    np.testing.assert_allclose(ours, theirs, atol=0.01)

    parts = (head.weight_FK, head.bias_K, reference.coef_.T, reference.intercept_)
    weight, bias, best_weight, best_bias = (torch.tensor(part, dtype=torch.float64) for part in parts)
    data = torch.from_numpy(z), torch.from_numpy(y)
    loss = objective(*data, weight.requires_grad_(), bias.requires_grad_(), 0.5)
    loss.backward()
    assert loss.item() == pytest.approx(objective(*data, best_weight, best_bias, 0.5).item(), abs=1e-6)
    for parameter in (weight, bias):
        assert parameter.grad is not None
        assert parameter.grad.abs().max() < 2e-4  # strictly convex: a zero gradient is the optimum
    near = fit_head(x, y, 3, c=0.5, start=fit_head(x, y, 3, c=0.01))
    np.testing.assert_allclose(near.weight_FK, head.weight_FK, atol=0.01)


def test_penalty_and_view_are_chosen_by_people_held_out() -> None:
    rng = np.random.default_rng(3)
    person = np.repeat(np.arange(8), 30)
    y = rng.integers(0, 2, 240)
    signal = (y[:, None] + rng.normal(size=(240, 3))).astype(np.float32)
    # a view that identifies the windows of training people, and carries no information about anyone else
    own = (np.eye(8)[person][:, :, None] * rng.normal(size=(240, 1, 20))).reshape(240, -1).astype(np.float32)
    view, c, head = choose([own, np.hstack((signal, own))], y, person, 2, seed=0)
    assert view == 1
    assert c < max(PENALTIES)  # so many features that say nothing want a strong penalty
    assert head is not None
    assert head.c == c
    assert choose([own, signal], y[:30], person[:30], 2, seed=0) == (0, DEFAULT_C, None)


def test_estimated_statistics_are_those_of_the_windows() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(0.5, 2.0, size=(32, 3, 150)).astype(np.float32)
    network = random_network(cast(Any, Harnet("harnet5", 0.125)), 0)
    estimate_statistics(network, x, 0)
    assert not network.training
    first = network.get_submodule("layer1.0")
    with torch.no_grad():
        inner = first(torch.from_numpy(x))
    norm = network.get_submodule("layer1.1.bn1")
    assert isinstance(norm, torch.nn.BatchNorm1d)
    assert norm.momentum == 0.1
    torch.testing.assert_close(norm.running_mean, inner.mean((0, 2)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.running_var, inner.var((0, 2)), rtol=1e-4, atol=1e-5)


def test_random_networks_follow_the_seed_and_leave_the_generator_alone() -> None:
    like: Any = Harnet("harnet5", 0.125)
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    a, b, c = (random_network(like, seed).state_dict()["layer1.0.weight"] for seed in (0, 0, 1))
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_features_do_not_depend_on_the_batch() -> None:
    network: Any = Harnet("harnet5", 0.125)
    x = np.random.default_rng(0).normal(size=(300, 3, 150)).astype(np.float32)
    with workers() as pool:
        features, last = extract(network, x, pool), extract(network, x[256:], pool)
    assert features.shape == (300, 64)
    np.testing.assert_allclose(features[256:], last, atol=1e-5)


# ---------------------------------------------------------------------------------------------- labelled folders


def walkers(people: int = 6, each: int = 8, ticks: int = 150, rate: float = 30.0) -> tuple[Any, Any, Any]:
    """Windows in g: lying still in three postures, or moving at 2 Hz."""
    rng = np.random.default_rng(2)
    time = np.arange(ticks) / rate
    x, y, pid = [], [], []
    for person in range(people):
        for label, gravity, amplitude in (("up", 2, 0.0), ("side", 0, 0.0), ("moving", 1, 0.6)):
            for _ in range(each):
                window = rng.normal(0, 0.02, (ticks, 3))
                window[:, gravity] += 1 + amplitude * np.sin(2 * np.pi * 2 * time + rng.uniform(0, 6))
                x.append(window)
                y.append(label)
                pid.append(f"person {person}")
    return np.array(x, np.float32), np.array(y), np.array(pid)


def save(folder: Path, x: Any, y: Any, pid: Any) -> Path:
    folder.mkdir(exist_ok=True)
    for name, array in (("X", x), ("Y", y), ("pid", pid)):
        np.save(folder / f"{name}.npy", array)
    return folder


def test_a_set_is_read_unchanged(tmp_path: Path) -> None:
    x, y, pid = walkers()
    data = read_labelled(save(tmp_path / "set", x, y, pid), 150, rate_hz=30)
    assert np.array_equal(data.x_NCT, x.transpose(0, 2, 1))
    assert data.classes == ("moving", "side", "up")
    assert [data.classes[k] for k in data.y_N] == y.tolist()
    assert [data.people[p] for p in data.person_N] == pid.tolist()
    assert data.notes == ()


@pytest.mark.parametrize("missing", ["", " ", "nan", "None", "<NA>", float("nan")])
def test_windows_without_a_label_are_left_out_and_counted(tmp_path: Path, missing: Any) -> None:
    x, y, pid = walkers()
    numbers = np.unique(y, return_inverse=True)[1].astype(float)
    labels = numbers if isinstance(missing, float) else y.astype("<U8")
    labels[[3, 50]] = missing
    x[3] = np.nan  # what was not labelled may not have been measured either
    data = read_labelled(save(tmp_path / "set", x, labels, pid), 150, rate_hz=30)
    assert len(data.classes) == 3
    assert np.array_equal(data.x_NCT, np.delete(x, [3, 50], 0).transpose(0, 2, 1))
    assert [data.people[p] for p in data.person_N] == np.delete(pid, [3, 50]).tolist()
    assert any(f"2 of {len(x)} windows have no label" in note for note in data.notes)
    x[60, 0, 0] = np.inf
    with pytest.raises(UserError, match="window 60"):
        read_labelled(save(tmp_path / "bad", x, labels, pid), 150, rate_hz=30)
    labels[:] = missing
    with pytest.raises(UserError, match="only missing values"):
        read_labelled(save(tmp_path / "none", x, labels, pid), 150, rate_hz=30)


def test_windows_without_a_person_are_left_out(tmp_path: Path) -> None:
    x, y, pid = walkers()
    pid[7] = ""
    data = read_labelled(save(tmp_path / "set", x, y, pid), 150, rate_hz=30)
    assert len(data.x_NCT) == len(x) - 1
    assert any("1 of " in note and "no person" in note for note in data.notes)


@pytest.mark.parametrize(
    ("found", "ticks", "hertz"),
    [(150, 300, 15), (900, 300, 90), (300, 150, 60), (900, 150, 180), (300, 900, 10), (450, 300, 45)],
)
def test_windows_that_look_like_another_length_need_a_rate(tmp_path: Path, found: int, ticks: int, hertz: int) -> None:
    folder = save(tmp_path / "set", *walkers(ticks=found, rate=hertz))
    with pytest.raises(UserError, match=rf"{found} ticks without a rate.* or {hertz} Hz\. Give their --rate"):
        read_labelled(folder, ticks)
    assert read_labelled(folder, ticks, rate_hz=hertz).x_NCT.shape[2] == ticks


def test_a_rate_of_a_device_is_assumed(tmp_path: Path) -> None:
    data = read_labelled(save(tmp_path / "set", *walkers(ticks=1000, rate=100)), 300)
    assert "assuming that 1000 ticks last 10 s, 100 Hz" in data.notes[0]


def test_a_class_of_one_person_is_noted(tmp_path: Path) -> None:
    x, y, pid = walkers()
    y = np.where((pid == "person 3") & (y == "moving"), "dancing", y)
    data = read_labelled(save(tmp_path / "set", x, y, pid), 150, rate_hz=30)
    assert len(data.notes) == 1
    assert data.notes[0].endswith("tested: dancing")


def test_channels_first_and_unknown_rate_are_recognised_and_noted(tmp_path: Path) -> None:
    x, y, pid = walkers()
    data = read_labelled(save(tmp_path / "set", x.transpose(0, 2, 1), y, pid), 150)
    assert np.array_equal(data.x_NCT, x.transpose(0, 2, 1))
    assert "channels-first" in data.notes[0]
    assert "30 Hz" in data.notes[1]


@pytest.mark.parametrize(("rate", "ticks"), [(100.0, 500), (20.0, 100), (31.25, 156), (64.0, 320)])
def test_other_rates_are_resampled(tmp_path: Path, rate: float, ticks: int) -> None:
    x, y, pid = walkers(people=2, each=2, ticks=ticks, rate=rate)
    phase = np.arange(ticks) / rate
    x[0] = np.stack((np.sin(2 * np.pi * 1.5 * phase), 1 + 0 * phase, 0.5 * np.cos(2 * np.pi * 3 * phase)), 1)
    data = read_labelled(save(tmp_path / "set", x, y, pid), 150, rate_hz=rate)
    at = np.arange(150) / 30
    expected = np.stack((np.sin(2 * np.pi * 1.5 * at), 1 + 0 * at, 0.5 * np.cos(2 * np.pi * 3 * at)))
    np.testing.assert_allclose(data.x_NCT[0][:, 12:-12], expected[:, 12:-12], atol=0.02)
    assert any("resampled" in note for note in data.notes)


def test_the_rate_of_info_json_is_used(tmp_path: Path) -> None:
    folder = save(tmp_path / "set", *walkers(ticks=100, rate=20))
    (folder / "info.json").write_text(json.dumps({"rate_hz": 20}))
    assert read_labelled(folder, 150).x_NCT.shape[2] == 150
    (folder / "info.json").write_text("{}")
    with pytest.raises(UserError, match="rate_hz"):
        read_labelled(folder, 150)


def test_faults_of_a_set_are_reported(tmp_path: Path) -> None:
    x, y, pid = walkers()
    nan = x.copy()
    nan[17, 3, 1] = np.nan
    cases: dict[str, tuple[Any, Any, Any, str]] = {
        "short": (x, y[:-1], pid, "143 in Y.npy"),
        "empty": (x[:0], y[:0], pid[:0], "0 in X.npy"),
        "flat": (x.reshape(len(x), -1), y, pid, r"\(windows, ticks, 3\)"),
        "two axes": (x[:, :, :2], y, pid, r"\(windows, ticks, 3\)"),
        "text": (y, y, pid, r"\(windows, ticks, 3\)"),
        "one hot": (x, np.eye(3)[np.zeros(len(x), int)], pid, "one-hot"),
        "nan": (nan, y, pid, "window 17"),
        "ms2": (x * 9.80665, y, pid, "looks like m/s².*9.80665"),
        "mg": (x * 1000, y, pid, "looks like mg"),
        "one person": (x, y, np.full(len(x), "me"), "person 'me'"),
        "one class": (x, np.full(len(x), "sit"), pid, "class 'sit'"),
        "objects": (x, y.astype(object), pid, "astype"),
        "length": (x[:, :75], y, pid, "windows of 5 s .* found 75 ticks"),
    }
    for name, (bad_x, bad_y, bad_pid, message) in cases.items():
        with pytest.raises(UserError, match=message):
            read_labelled(save(tmp_path / name, bad_x, bad_y, bad_pid), 150, rate_hz=30)
    folder = save(tmp_path / "set", x, y, pid)
    with pytest.raises(UserError, match="--rate"):
        read_labelled(folder, 150, rate_hz=0)
    (folder / "pid.npy").unlink()
    with pytest.raises(UserError, match="no such file"):
        read_labelled(folder, 150)
    (folder / "pid.npy").write_text("person")
    with pytest.raises(UserError, match="expected an array"):
        read_labelled(folder, 150)


def test_removed_gravity_is_noted(tmp_path: Path) -> None:
    x, y, pid = walkers()
    data = read_labelled(save(tmp_path / "set", x - x.mean(1, keepdims=True), y, pid), 150, rate_hz=30)
    assert any("gravity" in note for note in data.notes)


def test_the_comparison_end_to_end(tmp_path: Path) -> None:
    x, y, pid = walkers()
    y[pid == "person 0"] = "up"  # one true class: no kappa for this person
    data = read_labelled(save(tmp_path / "set", x, y, pid), 150, rate_hz=30)
    network = random_network(cast(Any, Harnet("harnet5", 0.125)), 99)
    predictions = predict(network, data, folds=3, seed=0)
    results = summarise(data, predictions)
    json.dumps(results, allow_nan=False)
    assert [row["subject"] for row in results["subjects"]] == [f"person {i}" for i in range(6)]
    table = np.array(results["confusion"])
    assert table.sum(1).tolist() == [int((y == k).sum()) for k in results["classes"]]
    assert np.trace(table) == int((predictions.predicted_RN["pretrained"][0] == data.y_N).sum())
    for kind, networks in (("pretrained", 1), ("random", 5)):
        assert predictions.predicted_RN[kind].shape == (networks, len(y))
        for row in results["subjects"][1:]:
            own = pid == row["subject"]
            truth, said = data.y_N[own], predictions.predicted_RN[kind][:, own]
            assert row[kind]["macro_f1"] == pytest.approx(np.mean([sklearn_f1(truth, each) for each in said]))
            assert row[kind]["kappa"] == pytest.approx(np.mean([cohen_kappa_score(truth, each) for each in said]))
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
    before = predict(network, data, folds=3, seed=0)
    y[pid == "person 2"] = np.roll(y[pid == "person 2"], 8)  # other labels, as many of each
    data = read_labelled(save(tmp_path / "set", x, y, pid), 150, rate_hz=30)
    after = predict(network, data, folds=3, seed=0)
    own = pid == "person 2"
    same_fold = before.fold_N == before.fold_N[own][0]
    assert (before.fold_N == after.fold_N).all()
    for name in ("pretrained", "random"):
        assert (before.predicted_RN[name][:, same_fold] == after.predicted_RN[name][:, same_fold]).all()


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_paired_difference_is_the_difference_of_means(seed: int) -> None:
    first, second = np.random.default_rng(seed).normal(size=(2, 9))
    result = paired(first, second[None])
    assert result.difference == pytest.approx(result.mean[0] - result.mean[1])
    assert result.low <= result.difference <= result.high
