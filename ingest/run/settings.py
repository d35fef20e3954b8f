"""What an ingest run is told: one typed page, filled from a TOML file and from flags."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ingest.settings import SignalSettings, TableSettings
from pipeline.store.store import Codec


@dataclass(frozen=True)
class IngestSettings:
    """The settings of `persondays ingest`; `signal` and `table` are tables of their own in a TOML file."""

    recordings: str
    """A folder of recordings or one recording: a path or any fsspec URL."""
    store: str
    """The window store: a path or any fsspec URL; made where there is none."""
    key_file: Path | None = None
    participants: Path | None = None
    """A CSV file with the columns name (a pattern) and participant."""
    id_regex: str | None = None
    """A regular expression, or `ukb`, whose first group in a recording's path is the participant."""
    name_map: Path | None = None
    """Where to write, for the user alone, which file every id stands for."""
    calibration: Path | None = None
    """Coefficients by device, for recordings that cannot be calibrated by themselves."""
    relative_dates: bool = False
    """Keep no calendar dates in the tables."""
    codec: Codec | None = None
    """Compression of a new store; lz4 unless told."""
    max_days: int = 60
    """A recording that spans more calendar days is rejected."""
    retry_rejected: bool = False
    again: Path | None = None
    """A file of recordings, an id a line: those alone are brought in, into new slots, though they are done."""
    workers: int | None = None
    """Recordings at a time; unless told, as many as Ray has CPUs."""
    ray_address: str | None = None
    signal: SignalSettings = field(default_factory=SignalSettings)
    table: TableSettings = field(default_factory=TableSettings)

    def __post_init__(self) -> None:
        if self.participants is not None and self.id_regex is not None:
            raise ValueError("--participants and --id-regex both name the participants: give one.")
        if self.max_days < 1:
            raise ValueError(f"max_days is at least 1, not {self.max_days}")
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"workers is at least 1, not {self.workers}")
