"""The settings of the signal steps and of tables. A store is made with one choice and keeps its fingerprint."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ingest.time_format import steps_of
from pipeline.flags import Flag
from pipeline.grid import COUNTS_PER_G

ClockChoice = Literal["keep-first", "keep-last", "split"]

STEPS_VERSION = 1
"""Raised whenever a signal step gives other values of device recordings than before."""


@dataclass(frozen=True)
class SignalSettings:
    """Settings of the signal steps; raises ValueError for impossible ones."""

    resampling: Annotated[
        Literal["bandlimited", "linear", "nearest"],
        Flag("Method of resampling to 30 Hz: bandlimited (default), linear or nearest."),
    ] = "bandlimited"
    """OxWearables' public weights were trained on `nearest`."""
    require_calibration: Annotated[
        bool, Flag("Reject recordings that cannot be calibrated, instead of flagging them.")
    ] = False
    any_location: Annotated[bool, Flag("Accept recordings that say they were worn elsewhere than on a wrist.")] = False
    local_timezone: Annotated[
        str | None,
        Flag(
            "Time zone of the participants, such as Europe/London: days are then local days. Default: days of the "
            "device's clock."
        ),
    ] = None
    device_timezone: Annotated[
        str | None,
        Flag(
            "Time zone that the devices' clocks were set to, such as UTC, for recordings that do not say. Default: the "
            "local time zone."
        ),
    ] = None
    clock: Annotated[
        ClockChoice | None,
        Flag(
            "What to keep of recordings whose clock was set while they ran: keep-first, keep-last, or split (all, at "
            "their own times). Default: reject them."
        ),
    ] = None
    """Not a setting of the store: it decides only about recordings that would be rejected."""
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
                    f"{name}: expected a time zone that this machine knows, such as Europe/London or UTC, found "
                    f"{zone!r}"
                ) from None
        if self.device_timezone and not self.local_timezone:
            raise ValueError("device_timezone has no effect without local_timezone: give the zone of the local days")
        if not 64 <= self.counts_per_g <= 4096:
            raise ValueError(
                f"counts_per_g: expected 64 to 4096 (a range of 512 g to 8 g in 16 bits), found {self.counts_per_g}"
            )


AXIS_NAMES = ("x", "y", "z")
COLUMNS = ("time", *AXIS_NAMES)


@dataclass(frozen=True)
class TableSettings:
    """What tables (csv, Parquet) do not say about themselves; part of the fingerprint of every table read with it."""

    columns: Annotated[
        str | None,
        Flag(
            "Columns of tables (csv, parquet): time=NAME,x=NAME,y=NAME,z=NAME, with names or numbers from 1. Default: "
            "detected."
        ),
    ] = None
    unit: Annotated[
        Literal["g", "m/s2", "mg"] | None, Flag("Unit of tables: g, m/s2 or mg. Default: g or m/s2, by gravity.")
    ] = None
    rate_hz: Annotated[
        float | None, Flag("Rows a second of tables whose time column is missing or does not give the rate.", "rate")
    ] = None

    dayfirst: Annotated[
        bool | None,
        Flag("Dates of tables as in 05/06/2024 are day first (or month first).", "dayfirst/--no-dayfirst"),
    ] = None
    time_format: Annotated[
        str | None,
        Flag("Format of stamps in tables, as in '%d.%m.%Y %I:%M:%S %p' (directives of strptime). Default: detected."),
    ] = None
    where_column: Annotated[
        str | None,
        Flag(
            "Rows of tables to read, as in location=left, where a table holds several sensors; location=* reads all "
            "as one. Default: all."
        ),
    ] = None

    def __post_init__(self) -> None:
        if self.rate_hz is not None and not 1 <= self.rate_hz <= 1000:
            raise ValueError(f"--rate: expected 1 to 1000 samples per second, found {self.rate_hz:g}")
        if self.where_column is not None and not all(self.where_column.partition("=")):
            raise ValueError(f"--where-column: expected NAME=VALUE, found {self.where_column!r}")
        if self.time_format is not None:
            try:
                steps_of(self.time_format)
            except ValueError as error:
                raise ValueError(f"--time-format: {error}") from None
        is_valid = {*AXIS_NAMES} <= {*self.named} <= {*COLUMNS} and all(self.named.values())
        if self.columns is not None and not is_valid:
            raise ValueError(f"--columns: expected time=NAME,x=NAME,y=NAME,z=NAME, found {self.columns!r}")

    @property
    def named(self) -> dict[str, str]:
        """The columns that `columns` names, by what they contain."""
        pairs = (part.partition("=") for part in (self.columns or "").split(",") if part.strip())
        return {what.strip(): name.strip() for what, _, name in pairs}
