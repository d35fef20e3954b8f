"""Who wore a device: from a map, from the file's name, or unknown.

Without either, each recording is a participant of its own, and two recordings of one person count as those of two. A
recording that the user's rule does not cover is left out: nothing is guessed.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from pipeline.errors import UserError

Rule = Callable[[str], str | None]
"""From a recording's name (its path below the folder of recordings) to a participant, or None."""

Presets = Mapping[str, str]
PRESETS: Presets = {"ukb": r"(?:^|/)(\d+)_90001_\d+_\d+\.[^/]*$"}
"""Regular expressions by name; `ukb` reads the names of UK Biobank: EID_90001_instance_array."""


def rule_of(participants: Path | None, id_regex: str | None) -> Rule:
    """The rule of --participants or --id-regex; without either, every recording is a participant of its own."""
    if participants is not None:
        return by_map(participants)
    return own_participant if id_regex is None else by_regex(id_regex)


def own_participant(name: str) -> str:
    """Every recording is a participant of its own."""
    return name


def by_regex(text: str, flag: str = "--id-regex", what: str = "participant", presets: Presets = PRESETS) -> Rule:
    """The first group of a regular expression (or preset), which names `what`, searched for in the name.

    Raises UserError when it does not compile or has no group.
    """
    try:
        pattern = re.compile(presets.get(text, text))
    except re.error as error:
        known = f" Presets: {', '.join(presets)}." if presets else ""
        raise UserError(f"{flag} {text!r} is not a regular expression: {error}.{known}") from None
    if pattern.groups < 1:
        raise UserError(f"{flag} {text!r} has no group: put parentheses around the part that names the {what}.")

    def rule(name: str) -> str | None:
        match = pattern.search(name)
        return match.group(1) or None if match else None

    return rule


def by_map(path: Path, what: str = "participant") -> Rule:
    """A CSV file with the columns `name` and `what`; a name may hold the wildcards * ? [].

    A pattern without a slash is compared with the last part of a recording's name. Raises UserError
    when the file cannot be used, and when two patterns give one name to two values of `what`.
    """
    exact: dict[str, str] = {}
    patterns: list[tuple[str, str]] = []
    for line, (name, value) in read_map(path, what):
        if any(mark in name for mark in "*?["):
            patterns.append((name, value))
        elif exact.setdefault(name, value) != value:
            raise UserError(f"{path}, line {line}: another line gives this name to another {what}. Keep one line.")

    def rule(name: str) -> str | None:
        last = name.rsplit("/", 1)[-1]
        found = exact.get(name, exact.get(last))
        if found is not None:
            return found
        matching = {value for pattern, value in patterns if fnmatchcase(name if "/" in pattern else last, pattern)}
        if len(matching) > 1:
            raise UserError(f"{path}: {len(matching)} {what}s have patterns that match one file. Narrow them.")
        return matching.pop() if matching else None

    return rule


def read_map(path: Path, what: str = "participant") -> list[tuple[int, tuple[str, str]]]:
    """The lines of a map: a line number, and a name (or pattern) and its value in the column `what`."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = set(reader.fieldnames or ())
            if not {"name", what} <= columns:
                raise UserError(  # without a header, the first line names somebody: it is not shown
                    f"{path}: expected a CSV file whose first line names the columns name and {what}, "
                    f"found {'another first line' if columns else 'nothing'}."
                )
            rows = [(reader.line_num, ((row["name"] or "").strip(), (row[what] or "").strip())) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"cannot read the map of {what}s {path}: {getattr(error, 'strerror', None) or error}."
        ) from None
    for line, pair in rows:
        if not all(pair):
            raise UserError(f"{path}, line {line}: expected a name and a {what}, found an empty field.")
    return rows
