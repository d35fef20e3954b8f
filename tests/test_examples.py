"""The examples run, on recordings and a store of simulated people, as their first lines say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbclient import NotebookClient

from ingest import read_recording
from tests.simulated import simulate_store

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "examples").glob("*.py"))
LONGEST = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `recordings` and `store`; examples write beside them."""
    made = tmp_path_factory.mktemp("examples")
    simulate_store(made, people=6, hours=0.4)
    return made


def run(folder: Path, name: str, *arguments: object, before: tuple[str, ...] = ()) -> str:
    """Run an example in the folder, and return what it printed."""
    command = [sys.executable, *before, str(ROOT / "examples" / name), *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_scripts_are_short_and_say_how_they_are_run(script: Path) -> None:
    text = script.read_text()
    assert len(text.splitlines()) <= LONGEST
    assert f"python examples/{script.name} " in text.split('"""')[1]


def test_every_script_is_run_here() -> None:
    assert {script.name for script in SCRIPTS} == {
        *("csv_to_features.py", "embed_and_cluster.py", "own_objective.py", "train_head.py")
    }


def test_csv_to_features(folder: Path) -> None:
    out = run(folder, "csv_to_features.py", "recordings/P0001.cwa", "features.csv")
    table = pd.read_csv(folder / "features.csv", index_col="time", parse_dates=True)
    assert f"features.csv: {len(table)} windows of 256 features" in out
    assert 140 <= len(table) <= 144
    assert np.isfinite(table.to_numpy()).all()
    assert set(table.index.to_series().diff().dropna().dt.total_seconds()) == {10}


def test_embed_and_cluster(folder: Path) -> None:
    run(folder, "embed_and_cluster.py", "store", "clusters", "--clusters", 3)
    hours = pd.read_csv(folder / "clusters" / "hours.csv", index_col="participant")
    assert hours.shape == (6, 3)
    np.testing.assert_allclose(hours.sum(axis=1), 0.4, atol=0.01)
    assert len(pd.read_parquet(folder / "clusters" / "clusters.parquet")) == round(hours.to_numpy().sum() * 360)


def test_train_head_learns_and_resumes(folder: Path) -> None:
    assert "step 15: explains" in run(folder, "train_head.py", "store", "head.pt", "--steps", 15)
    out = run(folder, "train_head.py", "store", "head.pt", "--steps", 15)
    assert out.startswith("step 30: explains")
    assert float(out.split("explains ")[1].split("%")[0]) > 20


@pytest.mark.slow
def test_train_head_on_two_processes(folder: Path) -> None:
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    out = run(folder, "train_head.py", "store", "shared.pt", "--steps", 5, before=torchrun)
    assert out.startswith("step 5: explains")
    out = run(folder, "train_head.py", "store", "shared.pt", "--steps", 5)
    assert out.startswith("step 10: explains")


def test_own_objective(folder: Path) -> None:
    small = ["run.batch=32", "run.validate_every=64", "run.save_every=64", "data.lanes=4", "network.width=0.0625"]
    flags = [part for setting in (*small, "data.validation_per_day=10") for part in ("--set", setting)]
    run(folder, "own_objective.py", "store", "checkpoints", "--windows", 64, *flags)
    assert (folder / "checkpoints" / "step-000000002" / "complete.json").exists()


NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebooks_are_stored_without_outputs(path: Path) -> None:
    for cell in nbformat.read(path, as_version=4).cells:
        assert cell.cell_type == "markdown" or (cell.outputs == [] and cell.execution_count is None)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebooks_run(path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not (folder / "recording.csv").exists():
        data, _ = read_recording(folder / "recordings" / "P0002.cwa", resample=False)
        data[["x", "y", "z"]].iloc[: 15 * 60 * 100].to_csv(folder / "recording.csv", float_format="%.4f")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}})
    client.execute()  # raises CellExecutionError where a cell fails
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs)
