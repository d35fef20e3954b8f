"""Settings of the optimizer, its learning rate and the running mean of the weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class OptimizerSettings:
    """Optimizer and learning rate. The rate is for a batch of 512 and is scaled to the batch of the run."""

    name: Literal["adam", "adamw"] = "adam"
    rate_per_512: float = 1e-4
    scaling: Literal["linear", "sqrt"] = "linear"
    rate_cap: float | None = None
    amsgrad: bool = True
    weight_decay: float = 0.0
    warmup_windows: int = 0
    schedule: Literal["constant", "cosine"] = "constant"
    clip_norm: float | None = None
    """Longest gradient: longer ones are scaled down to this norm."""
    average_windows: int | None = None
    """Keep a running mean of the weights over about this many windows (`train.optim.averaging`)."""

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
