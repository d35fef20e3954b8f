"""The commands export, labelled and evaluate as users run them: from a checkpoint and a store to a picture."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from pipeline.cli import main
from pipeline.grid import FILL, SECONDS_PER_DAY, TICKS_PER_DAY
from pipeline.identity import ENVIRONMENT_VARIABLE, load_key, write_new_key
from pipeline.storage.folder import Folder
from pipeline.store.person_day import PersonDay, motion
from pipeline.store.states import MEASURED
from pipeline.store.store import Store
from train.checkpoint import format as ck
from train.checkpoint.state import State
from train.networks.harnet import Harnet
from train.networks.model import Model
from train.objectives.multitask import Multitask, MultitaskSettings

PEOPLE = ("Ann", "Ben", "Cat")
NOON = 43_200


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def persondays(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command line: its exit status, standard output and standard error."""
    monkeypatch.delenv(ENVIRONMENT_VARIABLE, raising=False)
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["persondays", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        output = capsys.readouterr()
        return int(left.value.code or 0), output.out, output.err

    return run


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with checkpoints, a store of three people, its key and its truth table."""
    folder = tmp_path_factory.mktemp("downstream")
    for step, seed in ((10, 1), (20, 2)):
        torch.manual_seed(seed)
        network: Any = Harnet("harnet5", 0.125)
        model = Model(network, Multitask(MultitaskSettings()).heads(network.features))
        settings = {"network": {"preset": "harnet5", "width": 0.125}}
        state = State(step, windows_seen=64 * step, validation_loss=float(step), settings=settings)
        ck.save(Folder(str(folder / "checkpoints")), ck.Checkpoint(ck.to_host(model.state_dict()), state))
    write_new_key(folder / "key")
    key = load_key(folder / "key")
    store = Store.create(str(folder / "store"), key, {"made": "for tests"})
    store.grow(len(PEOPLE))
    rows, truth = [], []
    for slot, name in enumerate(PEOPLE):
        store.write_day(slot, made_day(slot))
        rows.append(
            {"slot": slot, "participant": key.participant(name), "day": date(2024, 3, 5), "recording": f"{slot}"}
        )
        start = datetime(2024, 3, 5, 12)
        for activity in ("still", "moving", "turning"):
            truth.append(
                {"participant": name, "start": start, "end": start + timedelta(seconds=60), "activity": activity}
            )
            start += timedelta(seconds=60)
    store.person_days.append(rows)
    pq.write_table(pa.Table.from_pylist(truth), folder / "truth.parquet")
    return folder


def made_day(seed: int) -> PersonDay:
    """A minute still, a minute moving at 2 Hz, a minute turning slowly, from noon on."""
    random = np.random.default_rng(seed)
    state = np.zeros(SECONDS_PER_DAY, np.uint8)
    state[NOON : NOON + 180] = MEASURED
    time = np.arange(1_800) / 30
    g = random.normal(0, 0.01, (3, 3, 1_800))
    g[0, 2] += 1
    g[1, 2] += 1 + 0.5 * np.sin(2 * np.pi * 2 * time)
    g[2, 0], g[2, 1] = g[2, 0] + np.sin(time), g[2, 1] + np.cos(time)
    signal = np.full((3, TICKS_PER_DAY), FILL, np.int16)
    signal[:, NOON * 30 : (NOON + 180) * 30] = np.rint(1024 * np.concatenate(g, axis=1))
    return PersonDay(signal, motion(signal, state), state)


def test_from_checkpoint_to_picture(place: Path, persondays: Run) -> None:
    status, out, err = persondays("export", "--checkpoint", place / "checkpoints", "--out", place / "model")
    assert status == 0, err
    assert "torch.hub.load" in out
    assert json.loads((place / "model" / "config.json").read_text())["training"]["data"]["steps"] == 20

    source = ("--store", place / "store", "--truth", place / "truth.parquet", "--key-file", place / "key")
    status, out, err = persondays("labelled", "truth", *source, place / "labelled", "--seconds", 5)
    assert status == 0, err
    assert "108 windows of 3 people and 3 activities" in out
    assert not any(name in (place / "labelled" / "info.json").read_text() for name in PEOPLE)
    pid = np.load(place / "labelled" / "pid.npy")
    assert set(pid) == {load_key(place / "key").participant(name)[:12] for name in PEOPLE}

    evaluate = ("evaluate", "--model", place / "model", "--labelled", place / "labelled", "--out", place / "evaluation")
    status, out, err = persondays(*evaluate)
    assert status == 0, err
    assert "macro F1" in out
    assert "5 folds lowered to 3" in err
    results = json.loads((place / "evaluation" / "results.json").read_text())
    assert results["model"] == {"preset": "harnet5", "width": 0.125, "features": 64}
    assert results["folds"] == 3
    assert len(results["subjects"]) == 3
    assert results["summary"]["macro_f1"]["pretrained"]["mean"] > 0.8  # any features separate such activities
    assert (place / "evaluation" / "evaluation.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    status, _, err = persondays(*evaluate)
    assert status == 0, err
    assert json.loads((place / "evaluation" / "results.json").read_text()) == results


def test_the_best_checkpoint_and_a_file_of_weights(place: Path, persondays: Run) -> None:
    status, _, err = persondays("export", "--checkpoint", place / "checkpoints", "--out", place / "best", "--best")
    assert status == 0, err
    assert json.loads((place / "best" / "config.json").read_text())["training"]["data"]["steps"] == 10
    torch.save(ck.open_checkpoint(str(place / "checkpoints")).model, place / "weights.pt")
    status, _, err = persondays("evaluate", "--model", place / "weights.pt", "--labelled", place)
    assert status == 1
    assert "X.npy: no such file" in err


GIVEN = ("--model", "model", "--labelled", "labelled")


def test_each_mistake_gives_one_message(place: Path, tmp_path: Path, persondays: Run) -> None:
    torch.save(ck.open_checkpoint(str(place / "checkpoints")).model, place / "weights.pt")
    for name, array in (("X", np.ones((4, 150, 3), np.float32)), ("Y", [0, 1, 0, 1]), ("pid", [0, 0, 1, 1])):
        (place / "set").mkdir(exist_ok=True)
        np.save(place / "set" / f"{name}.npy", array)
    labels = ("--model", place / "weights.pt", "--labelled", place / "set", "--rate", 30)
    cases: list[tuple[tuple[object, ...], str]] = [
        (("export", "--checkpoint", tmp_path / "none", "--out", tmp_path / "out"), "no complete one"),
        (("export", "--checkpoint", place / "checkpoints", "--out", place), "Nothing was overwritten"),
        (("evaluate", "--model", tmp_path, "--labelled", place), "persondays export"),
        (("evaluate", "--model", tmp_path / "none.pt", "--labelled", place), "no such file"),
        (("evaluate", *GIVEN, "--rows", "linear,trees"), "--rows: expected linear, weighted, mlp"),
        (("evaluate", *GIVEN, "--protocol", "kfold"), "--protocol: expected folds, harnet, loso"),
        (("evaluate", *GIVEN, "--protocol", "loso", "--test-people", "a,b"), "found --protocol loso"),
        (("evaluate", *GIVEN, "--protocol", "fixed"), "--test-people: expected ids of participants"),
        (("evaluate", *labels, "--test-people", "0,7"), "found 1 others among 2"),
        (("evaluate", *GIVEN, "--labels", "0,5"), "--labels: expected percentages above 0"),
        (("evaluate", *GIVEN, "--people", "1.5"), "--people: expected numbers of people"),
        (("evaluate", *labels, "--attack", tmp_path / "none.pt"), "none.pt: there is no such file"),
        (("evaluate", *labels, "--domain", "season"), "season.npy with a value for each window"),
        (("evaluate", *labels, "--out", place), "Nothing was overwritten"),
        (("labelled", "wisdm", tmp_path, tmp_path / "out"), "expected the WISDM watch"),
        (("labelled", "truth", "--store", place / "store", "--truth", tmp_path / "no", tmp_path / "out"), "no key"),
    ]
    for arguments, message in cases:
        status, _, err = persondays(*arguments)
        assert status == 1, arguments
        assert message in err
    assert not list(tmp_path.iterdir())
