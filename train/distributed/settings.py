"""Settings of the engine, and what it needs to know about a step."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Precision = Literal["float32", "tf32", "bfloat16", "float64"]


@dataclass(frozen=True)
class EngineSettings:
    """How a step runs on all processes. Changes speed and memory, but not what is learned."""

    name: Literal["ddp", "deepspeed"] = "ddp"
    zero_stage: Literal[0, 1, 2] = 1
    """What DeepSpeed shards over processes. 1: the optimizer's state; 2: gradients too; 0: nothing."""
    deepspeed: Path | None = None
    """A DeepSpeed JSON file, merged over the configuration that follows from the recipe."""


@dataclass(frozen=True)
class StepSettings:
    """The part of a recipe that an engine needs for a step."""

    windows: int
    """Windows that this process trains on in each step."""
    accumulate: int
    """Equal pieces that these windows go through the network in."""
    precision: Precision
    compile: bool
    graphs: bool
    """Whether compiled code is recorded as CUDA graphs."""
    clip_norm: float | None
