"""Every recipe of the project loads, follows the published settings, and trains."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.store.alignments import write_alignments
from tests.train.days import write_store
from tests.train.windows.companions.test_same_time import TwoDevices, rows_of
from train.checkpoint import format as ck
from train.distributed.processes import Processes
from train.embed.run import EmbedSettings, embed
from train.loop.trainer import train
from train.networks import NetworkSettings, make_network
from train.optim.schedule import peak_rate
from train.recipe import RECIPES, load_recipe

PLACES = "left wrist", "right hip"
NAMES = sorted(path.stem for path in RECIPES.glob("*.toml"))
DOCUMENTED = [
    *(
        "cmc",
        "collossl",
        "demo",
        "distil",
        "hard_negatives",
        "harnet10",
        "harnet30",
        "harnet5",
        "masked",
        "modern",
        "person",
        "simclr",
        "small",
    ),
    "transformer",
]
SMALL = (
    *("network.width=0.125", "data.lanes=2", "data.min_wear_hours=0", "data.threads=1", "data.windows_per_day=4000"),
    *("run.threads=1", "run.batch=8", "run.windows=16", "run.validate_every=16", "run.save_every=16"),
    *("run.compile=false", "run.patience=16"),
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two days of each participant, recorded at the same time."""
    days = TwoDevices()
    made = write_store(str(tmp_path_factory.mktemp("made") / "store"), people=4, days=2, made=days, locations=PLACES)
    write_alignments(made, rows_of(days)[:8])
    return made.folder.url


def test_the_recipes_are_the_documented_ones() -> None:
    assert NAMES == DOCUMENTED


@pytest.mark.parametrize("name", NAMES)
def test_each_recipe_trains_two_steps(store: str, tmp_path: Path, name: str) -> None:
    further: list[str] = []
    if name == "distil":
        table = str(tmp_path / "table")
        teacher = make_network(NetworkSettings("transformer10", 0.25))
        embed(teacher, store, table, EmbedSettings(stride_s=5), Processes(1))
        further = [f"objective.distil.table={table}", "objective.distil.queue=8"]
    assert train(load_recipe(name, [*SMALL, *further]), store, str(tmp_path / "run"), "auto", None) == 0
    found = ck.open_checkpoint(str(tmp_path / "run"))
    assert found.step == 2
    assert found.state.validation_loss is not None
    assert math.isfinite(found.state.validation_loss)


@pytest.mark.parametrize(("name", "per_day"), [("harnet5", 3000), ("harnet10", 1500), ("harnet30", 500)])
def test_the_published_recipes_follow_the_paper(name: str, per_day: int) -> None:
    recipe = load_recipe(name)
    epoch = 100_000 * per_day
    assert (recipe.data.one_day_per_participant, recipe.data.min_wear_hours) == (True, 16)
    assert recipe.data.quota == per_day
    assert (recipe.optimizer.name, recipe.optimizer.amsgrad, recipe.run.batch) == ("adam", True, 6144)
    assert peak_rate(recipe.optimizer, recipe.run.batch) == pytest.approx(12e-4)
    assert recipe.optimizer.warmup_windows == recipe.run.patience == 5 * epoch
    assert recipe.run.windows == 30 * epoch
    assert recipe.run.precision == "tf32"


def test_the_modern_recipe_caps_its_rate() -> None:
    recipe = load_recipe("modern")
    assert peak_rate(recipe.optimizer, recipe.run.batch) == 1e-3
    assert (recipe.run.precision, recipe.run.compile, recipe.optimizer.schedule) == ("bfloat16", True, "cosine")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data", "--set 'data': expected section.key=value"),
        ("data.foo=1", "harnet10.toml with --set: data: unknown setting 'foo'"),
        ("network.preset=resnet", "found 'resnet'."),
    ],
)
def test_an_override_that_is_wrong_is_named(override: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        load_recipe("harnet10", [override])
    assert message in str(error.value)
