"""Settings of the stream: which windows a run draws, and how it reads them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.grid import TICKS_PER_SECOND

DEFAULT_WINDOWS_PER_DAY = {5: 3000, 10: 1500, 30: 500}
"""By the length of a window in seconds."""


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
