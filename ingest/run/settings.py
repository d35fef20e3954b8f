"""The settings of an ingest run, from a TOML file and from flags."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from ingest.settings import SignalSettings, TableSettings
from pipeline.flags import Flag
from pipeline.store.layout import Codec

DEFAULT_MAX_DAYS = 60


@dataclass(frozen=True)
class IngestSettings:
    """The settings of `persondays ingest`; `signal` and `table` are tables of their own in a TOML file."""

    recordings: Annotated[str, Flag("A folder of recordings, or one recording: a path or an s3:// URL.")]
    store: Annotated[str, Flag("The window store: a path or an s3:// URL. Created if it does not exist.")]
    key_file: Annotated[
        Path | None, Flag("The store's key. Default: PERSONDAYS_KEY. `persondays new-key` makes one.")
    ] = None
    participants: Annotated[
        Path | None,
        Flag("A CSV file with the columns name and participant: who wore what. A name may contain wildcards."),
    ] = None
    id_regex: Annotated[
        str | None,
        Flag("The participant is the first group of this regular expression in a recording's path, or `ukb`."),
    ] = None
    join_folders: Annotated[bool, Flag("All recordings of one folder are parts of one recording, joined by time.")] = (
        False
    )
    join_map: Annotated[
        Path | None,
        Flag(
            "A CSV file with the columns name and recording: which files are parts of one recording. A name may "
            "contain wildcards."
        ),
    ] = None
    join_regex: Annotated[
        str | None,
        Flag("Files with the same first group of this regular expression in their paths are parts of one recording."),
    ] = None
    name_map: Annotated[
        Path | None, Flag("Write the file name behind every id to this file. Private: keep it out of the store.")
    ] = None
    relative_dates: Annotated[bool, Flag("Store no calendar dates, only the number of each day in its recording.")] = (
        False
    )
    calibration: Annotated[
        Path | None,
        Flag(
            "Coefficients by device, for recordings that do not determine their own: from `persondays inspect STORE "
            "--calibration FILE`."
        ),
    ] = None
    signal: SignalSettings = field(default_factory=SignalSettings)
    table: TableSettings = field(default_factory=TableSettings)
    codec: Annotated[Codec | None, Flag("Compression of a new store: lz4 (default) or zstd.")] = None
    max_days: Annotated[int, Flag(f"Reject recordings that span more days (default {DEFAULT_MAX_DAYS}).")] = (
        DEFAULT_MAX_DAYS
    )
    retry_rejected: Annotated[bool, Flag("Try rejected recordings again.")] = False
    again: Annotated[
        Path | None,
        Flag("A file of recording ids, one per line: ingest these again, and only these, into new slots."),
    ] = None
    workers: Annotated[int | None, Flag("Recordings to process at a time. Default: one per CPU of Ray.")] = None
    ray_address: Annotated[str | None, Flag("A running Ray cluster. Default: RAY_ADDRESS, else this machine.")] = None

    def __post_init__(self) -> None:
        if self.participants is not None and self.id_regex is not None:
            raise ValueError("--participants and --id-regex both name the participants: give one.")
        if self.join_folders + (self.join_map is not None) + (self.join_regex is not None) > 1:
            raise ValueError("--join-folders, --join-map and --join-regex each say what to join: give one.")
        if self.max_days < 1:
            raise ValueError(f"max_days: expected at least 1, found {self.max_days}")
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"workers: expected at least 1, found {self.workers}")
