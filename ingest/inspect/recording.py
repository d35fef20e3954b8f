"""Read and process one recording as a run would: its figures, its days, and what a picture needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.devices.registry import Part, decode, decode_parts
from ingest.join import by_folder
from ingest.process import Processed, Row, process
from ingest.run.sources import list_sources, read_source
from ingest.settings import SignalSettings, TableSettings
from ingest.signal.quality import judged
from ingest.signal.timing import MAX_DAYS
from pipeline.errors import UserError
from pipeline.identity import Key
from pipeline.storage.folder import Folder
from pipeline.storage.s3_read import read_object
from pipeline.store.figures import RecordingFigures
from pipeline.store.person_day import PersonDay

KIND = "persondays-recording"
VERSION = 1
NO_KEY = Key(bytes(32))
"""Ids are not shown."""
ANYWHERE = SignalSettings(any_location=True)
OF_A_DAY = ("measured", "idle", "gap", "clipped", "nonwear", "bad", "wear", "eligible")


@dataclass(frozen=True)
class Day:
    """A day of a recording: its figures, and motion in g (NaN: not measured) and state of every second."""

    date: np.datetime64
    figures: Row
    motion_S: NDArray[np.float32]
    state_S: NDArray[np.uint8]


@dataclass(frozen=True)
class Inspected:
    """The figures and days of a recording."""

    figures: RecordingFigures
    days: list[Day]

    def plain(self) -> dict[str, Any]:
        """The figures and days as JSON-ready values; unknown numbers are null."""
        days = [
            {"date": str(day.date), "enmo_mg": day.figures["enmo_mg"]}
            | {f"{name}_hours": day.figures[f"{name}_seconds"] / 3600 for name in OF_A_DAY}
            for day in self.days
        ]
        figures = self.figures.plain()
        del figures["enmo_mg_of_days"]
        return {"format": KIND, "version": VERSION, "figures": figures, "days": days}


def is_file(url: str) -> bool:
    """Whether a path or URL is a file, as recordings are; a store is a folder."""
    folder = Folder(url)
    with folder.translate_errors():
        return bool(folder.fs.isfile(folder.path))


def exists(url: str) -> bool:
    """Whether a path or URL is a file or a folder that exists."""
    folder = Folder(url)
    with folder.translate_errors():
        return bool(folder.fs.exists(folder.path))


def process_recording(
    url: str, table: TableSettings, settings: SignalSettings = ANYWHERE, max_days: int = MAX_DAYS
) -> Processed:
    """Read one recording and run the signal steps before its days; a UserError names it as the user did."""
    folder = Folder(url)
    with folder.translate_errors():
        data: Any = _mapped(folder.path) if folder.is_local else read_object(folder, "", folder.fs.size(folder.path))
    with _named(url):
        return process(decode(data, url, table, settings), settings, max_days=max_days)


def process_folder(
    url: str, table: TableSettings, settings: SignalSettings = ANYWHERE, max_days: int = MAX_DAYS
) -> Processed:
    """Do the same with the one recording of which the files in a folder are the parts; a UserError names them."""
    folder, recordings = list_sources(url, NO_KEY, table, join=by_folder)
    if len(recordings) != 1:
        raise UserError(f"{url}: expected the files of one recording, found {len(recordings):,} folders with files.")
    parts = [Part(file.name, file.name, partial(read_source, folder, file)) for file in recordings[0].parts]
    with _named(url):
        return process(decode_parts(parts, table, settings), settings, max_days=max_days)


def inspect_processed(url: str, processed: Processed, see: Callable[[PersonDay], None] | None = None) -> Inspected:
    """The figures and days of a processed recording; `see` is called with every person-day, one after the other."""
    days = []
    with _named(url):
        for date, day, figures in processed.days():
            days.append(Day(date, figures, day.motion_S, day.state_S))
            if see is not None:
                see(day)
    return Inspected(judged(processed.figures, [day.figures for day in days]), days)


@contextmanager
def _named(url: str) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        raise UserError(f"{url}: {error}") from None


def _mapped(path: str) -> Any:
    try:
        return np.memmap(path, mode="r")
    except ValueError:  # an empty file cannot be mapped
        return b""
