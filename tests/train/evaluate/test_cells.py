"""Saved cells: an interrupted run resumes, a changed setting is noticed, damage is harmless."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.errors import UserError
from tests.train.evaluate.labelled_sets import as_data, save, walkers
from tests.waiting import until
from train.evaluate import jobs
from train.evaluate.cells import Cell, Cells, digest
from train.evaluate.evaluation import Settings, evaluate
from train.evaluate.rows import ROWS, Row, random_network
from train.evaluate.rows.row import Learned, Lesson
from train.networks.harnet import Harnet

ROOT = Path(__file__).parents[3]
SETTINGS = Settings(("linear", "handmade", "mlp"), folds=3, epochs=2)


@pytest.fixture
def network() -> Any:
    return random_network(Harnet("harnet5", 0.125), 1)  # type: ignore[arg-type]


def learned(monkeypatch: pytest.MonkeyPatch, fails_at: int | None = None) -> list[str]:
    """The rows that are trained from now on, one entry for each split; optionally one of them is interrupted."""
    trained: list[str] = []
    compute = jobs._cell

    def cell(context: Any, block: jobs.Block, number: int, *rest: Any) -> Cell:
        if fails_at is not None and len(trained) >= fails_at:
            raise KeyboardInterrupt
        trained.append(block.row)
        return compute(context, block, number, *rest)

    monkeypatch.setattr(jobs, "_cell", cell)
    return trained


def test_an_interrupted_run_resumes_with_the_same_results(
    tmp_path: Path, network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = as_data(*walkers())
    expected = evaluate(network, data, SETTINGS)
    with monkeypatch.context() as patch:
        learned(patch, fails_at=4)
        with pytest.raises(KeyboardInterrupt):
            evaluate(network, data, SETTINGS, Cells.beside(tmp_path / "out"))
    saved = len(list((tmp_path / "out.unfinished").iterdir()))
    assert 0 < saved <= 4
    trained = learned(monkeypatch)
    assert evaluate(network, data, SETTINGS, Cells.beside(tmp_path / "out")) == expected
    assert len(trained) == 9 - saved
    more = replace(SETTINGS, rows=(*SETTINGS.rows, "both"))
    results = evaluate(network, data, more, Cells.beside(tmp_path / "out"))
    assert trained[9 - saved :] == ["both"] * 3
    assert results["notes"] == []


def test_what_changes_results_is_noticed(tmp_path: Path, network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y, pid = walkers()
    data = as_data(x, y, pid)
    evaluate(network, data, SETTINGS, Cells.beside(tmp_path / "out"))
    other = random_network(network, 7)
    moved = as_data(x + 0.001, y, pid)
    cases: list[tuple[Any, Any, Settings, int]] = [
        (other, data, SETTINGS, 6),  # hand-made features do not depend on the weights
        (network, moved, SETTINGS, 9),
        (network, data, replace(SETTINGS, seed=3), 9),
        (network, data, replace(SETTINGS, seed=3, epochs=3), 3),  # of the two-layer head
        (network, data, SETTINGS, 9),
    ]
    for model, given, settings, stale in cases:
        trained = learned(monkeypatch)
        results = evaluate(model, given, settings, Cells.beside(tmp_path / "out"))
        assert len(trained) == stale
        assert any(f"{stale} saved results" in note for note in results["notes"])


def test_a_damaged_cell_is_computed_again(tmp_path: Path) -> None:
    cells = Cells.beside(tmp_path / "out")
    cell = Cell(np.arange(9).reshape(3, 3), {"c": 0.1}, ("gain", "noise"))
    cells.save("row.all.draw0.split0", "key", cell)
    for variants, rows in ((("gain", "noise"), [0, 1, 2]), (("noise",), [0, 2]), ((), [0])):
        found = cells.load("row.all.draw0.split0", "key", variants)
        assert found is not None
        assert np.array_equal(found.predicted_VN, cell.predicted_VN[rows])
        assert (found.facts, found.variants) == (cell.facts, variants)
    assert cells.load("row.all.draw0.split0", "key", ("rail",)) is None
    assert cells.load("row.all.draw0.split0", "key", logits=True) is None
    cells.save("row.all.draw0.split2", "key", replace(cell, logits_NK=np.eye(3, dtype=np.float32)))
    found = cells.load("row.all.draw0.split2", "key", logits=True)
    assert found is not None
    assert found.logits_NK is not None
    assert np.array_equal(found.logits_NK, np.eye(3))
    (tmp_path / "out.unfinished" / "row.all.draw0.split2.npz").unlink()
    assert cells.load("row.all.draw0.split1", "key") is None
    assert cells.stale == 0
    (path,) = (tmp_path / "out.unfinished").iterdir()
    path.write_bytes(path.read_bytes()[:100])
    assert cells.load("row.all.draw0.split0", "key") is None
    path.write_bytes(b"")
    assert cells.load("row.all.draw0.split0", "key") is None
    assert cells.stale == 2


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out.unfinished").mkdir()
    (tmp_path / "out.unfinished" / "thesis.tex").write_text("")
    with pytest.raises(UserError, match=r"out\.unfinished.*Move it away"):
        Cells.beside(tmp_path / "out")


def test_digests_distinguish_values_shapes_and_types() -> None:
    zeros = np.zeros(4, np.int64)
    digests = [
        digest([part]) for part in (zeros, zeros.reshape(2, 2), zeros.astype(np.float64), zeros[:3], [0, 0], b"", None)
    ]
    assert len(set(digests)) == len(digests)
    assert digest([zeros, 1]) == digest([zeros.copy(), 1])


def test_a_failing_row_ends_the_run_with_its_error(network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(lesson: Lesson) -> Learned:
        raise ValueError("no such thing")

    row: Row = replace(ROWS["handmade"], learner=lambda context, draw: fail)
    monkeypatch.setitem(ROWS, "handmade", row)
    with pytest.raises(ValueError, match="no such thing"):
        evaluate(network, as_data(*walkers()), SETTINGS)


@pytest.mark.slow
def test_a_killed_process_resumes(tmp_path: Path, network: Any) -> None:
    folder = save(tmp_path / "set", *walkers())
    torch.save({f"feature_extractor.{name}": value for name, value in network.state_dict().items()}, tmp_path / "m.pt")
    command = [sys.executable, "-m", "pipeline", "evaluate", "--model", str(tmp_path / "m.pt")]
    command += ["--labelled", str(folder), "--rate", "30", "--rows", "linear,mlp,random", "--folds", "3"]
    killed = subprocess.Popen([*command, "--out", str(tmp_path / "out")], cwd=ROOT)
    unfinished = tmp_path / "out.unfinished"
    until(lambda: len(list(unfinished.glob("*.npz"))) > 1, killed)
    killed.kill()
    killed.wait()
    saved = {path.name: path.read_bytes() for path in unfinished.glob("*.npz")}
    (unfinished / ".linear.all.draw0.split2.npz.7.partial").write_bytes(b"cut sh")  # as if killed while saving
    for out in ("out", "never-killed"):
        subprocess.run([*command, "--out", str(tmp_path / out)], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    results = [(tmp_path / out / "results.json").read_text() for out in ("out", "never-killed")]
    assert results[0] == results[1]
    assert not unfinished.exists()
    for name, content in saved.items():
        assert (tmp_path / "out" / "cells" / name).read_bytes() == content
