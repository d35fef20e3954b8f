"""The wheel installed with one extra in a new environment: every `--help`, real runs, the error of a missing extra."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from tests.infra.commands import ROOT, copy_checkout

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
COMMANDS = sorted(point.name for point in entry_points(group="persondays.commands"))
TINY = (
    *("--set", "network.width=0.0625", "--set", "data.lanes=4", "--set", "data.min_wear_hours=0"),
    *("--set", "run.batch=16", "--set", "run.windows=160", "--set", "run.validate_every=160"),
)


@dataclass(frozen=True)
class Environment:
    """A virtual environment with the project in it, and the folder its commands run in."""

    bin: Path
    folder: Path

    def run(self, *arguments: object, fails: bool = False) -> str:
        """Run `persondays`, check whether it failed, and return what it printed."""
        done = subprocess.run(
            [self.bin / "persondays", *map(str, arguments)],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        output = done.stdout + done.stderr
        assert done.returncode == int(fails), output
        assert "Traceback" not in output
        return output

    def assert_names_extra(self, extra: str, *arguments: object) -> None:
        """Run a command that fails because an extra is missing, and check that its error names the extra."""
        assert f"pip install 'persondays[{extra}]'" in self.run(*arguments, fails=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's wheel, built from a copy of the checkout without git."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    copy_checkout(source)
    return build(source, out)


def build(source: Path, out: Path) -> Path:
    """Build the wheel of a source tree."""
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--wheel-dir", str(out), str(source)], check=True, capture_output=True)
    (wheel,) = out.glob("persondays-*.whl")
    return wheel


def install(wheel: Path, extras: str, folder: Path) -> Environment:
    """Make an environment with the wheel and some extras, in the tested versions."""
    venv.create(folder / "venv", with_pip=True)
    pip = [str(folder / "venv/bin/pip"), "install", "--quiet", "--constraint", str(ROOT / "constraints.txt")]
    subprocess.run([*pip, f"{wheel}{extras}"], check=True, capture_output=True)
    return Environment(folder / "venv/bin", folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for the environments. They take gigabytes, so it is removed afterwards."""
    folder = tmp_path_factory.mktemp("environments")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def ingested(wheel: Path, folder: Path) -> Environment:
    """The environment of `[ingest]`, with simulated recordings in `recordings` and their store in `store`."""
    made = install(wheel, "[ingest]", folder / "ingest")
    made.run("simulate", "recordings", "--participants", 4, "--days", 0.05)
    made.run("new-key", "key")
    made.run("ingest", "--recordings", "recordings", "--store", "store", "--key-file", "key", "--id-regex", "(P[0-9]+)")
    return made


def test_store_commands_work_without_any_extra(wheel: Path, ingested: Environment, folder: Path) -> None:
    alone, store = install(wheel, "", folder / "alone"), ingested.folder / "store"
    for command in COMMANDS:
        assert "Usage" in alone.run(command, "--help")
    assert "4" in alone.run("inspect", store)
    alone.run("verify", store)
    alone.run("report", "--store", store, "--out", "report.html")
    alone.run("inspect", ingested.folder / "recordings" / "P0001.cwa", "--plot", "days.png")
    alone.run("plan", "--recordings", 10)
    alone.assert_names_extra(
        "ingest", *INGEST, "--recordings", ingested.folder / "recordings", "--key-file", ingested.folder / "key"
    )
    alone.assert_names_extra("train", "train", "demo", "--store", store, "--checkpoints", "checkpoints")
    alone.assert_names_extra("s3", "inspect", "s3://bucket/store")


INGEST = ("ingest", "--store", "new-store", "--id-regex", "(P[0-9]+)")


def test_ingest_needs_no_torch_and_names_the_extra_of_training(ingested: Environment) -> None:
    for command in COMMANDS:
        assert "Usage" in ingested.run(command, "--help")
    ingested.run("plan", "--measure", "recordings/P0001.cwa")
    ingested.assert_names_extra("train", "train", "demo", "--store", "store", "--checkpoints", "checkpoints")
    ingested.assert_names_extra(
        "s3", "ingest", "--recordings", "s3://bucket/raw", "--store", "store", "--key-file", "key"
    )


def test_training_needs_no_ray_and_names_the_extra_of_deepspeed(
    wheel: Path, ingested: Environment, folder: Path
) -> None:
    training, store = install(wheel, "[train]", folder / "train"), ingested.folder / "store"
    for command in COMMANDS:
        assert "Usage" in training.run(command, "--help")
    training.run("train", "demo", "--store", store, "--checkpoints", "checkpoints", *TINY)
    training.run("export", "--checkpoint", "checkpoints", "--out", "model")
    flags = ("--store", store, "--checkpoints", "others", *TINY)
    training.assert_names_extra("deepspeed", "train", "demo", "--engine", "deepspeed", *flags)
    training.assert_names_extra(
        "ingest", *INGEST, "--recordings", ingested.folder / "recordings", "--key-file", ingested.folder / "key"
    )


API = """
import sys

import torch
from torch import Tensor

from ingest import read_recording
from pipeline import UserError, open_store
from train import Batch, WindowStream, load_backbone

recording, url = sys.argv[1:]
frame, figures = read_recording(recording)
assert len(frame) > 0 and figures["wear_hours"] > 0
with open_store(url) as store:
    slots: list[int] = store.person_days(columns=["slot"])["slot"].to_pylist()
    assert store.read_day(slots[0]).to_xarray().sizes["axis"] == 3
with WindowStream(url, batch=8, lanes=2, min_wear_hours=0) as stream:
    batch: Batch = next(stream)
features: Tensor = load_backbone("wrist-small")(batch.x)
assert features.shape[0] == 8 and torch.isfinite(features).all()
try:
    open_store(".")
except UserError as error:
    print(error)
"""


def test_the_python_api_works_and_is_typed_outside_the_checkout(
    wheel: Path, ingested: Environment, folder: Path
) -> None:
    other = install(wheel, "[train,pandas]", folder / "api")
    script, python = other.folder / "script.py", other.bin / "python"
    script.write_text(API)
    data = (ingested.folder / "recordings" / "P0001.cwa", ingested.folder / "store")
    done = subprocess.run([python, script, *data], cwd=other.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "expected a window store, found none" in done.stdout
    mypy = [sys.executable, "-m", "mypy", "--strict", "--ignore-missing-imports", "--python-executable", str(python)]
    typed = subprocess.run([*mypy, str(script)], cwd=other.folder, capture_output=True, text=True, check=False)
    assert typed.returncode == 0, typed.stdout
    script.write_text(API.replace("batch: Batch = next(stream)", "batch: int = next(stream)"))
    typed = subprocess.run([*mypy, str(script)], cwd=other.folder, capture_output=True, text=True, check=False)
    assert "Incompatible types in assignment" in typed.stdout


def test_builds_without_tags_and_without_git_have_a_version(wheel: Path, tmp_path: Path) -> None:
    assert wheel.name.startswith("persondays-0.1.0-")
    subprocess.run(["git", "clone", "--quiet", "--no-tags", ROOT, tmp_path / "clone"], check=True)
    assert build(tmp_path / "clone", tmp_path / "out").name.startswith("persondays-0.")
