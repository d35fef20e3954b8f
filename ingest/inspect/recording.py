"""Read and process one recording as a run would: its figures, its days, and what a picture needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.process import Row, accept
from ingest.settings import SignalSettings, TableSettings
from ingest.signal.quality import judged
from ingest.signal.timing import MAX_DAYS
from pipeline.errors import UserError
from pipeline.storage.folder import Folder
from pipeline.store.figures import RecordingFigures

KIND = "persondays-recording"
VERSION = 1
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


def inspect_recording(
    url: str, table: TableSettings, settings: SignalSettings = ANYWHERE, max_days: int = MAX_DAYS
) -> Inspected:
    """Read and process one recording; a UserError names it as the user did."""
    folder = Folder(url)
    with folder.translate_errors():
        data: Any = folder.fs.cat_file(folder.path) if not folder.is_local else _mapped(folder.path)
    try:
        processed = accept(data, url, table, settings, max_days=max_days)
        days = [Day(date, figures, day.motion_S, day.state_S) for date, day, figures in processed.days()]
    except UserError as error:
        raise UserError(f"{url}: {error}") from None
    return Inspected(judged(processed.figures, [day.figures for day in days]), days)


def _mapped(path: str) -> Any:
    try:
        return np.memmap(path, mode="r")
    except ValueError:  # an empty file cannot be mapped
        return b""
