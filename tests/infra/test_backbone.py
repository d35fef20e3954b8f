"""`make backbone`: tables of samples to a backbone in the box, loaded by its name and without the project."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import UserError
from tests.infra.commands import ROOT
from train.networks.weights import BOX, find_model, load_model

RECIPE = """
[network]
preset = "harnet5"
width = 0.0625

[objective]
name = "simclr"

[data]
seconds = 5
lanes = 2
min_wear_hours = 0
windows_per_day = 40000
threads = 1

[run]
batch = 8
windows = 16
validate_every = 16
save_every = 16
"""
PEOPLE = ("Zoe", "Yuri", "Xenia", "Walt")
SECONDS, RATE = 900, 30


def write_tables(data: Path) -> None:
    """Two sets of two people who move at 1.5 Hz; a person of each set has the same name."""
    for number, name in enumerate(PEOPLE):
        random = np.random.default_rng(number)
        time = np.arange(SECONDS * RATE) / RATE
        xyz = random.normal(0, 0.05, (3, len(time)))
        xyz[2] += 1 + 0.3 * np.sin(2 * np.pi * 1.5 * time)
        columns = {"time": pa.array((1.6e9 + time) * 1e6).cast(pa.int64(), safe=False).cast(pa.timestamp("us"))}
        folder = data / ("first" if number < 2 else "second")
        folder.mkdir(parents=True, exist_ok=True)
        own = "Same" if number in (0, 2) else name
        pq.write_table(pa.table(columns | dict(zip("xyz", xyz, strict=True))), folder / f"{own}_wrist.parquet")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the data, and the box with `tiny`."""
    folder = tmp_path_factory.mktemp("backbone")
    write_tables(folder / "data")
    (folder / "tiny.toml").write_text(RECIPE)
    make(folder)
    return folder


def make(folder: Path) -> None:
    script = [sys.executable, str(ROOT / "infra" / "backbone.py"), str(folder / "data"), "tiny"]
    flags = ["--recipe", str(folder / "tiny.toml"), "--work", str(folder / "work"), "--out", str(folder / "box")]
    done = subprocess.run([*script, *flags], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_box_has_the_export_its_recipe_and_what_it_was_made_from(made: Path) -> None:
    box = made / "box" / "tiny"
    assert (box / "recipe.toml").read_text() == RECIPE
    sources = json.loads((box / "sources.json").read_text())
    assert {name: found["files"] for name, found in sources["sets"].items()} == {"first": 2, "second": 2}
    assert sources["recipe_sha256"] == sha256(RECIPE.encode()).hexdigest()
    assert sources["weights_sha256"] == sha256((box / "model.safetensors").read_bytes()).hexdigest()
    card = (box / "README.md").read_text()
    assert "## Made from" in card
    assert sources["sets"]["second"]["sha256"] in card
    config = json.loads((box / "config.json").read_text())
    assert config["training"]["data"]["windows seen"] == 16
    assert config["training"]["data"]["people trained on"] + config["training"]["data"]["people held out"] == 4
    for file in box.iterdir():
        assert not any(name.encode() in file.read_bytes() for name in PEOPLE)


@pytest.mark.slow
def test_made_again_it_is_the_same(made: Path) -> None:
    before = {file.name: file.read_bytes() for file in (made / "box" / "tiny").iterdir() if file.is_file()}
    make(made)
    assert before == {file.name: file.read_bytes() for file in (made / "box" / "tiny").iterdir() if file.is_file()}


@pytest.fixture
def box(tmp_path: Path) -> Path:
    """A box of one backbone, `tiny`."""
    shutil.copytree(BOX / "wrist-small", tmp_path / "box" / "tiny")
    return tmp_path / "box"


def test_a_backbone_is_found_by_its_name_and_a_path_stays_a_path(box: Path, tmp_path: Path) -> None:
    assert find_model("tiny", box) == box / "tiny"
    assert load_model(find_model("tiny", box)).features == 256
    for path in (str(box / "tiny"), "none.pt", f"{tmp_path}/none"):
        assert find_model(path, box) == Path(path)
    with pytest.raises(UserError, match=r"a backbone that comes with persondays \(tiny\); found none of these"):
        find_model("tidy", box)
    with pytest.raises(UserError, match="there is none yet"):
        find_model("tiny", tmp_path)
    assert BOX == ROOT / "backbones"


def test_it_needs_torch_and_safetensors_alone(box: Path) -> None:
    code = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("train", "pipeline", "ingest", "scipy", "pyarrow", "numba", "zarr"):
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
import torch
model = torch.hub.load("tiny", "harnet10", source="local", pretrained=True, class_num=5)
print(tuple(model.feature_extractor(torch.zeros(2, 3, 300)).shape))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=box, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(2, 256, 1)"


@pytest.mark.slow
def test_the_wheel_has_what_is_in_the_box(made: Path, tmp_path: Path) -> None:
    from zipfile import ZipFile

    from tests.infra.commands import copy_checkout
    from tests.infra.test_extras import build

    copy_checkout(tmp_path / "source")
    shutil.copytree(made / "box" / "tiny", tmp_path / "source" / "backbones" / "tiny")
    names = ZipFile(build(tmp_path / "source", tmp_path)).namelist()
    assert {f"backbones/tiny/{name}" for name in ("model.safetensors", "config.json", "hubconf.py", "recipe.toml")} <= {
        *names
    }
