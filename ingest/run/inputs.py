"""What the user gives a run: recordings, the key, and who wore what; all mistakes in it show before any work."""

from __future__ import annotations

import csv
import io
import logging
import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from ingest.participants import rule_of
from ingest.run.settings import IngestSettings
from ingest.run.sources import Source, list_sources
from ingest.run.summary import count
from ingest.signal.calibrate import Calibration
from ingest.signal.calibration_file import read_calibrations
from pipeline.errors import UserError
from pipeline.identity import SHORT_ID, Key, load_key
from pipeline.storage.folder import Folder

log = logging.getLogger(__name__)

NAME_MAP = ("recording", "name")
"""Columns of the file that tells which file an id stands for."""


@dataclass(frozen=True)
class Inputs:
    """The recordings that have a participant, and how many have none and are left out."""

    key: Key
    folder: Folder
    sources: list[Source]
    participants: dict[str, str]
    """Recording id to participant id."""
    left_out: list[Source]
    withdrawn: int = 0
    """Recordings of people who withdrew: they are left out as if they were not there."""
    calibrations: dict[str, Calibration] = field(default_factory=dict)
    """Coefficients by the keyed id of a device."""
    again: bool = False
    """Whether these are the recordings that --again names: all are to be brought in, done or not."""

    def without(self, people: frozenset[str]) -> Inputs:
        """The inputs without the recordings of these people."""
        kept = [source for source in self.sources if self.participants[source.id] not in people]
        return replace(self, sources=kept, withdrawn=self.withdrawn + len(self.sources) - len(kept))


def read_inputs(settings: IngestSettings) -> Inputs:
    """List the recordings and find whose they are; raises UserError for whatever is amiss."""
    key = load_key(settings.key_file)
    rule = rule_of(settings.participants, settings.id_regex)
    folder, sources = list_sources(settings.recordings, key, settings.table, beside=_given_files(settings))
    if settings.name_map is not None:
        write_name_map(settings.name_map, sources, Folder(settings.store))
    if settings.again is not None:
        sources = named(settings.again, sources)
    people = {source.id: rule(source.name) for source in sources}
    kept = [source for source in sources if people[source.id] is not None]
    if not kept:
        raise UserError(
            f"none of {count(len(sources), 'recording')} matches "
            + (f"{settings.participants}" if settings.participants else f"--id-regex {settings.id_regex!r}")
            + ": compared is the path below --recordings."
        )
    participants = {id_: key.participant(name) for id_, name in people.items() if name is not None}
    left_out = [source for source in sources if people[source.id] is None]
    calibrations = read_calibrations(settings.calibration, key) if settings.calibration else {}
    return Inputs(key, folder, kept, participants, left_out, 0, calibrations, settings.again is not None)


def _given_files(settings: IngestSettings) -> list[Path]:
    """Files of the user's that may lie among the recordings, and are none."""
    given = (settings.participants, settings.name_map, settings.again, settings.calibration)
    return [path for path in given if path is not None]


def named(path: Path, sources: list[Source]) -> list[Source]:
    """The recordings that a file names, by an id a line or the first 12 digits of it.

    Raises UserError where it cannot be read, holds something else, or names none of those that are there.
    """
    try:
        lines = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read --again {path}: {error}.") from None
    wrong = [number for number, line in enumerate(lines, 1) if not re.fullmatch(rf"[0-9a-f]{{{SHORT_ID},64}}", line)]
    if wrong or not lines:
        raise UserError(
            f"--again {path}: expected ids of recordings, one a line ({SHORT_ID} to 64 hex digits), found "
            + (f"another text in place {wrong[0]}." if wrong else "nothing.")
        )
    asked = {line[:SHORT_ID] for line in lines}
    found = [source for source in sources if source.id[:SHORT_ID] in asked]
    missing = sorted(asked - {source.id[:SHORT_ID] for source in found})
    if not found:
        raise UserError(f"none of the recordings that --again {path} names is in --recordings: {missing[0]}, ...")
    if missing:
        log.warning("%s of --again not in --recordings: %s", count(len(missing), "recording"), " ".join(missing))
    return found


def write_name_map(path: Path, sources: list[Source], store: Folder) -> None:
    """Write which file every id stands for, beside what the map tells already, readable by the user alone.

    Raises UserError instead of writing into the store or over a file that is no map of names.
    """
    if store.is_local and Path(store.path).resolve() in path.resolve().parents:
        raise UserError(f"--name-map {path} is inside the store, which must not hold names. Write it elsewhere.")
    names = read_name_map(path) | {source.id: source.name for source in sources}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([NAME_MAP, *names.items()])
    temporary = path.with_name(f".{path.name}.partial")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            file.write(text.getvalue())
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"cannot write the name map {path}: {error.strerror}.") from None


def read_name_map(path: Path) -> dict[str, str]:
    """Ids and names of an earlier map; empty where there is none."""
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            rows = list(csv.reader(file))
    except FileNotFoundError:
        return {}
    except (OSError, csv.Error) as error:
        raise UserError(f"cannot read the name map {path}: {type(error).__name__}.") from None
    if rows and (tuple(rows[0]) != NAME_MAP or any(len(row) != len(NAME_MAP) for row in rows)):
        raise UserError(
            f"--name-map {path}: expected no file or an earlier map (columns {', '.join(NAME_MAP)}), found another "
            "file. Name another place."
        )
    return dict(rows[1:])
