"""The inputs of a run: recordings, the key, and who wore what. Mistakes in them show before any work begins."""

from __future__ import annotations

import csv
import io
import logging
import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from ingest.join import join_rule, none_matches
from ingest.participants import Rule, own_participant, rule_of
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
"""Columns of the file with the file name behind every id."""


@dataclass(frozen=True)
class Inputs:
    """The recordings to ingest and their participants."""

    key: Key
    folder: Folder
    sources: list[Source]
    participants: dict[str, str]
    """Recording id to participant id."""
    left_out: list[Source]
    """Recordings without a participant."""
    withdrawn: int = 0
    """Number of recordings of participants who withdrew: they are left out as if they did not exist."""
    calibrations: dict[str, Calibration] = field(default_factory=dict)
    """Coefficients by the keyed id of a device."""
    joins: bool = False
    """Whether files were joined, or could have been: the run was asked to."""
    again: bool = False
    """Whether these are the recordings that --again names, to be ingested whether done or not."""

    def without(self, participants: frozenset[str]) -> Inputs:
        """The inputs without the recordings of these participants."""
        kept = [source for source in self.sources if self.participants[source.id] not in participants]
        return replace(self, sources=kept, withdrawn=self.withdrawn + len(self.sources) - len(kept))


def read_inputs(settings: IngestSettings) -> Inputs:
    """List the recordings and find whose they are; raises UserError for mistakes in what the user gave."""
    key = load_key(settings.key_file)
    rule = rule_of(settings.participants, settings.id_regex)
    join = join_rule(settings.join_folders, settings.join_map, settings.join_regex)
    folder, sources = list_sources(settings.recordings, key, settings.table, _given_files(settings), join)
    if join and not any(source.parts for source in sources):
        raise none_matches(len(sources), settings.join_map, settings.join_regex)
    if settings.name_map is not None:
        write_name_map(settings.name_map, sources, Folder(settings.store))
    if settings.again is not None:
        sources = named(settings.again, sources)
    names = {source.id: participant_of(source, rule) for source in sources}
    kept = [source for source in sources if names[source.id] is not None]
    if not kept:
        raise UserError(
            f"none of {count(len(sources), 'recording')} matches "
            + (f"{settings.participants}" if settings.participants else f"--id-regex {settings.id_regex!r}")
            + ": the path of a recording below --recordings is what has to match."
        )
    participants = {id_: key.participant(name) for id_, name in names.items() if name is not None}
    left_out = [source for source in sources if names[source.id] is None]
    calibrations = read_calibrations(settings.calibration, key) if settings.calibration else {}
    return Inputs(
        key,
        folder,
        kept,
        participants,
        left_out,
        calibrations=calibrations,
        joins=join is not None,
        again=settings.again is not None,
    )


def participant_of(source: Source, rule: Rule) -> str | None:
    """The participant of a recording, by its name or those of its files; None where no name shows it.

    Raises UserError where the files of one recording are of several participants, or some of them of nobody.
    """
    if rule is own_participant or not source.parts:
        return rule(source.name)
    of_parts = [rule(part.name) for part in source.parts]
    of_name = rule(source.name)
    found = {name for name in (of_name, *of_parts) if name is not None}
    unknown = 0 if of_name is not None else sum(name is None for name in of_parts)
    if len(found) > 1 or (found and unknown):
        whose = f"{len(found)} participants" if len(found) > 1 else f"one participant, and {unknown:,} of nobody"
        raise UserError(
            f"recording {source.id[:SHORT_ID]} has {count(len(source.parts), 'part')} of {whose}: all parts of a "
            "recording are of one participant. Correct --participants or --id-regex, or what is joined (--name-map "
            "gives the names of recordings and parts)."
        )
    return found.pop() if found else None


def _given_files(settings: IngestSettings) -> list[Path]:
    """Files that the user gave which may be in the folder of recordings without being recordings."""
    given = (settings.participants, settings.join_map, settings.name_map, settings.again, settings.calibration)
    return [path for path in given if path is not None]


def named(path: Path, sources: list[Source]) -> list[Source]:
    """The recordings that a file names, by an id (or that of a part) or its first 12 digits per line.

    Raises UserError where it cannot be read, contains something else, or names none of `sources`.
    """
    try:
        lines = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read --again {path}: {error}.") from None
    wrong = [number for number, line in enumerate(lines, 1) if not re.fullmatch(rf"[0-9a-f]{{{SHORT_ID},64}}", line)]
    if wrong or not lines:
        raise UserError(
            f"--again {path}: expected ids of recordings, one per line ({SHORT_ID} to 64 hex digits), found "
            + (f"something else as entry {wrong[0]}." if wrong else "nothing.")
        )
    asked = {line[:SHORT_ID] for line in lines}
    ids = {source.id: {each.id[:SHORT_ID] for each in (source, *source.parts)} for source in sources}
    found = [source for source in sources if ids[source.id] & asked]
    missing = sorted(asked - {id_ for source in found for id_ in ids[source.id]})
    if not found:
        raise UserError(f"no recording that --again {path} names is in --recordings: {missing[0]}, ...")
    if missing:
        log.warning("%s of --again not in --recordings: %s", count(len(missing), "recording"), " ".join(missing))
    return found


def write_name_map(path: Path, sources: list[Source], store: Folder) -> None:
    """Add the file name behind every id to the map, which only the user can read.

    Raises UserError instead of writing into the store or over a file that is not a map of names.
    """
    if store.is_local and Path(store.path).resolve() in path.resolve().parents:
        raise UserError(f"--name-map {path} is inside the store, which must not hold names. Write it elsewhere.")
    files = {each.id: each.name for source in sources for each in (source, *source.parts)}
    names = read_name_map(path) | files
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
    """Ids and names of an existing map; empty where there is none."""
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            rows = list(csv.reader(file))
    except FileNotFoundError:
        return {}
    except (OSError, csv.Error) as error:
        raise UserError(f"cannot read the name map {path}: {type(error).__name__}.") from None
    if rows and (tuple(rows[0]) != NAME_MAP or any(len(row) != len(NAME_MAP) for row in rows)):
        raise UserError(
            f"--name-map {path}: expected no file or an existing map (columns {', '.join(NAME_MAP)}), found another "
            "file. Give another path."
        )
    return dict(rows[1:])
