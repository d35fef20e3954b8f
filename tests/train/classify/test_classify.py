"""`persondays classify`: every interval of a day, minutes a day, the picture, resuming, what it refuses."""

from __future__ import annotations

import csv
import io
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from pipeline import grid
from pipeline.errors import UserError
from pipeline.store.states import eligible, worn
from pipeline.store.store import Store
from tests.train.classify.conftest import Run
from tests.train.days import NoiseDays, write_store
from tests.train.evaluate.labelled_sets import as_data, walkers
from tests.waiting import PATIENCE_S
from train.classify.classifier import Classifier, read_classifier
from train.classify.days import DayStates
from train.classify.fit import FitSettings, fit_classifier, write_fit
from train.classify.picture import MOST_ROWS, Picture, each_minute
from train.classify.run import ClassifySettings, classify
from train.distributed.processes import Processes
from train.evaluate.cells import Cells
from train.networks import Encoder

CLASSES = ("moving", "side", "up")
SECONDS = 5


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two participants, two days each with 4,000 seconds of noise; the last day is empty. Tests must not change it."""
    made = write_store(str(tmp_path_factory.mktemp("noise") / "store"), 2, 2, made=NoiseDays(4_000))
    empty = np.zeros(grid.SECONDS_PER_DAY, np.uint8)
    day = made.read_day(3)
    day.state_S[:], day.motion_S[:], day.signal_CT[:] = empty, np.nan, grid.FILL
    made.delete_days([3])
    made.write_day(3, day)
    return made.folder.url


@pytest.fixture(scope="module")
def read(classifier: Path) -> Classifier:
    return read_classifier(classifier)


@pytest.fixture(scope="module")
def out(read: Classifier, store: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `classify` writes; tests must not change it."""
    folder = tmp_path_factory.mktemp("classified") / "out"
    classify(read, store, str(folder), ClassifySettings(), Processes(1))
    return folder


def table(out: Path) -> pa.Table:
    return pq.read_table(out / "activities")


def files(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_every_interval_has_a_row_and_every_eligible_window_its_activity(
    out: Path, read: Classifier, store: str
) -> None:
    rows = table(out)
    each = grid.SECONDS_PER_DAY // SECONDS
    assert rows["slot"].to_pylist() == np.repeat(range(4), each).tolist()
    assert rows["start_second"].to_pylist() == [*range(0, grid.SECONDS_PER_DAY, SECONDS)] * 4
    activity, probability = rows["activity"].to_pylist(), rows["probability"].to_pylist()
    for slot in range(4):
        day = Store.open(store).read_day(slot)
        own = slice(slot * each, (slot + 1) * each)
        share = eligible(day.state_S).reshape(each, SECONDS).mean(1)
        np.testing.assert_allclose(rows["eligible_share"].to_numpy()[own], share)
        np.testing.assert_allclose(rows["worn_share"].to_numpy()[own], worn(day.state_S).reshape(each, SECONDS).mean(1))
        assert [name is not None for name in activity[own]] == (share == 1).tolist()
        assert [value is not None for value in probability[own]] == (share == 1).tolist()
        starts = np.flatnonzero(share == 1) * SECONDS
        if not len(starts):
            assert slot == 3
            continue
        x = np.stack([day.signal_CT[:, 30 * start : 30 * (start + SECONDS)] for start in starts]) / np.float32(1024)
        log = read.log_probabilities(read.logits(x.astype(np.float32)))
        found = np.array([CLASSES.index(name) for name in activity[own] if name is not None])
        assert (found == log.argmax(1)).mean() > 0.99
        np.testing.assert_allclose(
            [value for value in probability[own] if value is not None], np.exp(log.max(1)), atol=2e-3
        )


def test_minutes_a_day_are_those_of_the_table(out: Path) -> None:
    rows = table(out)
    lines = list(csv.DictReader(io.StringIO((out / "days.csv").read_text())))
    assert list(lines[0]) == ["slot", "participant", "day", *CLASSES, "not worn", "unknown"]
    slots, activity = np.array(rows["slot"]), np.array(rows["activity"].to_pylist(), object)
    worn_N = rows["worn_share"].to_numpy() >= 0.5
    for slot, line in enumerate(lines):
        own = slots == slot
        minutes = {name: float(line[name]) for name in (*CLASSES, "not worn", "unknown")}
        assert sum(minutes.values()) == pytest.approx(1440, abs=0.05)
        for name in CLASSES:
            assert minutes[name] == pytest.approx((activity[own] == name).sum() * SECONDS / 60, abs=0.01)
        none = own & np.array([name is None for name in activity])
        assert minutes["not worn"] == pytest.approx((none & ~worn_N).sum() * SECONDS / 60, abs=0.01)
        assert line["participant"] == f"{slot // 2:064x}"
    assert float(lines[3]["not worn"]) == 1440


def test_it_resumes_and_knows_what_is_left(read: Classifier, store: str, out: Path, tmp_path: Path) -> None:
    settings = ClassifySettings(days_per_file=1)
    classify(read, store, str(tmp_path / "out"), settings, Processes(1))
    made = files(tmp_path / "out")
    assert len(made) == 6
    parts = sorted((tmp_path / "out" / "activities").iterdir())
    parts[1].unlink()
    (tmp_path / "out" / "days.csv").unlink()
    said = classify(read, store, str(tmp_path / "out"), settings, Processes(1))
    assert files(tmp_path / "out") == made
    windows = int((np.array(pq.read_table(parts[1])["eligible_share"]) == 1).sum())
    assert f"4 person-days in 4 files, {windows} windows classified now" in said
    assert made["days.csv"] == (out / "days.csv").read_bytes(), "the same, whatever the files"


def test_several_processes_write_the_same(classifier: Path, store: str, read: Classifier, tmp_path: Path) -> None:
    classify(read, store, str(tmp_path / "one"), ClassifySettings(days_per_file=1), Processes(1))
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "train.classify"]
    flags = ["--classifier", str(classifier), "--store", store, "--out", str(tmp_path / "two"), "--days-per-file", "1"]
    done = subprocess.run(
        [sys.executable, *torchrun, *flags], capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )
    assert done.returncode == 0, done.stderr
    one, two = files(tmp_path / "one"), files(tmp_path / "two")
    assert one.keys() == two.keys()
    first, second = table(tmp_path / "one"), table(tmp_path / "two")
    assert first.drop_columns(["probability"]) == second.drop_columns(["probability"])


def test_another_classifier_and_foreign_files_are_refused(
    backbone: Encoder, read: Classifier, store: str, out: Path, tmp_path: Path
) -> None:
    write_fit(fit_classifier(backbone, as_data(*walkers(people=5)), FitSettings(folds=2)), tmp_path / "c", Cells())
    with pytest.raises(UserError, match=r"holds another table of activities .classifier_sha256: there"):
        classify(read_classifier(tmp_path / "c"), store, str(out), ClassifySettings(), Processes(1))
    with pytest.raises(UserError, match=r"min_eligible: there 1\.0, now 0\.5"):
        classify(read, store, str(out), ClassifySettings(min_eligible=0.5), Processes(1))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("mine")
    with pytest.raises(UserError, match=r"found thesis\.tex"):
        classify(read, store, str(tmp_path / "mine"), ClassifySettings(), Processes(1))


def test_days_of_the_withdrawn_go_also_if_nobody_is_left(read: Classifier, store: str, tmp_path: Path) -> None:
    shutil.copytree(store, tmp_path / "store")
    own, out = Store.open(str(tmp_path / "store")), tmp_path / "out"
    classify(read, own.folder.url, str(out), ClassifySettings(), Processes(1))
    rows = [row | {"wear_seconds": 0} for row in own.person_days.read().to_pylist() if row["slot"] >= 2]
    own.person_days.replace(sorted({row["recording"] for row in rows}), rows)
    own.withdrawals.begin([f"{0:064x}"], date(2026, 1, 1))
    classify(read, own.folder.url, str(out), ClassifySettings(), Processes(1))
    assert set(table(out)["slot"].to_pylist()) == {2, 3}, "although nobody who is left wore the device"
    own.withdrawals.begin([f"{1:064x}"], date(2026, 1, 1))
    with pytest.raises(UserError, match="participants who have not withdrawn, found none"):
        classify(read, own.folder.url, str(out), ClassifySettings(), Processes(1))
    assert files(out) == {}


def test_the_summary_is_of_the_days_that_can_be_read(read: Classifier, store: str, tmp_path: Path) -> None:
    shutil.copytree(store, tmp_path / "store")
    own, out, settings = str(tmp_path / "store"), tmp_path / "out", ClassifySettings(days_per_file=1)
    classify(read, own, str(out), settings, Processes(1))
    before = files(out)
    sorted((out / "activities").iterdir())[1].unlink()
    (tmp_path / "store/signal/c/1/0/0").unlink()
    with pytest.raises(UserError, match=r"\(slots 1\), .* with 1 person-days \(slots 1\); all others are written"):
        classify(read, own, str(out), settings, Processes(1))
    lines = before["days.csv"].decode().splitlines()
    assert (out / "days.csv").read_text().splitlines() == [lines[0], lines[1], *lines[3:]]
    assert files(out)["days.png"] != before["days.png"]


def test_a_store_without_a_worn_hour_is_refused(read: Classifier, tmp_path: Path) -> None:
    store = write_store(str(tmp_path / "store"), 1, 1, made=NoiseDays(900)).folder.url
    with pytest.raises(UserError, match=r"expected a day with an hour worn, found at most 13 minutes in 1 person-days"):
        classify(read, store, str(tmp_path / "out"), ClassifySettings(), Processes(1))
    assert not (tmp_path / "out").exists()


def test_mistakes_give_one_message(
    classifier: Path, weights: Path, store: str, tmp_path: Path, persondays: Run
) -> None:
    given = ("classify", "--store", store, "--out", tmp_path / "out")
    foreign = ("classify", "--recordings", tmp_path / "none", "--classifier", classifier)
    for name in ("mine/thesis.tex", "other/activities/mine.csv"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("mine")
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for file in classifier.iterdir():
        (damaged / file.name).write_bytes(file.read_bytes())
    data = bytearray((damaged / "model.safetensors").read_bytes())
    data[-1] ^= 4
    (damaged / "model.safetensors").write_bytes(data)
    cases: list[tuple[tuple[object, ...], str]] = [
        ((*given, "--classifier", tmp_path / "none"), "a folder that `persondays fit` wrote; found no folder"),
        ((*given, "--classifier", weights.parent), "a folder without config.json"),
        ((*given, "--classifier", damaged), "model.safetensors is not the file that config.json describes"),
        ((*given, "--classifier", classifier, "--", "--id-regex", "P"), "flags for ingest need --recordings"),
        ((*given, "--classifier", classifier, "--key-file", "key"), "--key-file: only ingest needs the key"),
        ((*foreign, "--out", tmp_path / "mine"), "found thesis.tex"),
        ((*foreign, "--out", tmp_path / "other"), "expected an empty folder or a table of activities, found mine.csv"),
        (("classify", "--out", tmp_path / "out", "--classifier", classifier), "--store or --recordings"),
        (("classify", "--store", tmp_path, "--out", tmp_path / "out", "--classifier", classifier), "a window store"),
    ]
    for arguments, message in cases:
        status, _, err = persondays(*arguments)
        assert status == 1, arguments
        assert message in err
        assert "Traceback" not in err
    assert not (tmp_path / "out").exists()


# ------------------------------------------------------------------------------------------------------- the picture


def made_day(slot: int, state: Any) -> DayStates:
    return DayStates(slot, f"{slot // 7:064x}", None, np.asarray(state, np.uint8))


def test_a_minute_has_its_most_frequent_state() -> None:
    state = np.zeros(8_640, np.uint8)
    state[6:10] = 2
    state[12:15] = 1
    assert each_minute(state, 5)[:4].tolist() == [0, 2, 0, 0]


@pytest.mark.parametrize("days", [3, MOST_ROWS + 1])
def test_the_picture_names_every_colour_with_minutes(days: int) -> None:
    picture = Picture(("walking", "sitting"))
    rng = np.random.default_rng(0)
    for slot in range(days):
        picture.add(made_day(slot, np.repeat(rng.integers(0, 4, 288), 30)))
    figure = picture.draw()
    (legend,) = figure.legends
    minutes = np.stack(picture.minutes).mean(0)
    assert [text.get_text() for text in legend.get_texts()] == [
        f"{name}: {value:,.0f} min a day"
        for name, value in zip(("walking", "sitting", "not worn", "unknown"), minutes, strict=True)
    ]
    assert len(figure.axes) == (1 if days <= MOST_ROWS else 2)
    assert picture.by_time_KB.sum() == pytest.approx(days * 96)
    assert len(picture.rows) <= MOST_ROWS + 1, "memory does not grow"


def test_torch_is_left_as_it_was() -> None:
    """Loading a fine-tuned network draws no numbers of the caller's generator."""
    from train.classify.network import empty_network
    from train.networks.harnet import Harnet

    backbone: Any = Harnet("harnet5", 0.0625)
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    empty_network("two-layer", backbone, 4)
    assert torch.equal(torch.rand(2), expected)
