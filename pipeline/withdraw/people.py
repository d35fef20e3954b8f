"""Whom a file asks to forget: names as ingest knew them, or keyed ids. No message shows more than a line number."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UserError
from pipeline.identity import Key

COLUMN = "participant"
KEYED_ID = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True)
class Person:
    """A participant's keyed id and the line that names it."""

    id: str
    line: int


def read_people(path: Path, key: Callable[[], Key]) -> list[Person]:
    """The people in a file, each once: one a line, or the column `participant` of a CSV file.

    What is 64 hex digits is a keyed id already; `key` is asked only when something else has to be hashed.
    Raises UserError when the file cannot be read, names nobody, or is the map of participants of ingest.
    """
    try:
        text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
        names = list(_names(text.splitlines(), path))
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


def _names(lines: list[str], path: Path) -> Iterator[tuple[int, str]]:
    """Line numbers and names; raises UserError for a map of participants, and for a row without one."""
    header = [cell.strip() for cell in next(csv.reader(lines[:1]), [])]
    if COLUMN not in header:
        yield from ((number, line.strip()) for number, line in enumerate(lines, 1) if line.strip())
        return
    if "name" in header:
        raise UserError(
            f"{path} has the columns name and {COLUMN}: this is how ingest is told about everybody. Give a file with "
            f"the column {COLUMN} alone, and in it those who withdrew."
        )
    reader = csv.reader(lines)
    next(reader)
    for row in reader:
        if not row:
            continue
        name = row[header.index(COLUMN)].strip() if len(row) > header.index(COLUMN) else ""
        if not name:
            raise UserError(f"{path}, line {reader.line_num}: expected a {COLUMN}, found an empty field.")
        yield reader.line_num, name
