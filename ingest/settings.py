"""What a user may choose about the signal. A store is made with one choice, and keeps its fingerprint."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pipeline.grid import COUNTS_PER_G

WRIST = "wrist"
"""The end of a location that is taken unless told otherwise: "non-dominant left wrist"."""

STEPS_VERSION = 1
"""Raised whenever a signal step gives other values than before."""


@dataclass(frozen=True)
class SignalSettings:
    """Settings of the signal steps; raises ValueError for impossible ones."""

    resampling: Literal["bandlimited", "linear", "nearest"] = "bandlimited"
    """How samples come to 30 Hz; `nearest` is what OxWearables' public weights saw."""
    require_calibration: bool = False
    """Reject a recording that cannot be calibrated, instead of keeping it flagged."""
    any_location: bool = False
    """Take recordings that say that they were worn elsewhere than on a wrist, too."""
    counts_per_g: int = COUNTS_PER_G
    """Resolution of the store."""
    steps: int = field(default=STEPS_VERSION, init=False)

    def __post_init__(self) -> None:
        if not 64 <= self.counts_per_g <= 4096:
            raise ValueError(
                f"counts_per_g: expected 64 to 4096 (a range of 512 g to 8 g in 16 bits), found {self.counts_per_g}"
            )
