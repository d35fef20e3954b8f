"""What a user may choose about the signal. A store is made with one choice, and keeps its fingerprint."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pipeline.grid import COUNTS_PER_G

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
    local_timezone: str | None = None
    """Where the people live, as in Europe/London; without it, days are those of the device's own clock."""
    device_timezone: str | None = None
    """What the clocks of devices that do not tell it were set to; `local_timezone` unless told."""
    counts_per_g: int = COUNTS_PER_G
    """Resolution of the store."""
    steps: int = field(default=STEPS_VERSION, init=False)

    def __post_init__(self) -> None:
        for name in ("local_timezone", "device_timezone"):
            zone = getattr(self, name)
            try:
                ZoneInfo(zone or "UTC")
            except (ValueError, OSError, ZoneInfoNotFoundError):
                raise ValueError(
                    f"{name}: expected a time zone that this machine knows, as in Europe/London or UTC, found {zone!r}"
                ) from None
        if self.device_timezone and not self.local_timezone:
            raise ValueError("device_timezone tells nothing without local_timezone: say in which zone days are days")
        if not 64 <= self.counts_per_g <= 4096:
            raise ValueError(
                f"counts_per_g: expected 64 to 4096 (a range of 512 g to 8 g in 16 bits), found {self.counts_per_g}"
            )


AXIS_NAMES = ("x", "y", "z")
COLUMNS = ("time", *AXIS_NAMES)


@dataclass(frozen=True)
class TableSettings:
    """What tables (csv, Parquet) do not tell themselves; part of the state of every table that was read with it."""

    columns: str | None = None
    """`time=NAME,x=NAME,y=NAME,z=NAME`: names of columns, or their numbers from 1. Without a time it is looked for."""
    unit: Literal["g", "m/s2"] | None = None
    """Of the values; found by gravity unless told."""
    rate_hz: float | None = None
    """Samples a second, where the table has no time, or one that does not tell its rate."""

    def __post_init__(self) -> None:
        if self.rate_hz is not None and not 1 <= self.rate_hz <= 1000:
            raise ValueError(f"--rate: expected 1 to 1000 samples a second, found {self.rate_hz:g}")
        is_told = {*AXIS_NAMES} <= {*self.named} <= {*COLUMNS} and all(self.named.values())
        if self.columns is not None and not is_told:
            raise ValueError(f"--columns: expected time=NAME,x=NAME,y=NAME,z=NAME, found {self.columns!r}")

    @property
    def named(self) -> dict[str, str]:
        """The names of columns that were told, by what they hold."""
        pairs = (part.partition("=") for part in (self.columns or "").split(",") if part.strip())
        return {what.strip(): name.strip() for what, _, name in pairs}
