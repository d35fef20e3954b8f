"""Settings of the stream: which windows a run draws, and how it reads them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.grid import TICKS_PER_SECOND
from train.windows.draw import Weighting

COUNTS = (
    *("lanes", "days_per_pool", "windows_per_day", "max_participants", "min_spacing_s", "threads"),
    *("held_out", "validation_per_day"),
)
"""Settings that are at least 1."""
DEFAULT_WINDOWS_PER_DAY = {5: 3000, 10: 1500, 30: 500}
"""By the length of a window in seconds."""


@dataclass(frozen=True)
class DataSettings:
    """Which windows a run draws (docs/sampling.md)."""

    seconds: int = 10
    windows_per_day: int | None = None
    """None: 3000 of 5 s, 1500 of 10 s, 500 of 30 s."""
    lanes: int = 64
    days_per_pool: int = 4
    min_wear_hours: float = 1.0
    where: str | None = None
    """SQL condition on the table of person-days, such as "device = 'AX3' and wear_hours > 16"."""
    max_participants: int | None = None
    """Draw from this many participants only. A larger number includes the participants of a smaller one."""
    one_day_per_participant: bool = False
    """A round visits one day of each participant, another day in each round."""
    held_out: int | None = None
    """Participants to validate on; None: 5%, at least 2 and at most 1,000."""
    validation_per_day: int = 100
    """Windows to validate on from each day of those participants, 131,072 in all."""
    min_spacing_s: int = 1
    """Fewest seconds between two starts in a draw from a day."""
    weighting: Weighting = "motion"
    """How a window's mean motion decides its weight in the draw: motion, its square root (root), or not at all
    (uniform). Validation windows are always drawn by motion."""
    control: Literal["none", "noise", "phase"] = "none"
    """Train on a control: each window becomes noise, or keeps only its spectrum."""
    threads: int | None = None
    """Threads that read and draw pools; None: 2, or 8 for object storage."""
    cache: Path | None = None
    """A folder on the node's disk that caches objects from object storage, for all processes of the node."""
    cache_gb: float = 100.0
    skip_damaged: bool = False
    """Replace days that cannot be read by others, instead of stopping."""

    def __post_init__(self) -> None:
        if self.seconds not in DEFAULT_WINDOWS_PER_DAY:
            raise ValueError(f"seconds: expected one of 5, 10, 30, found {self.seconds}")
        for name in COUNTS:
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
        """Windows drawn from a day that is eligible throughout."""
        return DEFAULT_WINDOWS_PER_DAY[self.seconds] if self.windows_per_day is None else self.windows_per_day
