"""Read the participants who withdrew from a file, and look them up in the store. No message shows a name.

If the file were misread, its names would match nobody: nothing would be deleted, and it would look like success. So
anything that may be a table is refused, and so are participants that the store does not know.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UserError
from pipeline.identity import Key
from pipeline.store.layout import TABLES
from pipeline.store.store import Store

COLUMN = "participant"
KEYED_ID = re.compile(r"[0-9a-fA-F]{64}")
TABLE_CHARACTERS = re.compile(r'[,;|\t"]')
MAX_SHOWN = 10


@dataclass(frozen=True)
class ListedParticipant:
    """A participant's keyed id and the line of the file that names it."""

    id: str
    line: int


@dataclass(frozen=True)
class Lookup:
    """The participants of a file, by what the store knows of them."""

    withdrawn: list[ListedParticipant]
    """Registered by an earlier withdrawal, complete or not."""
    known: list[ListedParticipant]
    """In a table of the store, even if only in the plan or with rejected recordings."""
    unknown: list[ListedParticipant]

    def __str__(self) -> str:
        """How many of each, and the lines of the unknown ones."""
        count = len(self.withdrawn) + len(self.known) + len(self.unknown)
        lines = ", ".join(str(participant.line) for participant in self.unknown[:MAX_SHOWN])
        more = f" and {len(self.unknown) - MAX_SHOWN:,} more" if len(self.unknown) > MAX_SHOWN else ""
        where = f" (line{'' if len(self.unknown) == 1 else 's'} {lines}{more})" if self.unknown else ""
        return (
            f"{count:,} participant{'' if count == 1 else 's'} in the file: {len(self.known):,} known to the store, "
            f"{len(self.unknown):,} unknown{where}, {len(self.withdrawn):,} already withdrawn"
        )


def look_up(participants: Sequence[ListedParticipant], store: Store) -> Lookup:
    """Look up listed participants in the tables and withdrawals of a store."""
    withdrawn = store.withdrawals.participants()
    columns = (getattr(store, name).read([COLUMN])[COLUMN].unique() for name in TABLES)
    known = {participant for column in columns for participant in column.to_pylist()}
    others = [participant for participant in participants if participant.id not in withdrawn]
    return Lookup(
        withdrawn=[participant for participant in participants if participant.id in withdrawn],
        known=[participant for participant in others if participant.id in known],
        unknown=[participant for participant in others if participant.id not in known],
    )


def require_known(found: Lookup, path: Path, store: Store) -> None:
    """Raise UserError when the store does not know some of the participants."""
    if not found.unknown:
        return
    header = " Is the first line a header?" if [participant.line for participant in found.unknown] == [1] else ""
    raise UserError(
        f"{path}: {found}. Nobody was registered and nothing was deleted.{header} Expected participants of "
        f"{store.folder.url}, spelled exactly as ingest knew them: from its --participants or by its --id-regex "
        "(without both, a participant is the path of a recording); or keyed ids. If these participants withdraw before "
        "any of their recordings was ingested, add --also-unknown: they are registered, and later ingests leave them "
        "out."
    )


def read_participants(path: Path, key: Callable[[], Key]) -> list[ListedParticipant]:
    """The participants in a file, each once: one per line, or the column `participant` of a CSV file.

    64 hex digits are a keyed id already; `key` is called only when a name has to be hashed. Raises UserError when the
    file cannot be read, names nobody, is another kind of table, or is ingest's map of participants.
    """
    try:
        text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
        names = list(_names(text, path))
    except (OSError, csv.Error) as error:
        raise UserError(f"cannot read the participants in {path}: {error}.") from None
    if not names:
        raise UserError(f"{path}: expected participants, one per line or in a CSV column {COLUMN}, found none.")
    secret = None if all(KEYED_ID.fullmatch(name) for _, name in names) else key()
    found: dict[str, ListedParticipant] = {}
    for line, name in names:
        hashed = name.lower() if secret is None or KEYED_ID.fullmatch(name) else secret.participant(name)
        found.setdefault(hashed, ListedParticipant(hashed, line))
    return list(found.values())


def _names(text: str, path: Path) -> Iterator[tuple[int, str]]:
    """Line numbers and names."""
    lines = [line.strip() for line in text.split("\n")]
    first = next((line for line in lines if line), "")
    header = [cell.strip() for cell in next(csv.reader([first]), [])]
    return _names_in_column(text, header, path) if COLUMN in header else _names_in_lines(lines, path)


def _names_in_lines(lines: list[str], path: Path) -> Iterator[tuple[int, str]]:
    """One name per line; raises UserError for a line that may belong to a table."""
    for number, line in enumerate(lines, 1):
        if found := TABLE_CHARACTERS.search(line):
            raise UserError(
                f"{path}, line {number}: expected only a name, found {found[0]!r} in it. Give one name per line; or a "
                f"CSV file, with commas, whose first line names the column {COLUMN}: there, names may contain such "
                "characters."
            )
        if line:
            yield number, line


def _names_in_column(text: str, header: list[str], path: Path) -> Iterator[tuple[int, str]]:
    """The names in a CSV file; raises UserError for ingest's map, and for a row that does not fit the header."""
    if "name" in header:
        raise UserError(
            f"{path} has the columns name and {COLUMN}: it is ingest's map of all participants. Give a file with the "
            f"column {COLUMN} only, and in it those who withdrew."
        )
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows = (row for row in reader if any(map(str.strip, row)))
    next(rows)
    for row in rows:
        if any(map(str.strip, row[len(header) :])):
            raise UserError(
                f"{path}, line {reader.line_num}: expected {len(header)} fields as in the first line, found "
                f"{len(row)}. Put a name that contains a comma in quotes."
            )
        name = row[header.index(COLUMN)].strip() if len(row) > header.index(COLUMN) else ""
        if not name:
            raise UserError(f"{path}, line {reader.line_num}: expected a {COLUMN}, found an empty field.")
        yield reader.line_num, name
