"""`persondays report-training`: numbers and pictures from the log of a real run."""

from __future__ import annotations

import json
import math
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.cli import run_command
from pipeline.errors import UserError
from pipeline.identity import Key
from pipeline.store.day_reader import DayReader
from pipeline.store.store import Store
from tests.train.days import write_store
from tests.train.runs import RECIPE
from train.loop.trainer import train
from train.recipe import load_recipe
from train.report.command import report_training
from train.report.draws import Draws, deciles, draws_of, inclusion
from train.report.history import History, read_history
from train.tracking.log import read_lines
from train.windows.lanes import deal, quotas
from train.windows.members import select
from train.windows.stream import Stream

SMALL = ["network.width=0.125", "data.lanes=4", "data.min_wear_hours=0", "data.threads=1", "data.windows_per_day=4000"]
RUN = ["run.batch=16", "run.windows=160", "run.validate_every=80", "run.save_every=160", "run.threads=1"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write_store(str(tmp_path_factory.mktemp("made") / "store"), people=4, days=2)


def trained(store: Store, folder: Path, *more: str) -> Path:
    """The logs of a short run."""
    assert train(load_recipe(RECIPE, [*SMALL, *RUN, *more]), store.folder.url, str(folder), "auto", None) == 0
    return folder / "logs"


@pytest.fixture(scope="module")
def logs(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(store, tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def control(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(store, tmp_path_factory.mktemp("control"), "run.windows=96", "data.control=noise")


@pytest.fixture(scope="module")
def history(logs: Path) -> History:
    return read_history(logs)


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["report-training", *map(str, arguments)])
    return run_command(report_training, "report-training")


# the command


def test_all_parts_are_written_with_the_log_s_own_numbers(
    store: Store, logs: Path, control: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "report"
    parts = ("--logs", logs, "--control-logs", control, "--store", store.folder.url, "--out", out)
    assert call(monkeypatch, *parts) == 0
    assert sorted(path.name for path in out.iterdir()) == ["curves.png", "draws.png", "training.json"]
    for name in ("curves.png", "draws.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")
    text = (out / "training.json").read_text()
    found = json.loads(text)
    lines = read_lines(logs / "log.jsonl")
    last = [line for line in lines if line["kind"] == "validation"][-1]
    steps = [line for line in lines if line["kind"] == "train"]
    assert found["windows_seen"] == 160
    assert found["participants_held_out"] == 2
    assert set(found["tasks"]) == {"permutation", "reversal", "warp"}
    for task, scores in found["tasks"].items():
        assert scores["unlearned_loss"] == pytest.approx(math.log(2))
        assert {name: scores[name] for name in ("real", "noise", "phase")} == {
            name: last[name][task] for name in ("real", "noise", "phase")
        }
    own = [line for line in read_lines(control / "log.jsonl") if line["kind"] == "validation"][-1]
    assert found["tasks"]["warp"]["trained_on_noise"] == own["noise"]["warp"]
    assert found["control"]["windows_seen"] == 96
    assert found["windows_per_s"] == pytest.approx(np.median([line["windows_per_s"] for line in steps]))
    assert found["training_seconds"] == pytest.approx(sum(line["windows"] / line["windows_per_s"] for line in steps))
    assert "0" * 13 not in text, "more than the short form of an id of the made store"


def test_a_log_alone_gives_curves_and_numbers(logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(monkeypatch, "--logs", logs, "--out", tmp_path) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.png", "training.json"]
    found = json.loads((tmp_path / "training.json").read_text())
    assert found["draws"] is None
    assert found["control"] is None
    assert found["tasks"]["warp"]["trained_on_noise"] is None


def test_a_run_before_its_first_training_line_is_drawn(
    logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = [line for line in read_lines(logs / "log.jsonl") if line["step"] == 0]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in begun) + '{"kind": "trai')
    assert call(monkeypatch, "--logs", tmp_path, "--out", tmp_path / "out") == 0
    found = json.loads((tmp_path / "out" / "training.json").read_text())
    assert (found["windows_seen"], found["windows_per_s"]) == (0, None)


def test_mistakes_are_reported(
    store: Store,
    logs: Path,
    control: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "log.jsonl").write_text('{"kind": "start", "step": 0}\n')
    other = Store.create(str(tmp_path / "other"), Key(bytes([1] * 32)), {})
    for arguments, message in (
        (("--logs", tmp_path / "none"), "expected a readable log of a training run"),
        (("--logs", tmp_path / "cut"), "Wait for the run's first validation"),
        (("--logs", logs, "--control-logs", logs), "expected the log of a run with data.control = noise"),
        (("--logs", logs, "--store", other.folder.url), "used another store"),
    ):
        assert call(monkeypatch, *arguments, "--out", tmp_path / "out") == 1
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# the draws


def test_the_draws_are_those_of_the_run(store: Store, history: History) -> None:
    """Compared with the first round of a stream with the same settings."""
    found = draws_of(history, store)
    people = set(history.start["validation_participants"])
    members = select(store, 10, 0.0, None).without_participants(people)
    quota = quotas(members.starts, 4000)
    lanes = deal(members.slots, quota, history.start["stream"]["lanes"], 0, 4)
    lane = next(lane for lane in lanes if found.slot in lane.slots)
    with Stream(DayReader(store.folder), [lane], lane.begin(1), 10, threads=1) as stream:
        windows = next(stream)
    starts = windows.start_B[windows.slot_B == found.slot].sort().values.numpy()
    np.testing.assert_array_equal(found.start_N[found.drawn_N], starts)
    assert found.lane == lane.number
    assert found.slot in members.slots, "a day of somebody held out"


@settings(max_examples=50)
@given(
    st.lists(st.floats(1e-6, 4.0), min_size=2, max_size=60).flatmap(
        lambda weights: st.tuples(st.just(weights), st.integers(1, len(weights)))
    )
)
def test_probabilities_of_being_drawn_sum_to_the_quota(case: tuple[list[float], int]) -> None:
    weights, quota = np.array(case[0]), case[1]
    expected = inclusion(weights, quota)
    assert expected.sum() == pytest.approx(quota, rel=1e-6)
    assert ((expected >= 0) & (expected <= 1)).all()
    assert (np.diff(expected[np.argsort(weights)]) >= -1e-12).all()


def test_probabilities_agree_with_draws_made_one_by_one() -> None:
    """Numpy draws without replacement by the same law, in another way."""
    random = np.random.default_rng(0)
    weights = random.lognormal(0, 1.5, 200)
    counts = np.zeros(200)
    for _ in range(3000):
        counts[random.choice(200, 60, replace=False, p=weights / weights.sum())] += 1
    np.testing.assert_allclose(counts / 3000, inclusion(weights, 60), atol=0.045)


def test_tenths_contain_all_starts_and_windows(store: Store, history: History) -> None:
    draws = draws_of(history, store)
    tenths = deciles(draws)
    assert sum(tenth["starts"] for tenth in tenths) == draws.start_N.size
    assert sum(tenth["drawn"] for tenth in tenths) == draws.drawn_N.sum()
    for name in ("share", "expected"):
        assert sum(tenth[name] for tenth in tenths) == pytest.approx(1, rel=1e-6)
    assert all(a["heaviest_g"] <= b["lightest_g"] for a, b in pairwise(tenths))


def test_true_draws_are_within_the_range_of_chance_and_uniform_ones_are_not(store: Store, history: History) -> None:
    """The picture must reveal a sampler that breaks the sampling law."""
    draws = draws_of(history, store)
    random = np.random.default_rng(0)
    weights, quota = np.sort(random.lognormal(-3, 1.5, 20_000)), 1000
    expected = inclusion(weights, quota)

    def outside(drawn: Any) -> int:
        flags = np.isin(np.arange(weights.size), drawn)
        values = {**vars(draws), "start_N": np.arange(weights.size), "weight_N": weights, "expected_N": expected}
        return sum(not t["low"] <= t["share"] <= t["high"] for t in deciles(Draws(**{**values, "drawn_N": flags})))

    by_weight = [np.argsort(random.exponential(size=weights.size) / weights)[:quota] for _ in range(40)]
    assert sum(map(outside, by_weight)) <= 15, "40 draws of 10 tenths, 1% of them expected"
    assert outside(random.choice(weights.size, quota, replace=False)) >= 5


def test_a_log_of_a_table_version_that_is_gone_is_refused(store: Store, history: History) -> None:
    start = {**history.start, "stream": {**history.start["stream"], "table_version": 10_000}}
    with pytest.raises(UserError, match="version 10000"):
        draws_of(History(start, history.train, history.validation), Store.open(store.folder.url))
