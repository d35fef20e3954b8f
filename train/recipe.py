"""A recipe: all settings of a run, loaded from a TOML file such as those in train/recipes.

Each part of a run defines its settings in its own `settings.py`. Lengths are counted in windows seen, not in epochs or
steps, so that a recipe means the same for any batch, world size and store.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.settings import build, merge, read_toml
from train.distributed.settings import EngineSettings, StepSettings
from train.loop.settings import ProbeSettings, RunSettings
from train.networks import NETWORKS, NetworkSettings
from train.objectives import ObjectiveSettings
from train.optim.settings import OptimizerSettings
from train.windows.settings import DataSettings

RECIPES = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class Recipe:
    """All settings of a run."""

    name: str = "custom"
    seed: int = 0
    data: DataSettings = field(default_factory=DataSettings)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    objective: ObjectiveSettings = field(default_factory=ObjectiveSettings)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    run: RunSettings = field(default_factory=RunSettings)
    probe: ProbeSettings = field(default_factory=ProbeSettings)
    engine: EngineSettings = field(default_factory=EngineSettings)

    def __post_init__(self) -> None:
        ticks = NETWORKS[self.network.preset].ticks
        if ticks != self.data.ticks:
            raise ValueError(
                f"{self.network.preset} takes windows of {ticks // 30} s, data.seconds is {self.data.seconds}: "
                f"set data.seconds = {ticks // 30}, or another network"
            )
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed: expected 0 to 2**63 - 1, found {self.seed}")

    @property
    def windows_kind(self) -> str:
        """Kind of the windows trained on, by the names of validation: real, noise or phase."""
        return "real" if self.data.control == "none" else self.data.control

    def step_settings(self, windows: int) -> StepSettings:
        """What an engine needs to know about a step in which this process trains on `windows` windows."""
        return StepSettings(
            windows=windows,
            accumulate=self.run.accumulate,
            precision=self.run.precision,
            compile=self.run.compile,
            graphs=self.run.graphs,
            clip_norm=self.optimizer.clip_norm,
        )


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Load a recipe from a TOML file, or one of those in train/recipes by name; `overrides` are `section.key=value`.

    Raises UserError for a recipe or setting that does not exist, or a value of the wrong type.
    """
    path = Path(name)
    if not path.is_file():
        path = RECIPES / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in RECIPES.glob("*.toml")))
        raise UserError(f"no recipe {name!r}: expected the path of a TOML file, or one of {known}.")
    table = {"name": path.stem, **read_toml(path)}
    for override in overrides:
        table = merge(table, _parse(override))
    return build(Recipe, table, f"{path.name} with --set" if overrides else path.name)


def _parse(override: str) -> dict[str, Any]:
    key, equals, value = override.partition("=")
    for text in (f"{key} = {value}", f'{key} = "{value}"') if equals else ():
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError:
            continue
    raise UserError(f"--set {override!r}: expected section.key=value, such as --set run.windows=1000000.")
