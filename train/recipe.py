"""A run's settings: one typed dataclass a part, filled from a small TOML file (train/recipes).

Everything is counted in windows seen, never in epochs or steps: so a recipe means the same at any
batch, world size and size of the store.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pipeline.errors import UserError
from pipeline.grid import TICKS_PER_SECOND
from pipeline.settings import build, merge, read_toml
from train.networks import NETWORKS, NetworkSettings
from train.objectives import ObjectiveSettings
from train.windows.lanes import DEFAULT_WINDOWS_PER_DAY

RECIPES = Path(__file__).parent / "recipes"
DEFAULT = "harnet10"


@dataclass(frozen=True)
class DataSettings:
    """Which windows are drawn (docs/sampling.md)."""

    seconds: int = 10
    windows_per_day: int | None = None
    """None: 3000 of 5 s, 1500 of 10 s, 500 of 30 s."""
    lanes: int = 64
    days_per_pool: int = 4
    min_wear_hours: float = 1.0
    where: str | None = None
    """SQL over the table of person-days, as in "device = 'AX3' and wear_hours > 16"."""
    max_participants: int | None = None
    """Draw from so many people only: of two such numbers, all of the smaller are among the larger."""
    one_day_per_participant: bool = False
    """A round visits one day of every person, another in each."""
    min_spacing_s: int = 1
    """Least seconds between two starts in a day's draw."""
    control: Literal["none", "noise", "phase"] = "none"
    """Train on a control instead: each window becomes noise, or keeps only its spectrum."""
    threads: int | None = None
    """That read and draw pools; None: 2, and 8 from object storage."""
    cache: Path | None = None
    """A folder of the node's own disk for objects fetched from object storage, shared by its processes."""
    cache_gb: float = 100.0
    skip_damaged: bool = False
    """Let other days give the windows of those that cannot be read, instead of stopping."""

    def __post_init__(self) -> None:
        if self.seconds not in DEFAULT_WINDOWS_PER_DAY:
            raise ValueError(f"seconds: expected one of 5, 10, 30, found {self.seconds}")
        for name in ("lanes", "days_per_pool", "windows_per_day", "max_participants", "min_spacing_s", "threads"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, found {getattr(self, name)}")
        if not 0 <= self.min_wear_hours <= 24:
            raise ValueError(f"min_wear_hours: expected 0 to 24, found {self.min_wear_hours}")
        if not 0 < self.cache_gb < float("inf"):
            raise ValueError(f"cache_gb: expected a number above 0, found {self.cache_gb}")

    @property
    def ticks(self) -> int:
        """Ticks of a window."""
        return self.seconds * TICKS_PER_SECOND

    @property
    def quota(self) -> int:
        """Windows a day that is eligible throughout."""
        return DEFAULT_WINDOWS_PER_DAY[self.seconds] if self.windows_per_day is None else self.windows_per_day


@dataclass(frozen=True)
class OptimizerSettings:
    """Optimizer and learning rate. The rate is that of a batch of 512, scaled to the batch at hand."""

    name: Literal["adam", "adamw"] = "adam"
    rate_per_512: float = 1e-4
    scaling: Literal["linear", "sqrt"] = "linear"
    rate_cap: float | None = None
    amsgrad: bool = True
    weight_decay: float = 0.0
    warmup_windows: int = 0
    schedule: Literal["constant", "cosine"] = "constant"
    clip_norm: float | None = None
    """A gradient that is longer is shortened to this."""
    average_windows: int | None = None
    """Keep a running mean of the weights over about so many windows, beside them (`train.optim.averaging`)."""

    def __post_init__(self) -> None:
        for name in ("rate_per_512", "rate_cap", "clip_norm"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ValueError(f"{name}: expected a number above 0, found {value}")
        if self.average_windows is not None and self.average_windows < 1:
            raise ValueError(f"average_windows: expected at least 1, found {self.average_windows}")
        for name in ("weight_decay", "warmup_windows"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name}: expected 0 or more, found {getattr(self, name)}")


@dataclass(frozen=True)
class RunSettings:
    """How long, in what portions, and how often to look and to save; in windows seen."""

    windows: int = 100_000_000
    batch: int = 512
    validate_every: int = 1_000_000
    save_every: int = 1_000_000
    keep: int = 3
    patience: int | None = None
    """Stop when the validation loss has not improved over so many windows."""
    precision: Literal["float32", "tf32", "bfloat16", "float64"] = "float32"
    """tf32: of a GPU's convolutions and matrix products; bfloat16: by autocast, weights stay float32."""
    accumulate: int = 1
    """Pieces that a process's share of a batch goes through the network in, one after the other, to spare memory."""
    compile: bool = False
    deterministic: bool = False
    """On a GPU: only algorithms that give the same bits each time."""
    threads: int | None = None
    """Threads of torch a process; None: the cores shared evenly."""
    timeout_s: float = 1800.0
    """A process that takes no step for so long says where it stands and ends."""

    def __post_init__(self) -> None:
        for name in ("windows", "batch", "validate_every", "save_every", "keep", "patience", "accumulate", "threads"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, found {getattr(self, name)}")
        if not 0 < self.timeout_s < float("inf"):
            raise ValueError(f"timeout_s: expected seconds above 0, found {self.timeout_s}")


@dataclass(frozen=True)
class ProbeSettings:
    """A linear probe beside training: what the features are worth so far (`train.loop.probe`)."""

    data: Path | None = None
    """A labelled set, as `persondays labelled` makes them; None: no probe."""
    every: int | None = None
    """Windows from one to the next; None: with every validation."""

    def __post_init__(self) -> None:
        if self.every is not None and self.every < 1:
            raise ValueError(f"every: expected at least 1, found {self.every}")


@dataclass(frozen=True)
class EngineSettings:
    """What carries a step out over all processes. Decides speed and memory, not what is learned."""

    name: Literal["ddp", "deepspeed"] = "ddp"
    zero_stage: Literal[0, 1, 2] = 1
    """DeepSpeed: what is shared out over processes. 1: the optimizer's state; 2: gradients too; 0: nothing."""
    deepspeed: Path | None = None
    """A JSON file in DeepSpeed's own words, merged over the configuration that is made of these settings."""


@dataclass(frozen=True)
class Recipe:
    """All of a run's settings."""

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
        if ticks != self.data.seconds * 30:
            raise ValueError(
                f"{self.network.preset} takes windows of {ticks // 30} s, data.seconds is {self.data.seconds}: "
                f"set data.seconds = {ticks // 30}, or another network"
            )
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed: expected 0 to 2**63 - 1, found {self.seed}")

    @property
    def own_windows(self) -> str:
        """The validation windows that are like those trained on: real, noise or phase."""
        return "real" if self.data.control == "none" else self.data.control


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """A recipe by the path of its TOML file or by the name of one of ours; `overrides` as `section.key=value`.

    Raises UserError for a recipe or setting that does not exist, or a value of the wrong kind.
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
    return build(Recipe, table, path.name)


def _parse(override: str) -> dict[str, Any]:
    key, _, value = override.partition("=")
    for text in (f"{key} = {value}", f'{key} = "{value}"'):
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError:
            continue
    raise UserError(f"--set {override!r}: expected section.key=value, as in --set run.windows=1000000.")
