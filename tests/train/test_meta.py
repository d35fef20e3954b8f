"""Every recipe, objective and encoder takes a training step on the device `meta`: shapes and types without numbers.

An operation that looks at a number fails there. On a GPU, it would wait for all work queued before it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product, repeat
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from bench.train.ours import bare_model, bare_run
from train.distributed.processes import Processes
from train.loop.step import take_step
from train.networks import NETWORKS
from train.objectives import OBJECTIVES, collossl
from train.objectives.collossl import Devices
from train.objectives.multitask import Multitask
from train.objectives.teacher import InTable
from train.recipe import RECIPES, load_recipe
from train.windows.feed import DeviceBatch
from train.windows.pool import ANCHOR, Windows

META = torch.device("meta")
WINDOWS, FEATURES = 16, 24
SETS = [
    [],
    ["multitask.scaling=1", "multitask.jitter_g=0.008"],
    ["name=simclr", "simclr.positive=same_time", "simclr.loss=sigmoid"],
    ["name=simclr", "simclr.positive=nearby", "simclr.rotation=0.15", "simclr.hardness=0.5", "simclr.prior=0.1"],
    ["name=joint", "simclr.positive=other_day"],
    ["name=masked", "masked.source=same_time"],
    ["name=collossl", "collossl.devices=3", "collossl.projection=32"],
    ["name=collossl", "collossl.loss=infonce"],
    ["name=cmc", "cmc.loss=sigmoid"],
]
"""Settings of objectives whose steps differ in their operations."""


Step = Callable[..., None]


@pytest.fixture(scope="module")
def step_on_meta(tmp_path_factory: pytest.TempPathFactory) -> Step:
    """A function that takes a step of a recipe with other settings."""
    table = tmp_path_factory.mktemp("features") / "table.parquet"
    vectors = pa.FixedSizeListArray.from_arrays(np.ones(FEATURES, np.float32), FEATURES)
    pq.write_table(pa.table({"slot": [0], "start_second": [0], "vector": vectors}), table)
    return lambda name, *sets: take(name, f"objective.distil.table={table.parent}", *sets)


def take(name: str, *sets: str) -> None:
    """Take a step of a recipe, and check that every weight that is trained has a state in the optimizer."""
    recipe = load_recipe(name, ["run.compile=false", f"run.batch={WINDOWS}", *sets])
    objective = bare_model(recipe, META)[0]
    alone = objective.companions is None or isinstance(objective.companions, InTable)
    together = 1 if alone else recipe.objective.collossl.devices
    signal_BDCT = torch.empty(WINDOWS, together, 3, recipe.data.ticks, dtype=torch.int16, device=META)
    place_BP = torch.empty(WINDOWS, ANCHOR + 2 * (together - 1), dtype=torch.int64, device=META)
    vector_BF = torch.empty(WINDOWS, FEATURES if isinstance(objective.companions, InTable) else 0, device=META)
    processes = Processes(threads=1)
    processes.device = META
    run = bare_run(recipe, processes, repeat(DeviceBatch(Windows(signal_BDCT, place_BP, vector_BF), place_BP)))
    result = take_step(run)  # type: ignore[arg-type]
    assert (result.norm.shape, result.norm.device) == ((), META)
    assert {"loss_sum", "count"} <= result.figures.keys()
    assert all(figure.dtype == torch.float64 for figure in result.figures.values())
    updated = [name for name, weight in run.model.named_parameters() if weight in run.optimizer.state]
    assert updated == [name for name, weight in run.model.named_parameters() if weight.requires_grad]


@pytest.mark.parametrize("name", sorted(path.stem for path in RECIPES.glob("*.toml")))
def test_every_recipe_takes_a_step(step_on_meta: Step, name: str) -> None:
    step_on_meta(name)


@pytest.mark.parametrize(("objective", "network"), list(product(OBJECTIVES, NETWORKS)))
def test_every_objective_trains_every_encoder(step_on_meta: Step, objective: str, network: str) -> None:
    seconds = NETWORKS[network].ticks // 30
    step_on_meta("harnet10", f"objective.name={objective}", f"network.preset={network}", f"data.seconds={seconds}")


@pytest.mark.parametrize("sets", SETS)
def test_every_setting_takes_a_step(step_on_meta: Step, sets: list[str]) -> None:
    step_on_meta("harnet10", *(f"objective.{each}" for each in sets), "data.control=noise", "run.accumulate=1")


class HostCopies(TorchDispatchMode):
    """Counts tensors that are copied from the host."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        copied = func is torch.ops.aten._to_copy.default and args[0].device != found.device
        self.count += copied
        return found


@pytest.mark.parametrize("loss", ["multiview", "sigmoid"])
def test_locations_of_devices_are_copied_once(step_on_meta: Step, monkeypatch: pytest.MonkeyPatch, loss: str) -> None:
    """As after `bind`: a step with the locations of a store, and no copy in those after it."""
    kind = Devices(1)
    kind.set_locations({slot: [0, 1 + slot % 2] for slot in range(4)}, 3)
    slot_B = torch.tensor([3, 0, 2])
    assert kind.locations(slot_B).tolist() == [[0, 2], [0, 1], [0, 1]]
    for copies in (2, 0):
        with HostCopies() as counted:
            assert kind.locations(slot_B.to(META)).shape == (3, 2)
        assert counted.count - 1 == copies  # that of slot_B itself
    monkeypatch.setattr(collossl, "Devices", lambda others: kind)
    step_on_meta("harnet10", "objective.name=collossl", f"objective.collossl.loss={loss}")


def test_a_look_at_a_number_is_found(step_on_meta: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    def looking(self: Multitask, outputs: dict[str, torch.Tensor], targets: torch.Tensor) -> None:
        targets.sum().item()

    monkeypatch.setattr(Multitask, "loss", looking)
    with pytest.raises(RuntimeError, match="meta"):
        step_on_meta("harnet10")
