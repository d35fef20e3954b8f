"""Whom a file asks to forget: names as ingest knew them, or keyed ids. No message shows more than a line number.

A file that is read in another way than it was meant gives names that nobody has, and forgetting nobody looks
like success. So what cannot be a name alone is refused, and so are people of whom the store knows nothing.
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
OF_A_TABLE = re.compile(r'[,;|\t"]')
SHOWN = 10


@dataclass(frozen=True)
class Person:
    """A participant's keyed id and the line that names it."""

    id: str
    line: int


@dataclass(frozen=True)
class Standing:
    """The people of a file, each in one of these."""

    withdrawn: list[Person]
    """Noted by an earlier withdrawal, whether that was finished or not."""
    known: list[Person]
    """In a table of the store, if only in its plan or as one whose recordings were rejected."""
    unknown: list[Person]

    def told(self) -> str:
        """How many of each, and on which lines those stand whom the store does not know."""
        count = len(self.withdrawn) + len(self.known) + len(self.unknown)
        lines = ", ".join(str(person.line) for person in self.unknown[:SHOWN])
        more = f" and {len(self.unknown) - SHOWN:,} more" if len(self.unknown) > SHOWN else ""
        where = f" (line{'' if len(self.unknown) == 1 else 's'} {lines}{more})" if self.unknown else ""
        return (
            f"{count:,} participant{'' if count == 1 else 's'} in the file: {len(self.known):,} known to the store, "
            f"{len(self.unknown):,} unknown{where}, {len(self.withdrawn):,} withdrawn already"
        )


def stand(people: Sequence[Person], store: Store) -> Standing:
    """How people stand to a store now."""
    withdrawn = store.withdrawals.participants()
    columns = (getattr(store, name).read([COLUMN])[COLUMN].unique() for name in TABLES)
    known = {person for column in columns for person in column.to_pylist()}
    others = [person for person in people if person.id not in withdrawn]
    return Standing(
        withdrawn=[person for person in people if person.id in withdrawn],
        known=[person for person in others if person.id in known],
        unknown=[person for person in others if person.id not in known],
    )


def require_known(standing: Standing, path: Path, store: Store) -> None:
    """Raise UserError when there are people of whom the store knows nothing."""
    if not standing.unknown:
        return
    header = " Is the first line a header?" if [person.line for person in standing.unknown] == [1] else ""
    raise UserError(
        f"{path}: {standing.told()}. Nobody was noted and nothing was deleted.{header} Expected people of "
        f"{store.folder.url}, to the letter as ingest knew them: from its --participants or by its --id-regex (without "
        "both, a person is a recording's path); or keyed ids. If those people withdraw before anything of theirs was "
        "brought in, add --also-unknown: they are noted, and later ingests leave them out."
    )


def read_people(path: Path, key: Callable[[], Key]) -> list[Person]:
    """The people in a file, each once: one a line, or the column `participant` of a CSV file.

    What is 64 hex digits is a keyed id already; `key` is asked only when something else has to be hashed.
    Raises UserError when the file cannot be read, names nobody, is another table, or is ingest's map of participants.
    """
    try:
        text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
        names = list(_names(text, path))
    except (OSError, csv.Error) as error:
        raise UserError(f"cannot read the participants in {path}: {error}.") from None
    if not names:
        raise UserError(f"{path}: expected participants, one a line or a CSV column {COLUMN}, found none.")
    secret = None if all(KEYED_ID.fullmatch(name) for _, name in names) else key()
    people: dict[str, Person] = {}
    for line, name in names:
        hashed = name.lower() if secret is None or KEYED_ID.fullmatch(name) else secret.participant(name)
        people.setdefault(hashed, Person(hashed, line))
    return list(people.values())


def _names(text: str, path: Path) -> Iterator[tuple[int, str]]:
    """Line numbers and names."""
    lines = [line.strip() for line in text.split("\n")]
    first = next((line for line in lines if line), "")
    header = [cell.strip() for cell in next(csv.reader([first]), [])]
    return _column(text, header, path) if COLUMN in header else _lines(lines, path)


def _lines(lines: list[str], path: Path) -> Iterator[tuple[int, str]]:
    """A name a line; raises UserError for what looks like a table."""
    for number, line in enumerate(lines, 1):
        if found := OF_A_TABLE.search(line):
            raise UserError(
                f"{path}, line {number}: expected a name alone, found {found[0]!r} in it. Give one name a line; or a "
                f"CSV file, with commas, whose first line names the column {COLUMN}: names may hold such signs there."
            )
        if line:
            yield number, line


def _column(text: str, header: list[str], path: Path) -> Iterator[tuple[int, str]]:
    """The names in a CSV file; raises UserError for ingest's map, and for a row of which they cannot be told."""
    if "name" in header:
        raise UserError(
            f"{path} has the columns name and {COLUMN}: this is how ingest is told about everybody. Give a file with "
            f"the column {COLUMN} alone, and in it those who withdrew."
        )
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows = (row for row in reader if any(map(str.strip, row)))
    next(rows)
    for row in rows:
        if any(map(str.strip, row[len(header) :])):
            raise UserError(
                f"{path}, line {reader.line_num}: expected {len(header)} fields as in the first line, found "
                f"{len(row)}. A name that holds a comma stands in quotes."
            )
        name = row[header.index(COLUMN)].strip() if len(row) > header.index(COLUMN) else ""
        if not name:
            raise UserError(f"{path}, line {reader.line_num}: expected a {COLUMN}, found an empty field.")
        yield reader.line_num, name
