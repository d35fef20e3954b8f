"""The layout of a table: delimiter, columns of acceleration and time, from the first lines or from the user.

Nothing is guessed. Where several columns might be an axis, or none, the error asks the user: a gyroscope's x is a
column named x too.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ingest.devices.table.actigraph_export import ExportHeader, is_export, read_export_header
from ingest.settings import AXIS_NAMES
from pipeline.errors import UserError

DELIMITERS = ",;\t|"
LINES = 50
"""The first row of numbers must be among this many lines."""

ACCELERATION = {"a", "acc", "accel", "accelerometer", "acceleration"}
BESIDE = {*ACCELERATION, "axis", "raw", "value", "data", "wrist", "left", "right", "calibrated", "g", "mg", "m", "s"}
"""Words that may name a column of acceleration beside its axis; others mean something else (linear, gyro, mag)."""
TIME = {"time", "timestamp", "datetime", "stamp", "ts", "t", "epoch"}
BESIDE_TIME = {*TIME, "date", "unix", "utc", "sample", "s", "ms", "us", "ns", "sec", "seconds", "local"}
SHOWN = 12

_NUMBER = re.compile(r"[-+]?(\d+[.,]?\d*|[.,]\d+)([eE][-+]?\d+)?")
_ISO = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d([.,]\d{1,9})?)?\s*(?P<zone>Z|[-+]\d\d(:?\d\d)?)?")


@dataclass(frozen=True)
class Columns:
    """Positions of the columns, from 0; time is None where there is no such column."""

    time: int | None
    axes: tuple[int, int, int]

    @property
    def places(self) -> list[int]:
        """All positions: time, if it exists, and the axes."""
        return [*([] if self.time is None else [self.time]), *self.axes]


@dataclass(frozen=True)
class Layout:
    """How a text table is written.

    skip: lines before the rows. width: number of columns. is_text_time: stamps are ISO 8601, else numbers. zone: the
    first stamp's offset from UTC, as in +01:00, or UTC; empty where stamps do not state it.
    """

    delimiter: str
    decimal: str
    encoding: str
    skip: int
    width: int
    columns: Columns
    is_text_time: bool = False
    zone: str = ""
    export: ExportHeader | None = None


def is_table(head: bytes) -> bool:
    """Return whether a file with this head is text with rows of at least three numbers."""
    return is_export(head) or (b"\0" not in head and _first_row(_lines(head)) is not None)


def read_layout(head: bytes, given: Mapping[str, str]) -> Layout:
    """Find the layout of a text table in its first bytes; raises UserError with a question where it is unclear."""
    encoding = _encoding(head)
    lines = _lines(head)
    export = read_export_header(lines) if is_export(head) else None
    found = _first_row(lines)
    if found is None:
        raise UserError(
            "expected rows of numbers (separated by commas, semicolons, tabs or bars, in UTF-8), found none in the "
            "first lines. If the table is not a recording, leave it out (files whose names begin with _ are ignored)."
        )
    skip, delimiter = found
    row = _split(lines[skip], delimiter)
    if export:
        columns = Columns(None, (len(row) - 3, len(row) - 2, len(row) - 1))
        return Layout(delimiter, _decimal(row[-3:], delimiter), encoding, skip, len(row), columns, export=export)
    columns = find_columns(_names(lines[:skip], delimiter, len(row)), len(row), given)
    decimal = _decimal([row[axis] for axis in columns.axes], delimiter)
    if columns.time is None or _NUMBER.fullmatch(row[columns.time]):
        return Layout(delimiter, decimal, encoding, skip, len(row), columns)
    stamp = _ISO.fullmatch(row[columns.time])
    if not stamp:
        raise UserError(
            "expected numbers or times as in 2024-05-06T10:00:00.000 (ISO 8601) in the time column, found neither. "
            "Convert the column, or name another one with --columns time=NAME,x=NAME,y=NAME,z=NAME."
        )
    return Layout(delimiter, decimal, encoding, skip, len(row), columns, True, _zone(stamp["zone"] or ""))


def find_columns(names: Sequence[str], width: int, given: Mapping[str, str]) -> Columns:
    """Find the columns by the names of a header (or by their number, without one), or as the user stated them.

    Raises UserError where that is ambiguous.
    """
    if given:
        axes = tuple(_place(given[axis], names, width) for axis in AXIS_NAMES)
        time = _place(given["time"], names, width) if "time" in given else _find_time(names, axes)
    elif names:
        axes = tuple(_find_axis(axis, names) for axis in AXIS_NAMES)
        time = _find_time(names, axes)
    elif width in (3, 4):
        axes, time = tuple(range(width - 3, width)), 0 if width == 4 else None
    else:
        raise UserError(
            f"expected 3 columns (x, y, z) or 4 (time first) in a table without names, found {width}. {_ASK}"
        )
    x, y, z = axes
    if len({x, y, z, time}) < 4:
        raise UserError(f"--columns names one column twice. {_ASK}")
    return Columns(time, (x, y, z))


_ASK = "State the columns: --columns time=NAME,x=NAME,y=NAME,z=NAME (names, or numbers from 1)."


def _place(given: str, names: Sequence[str], width: int) -> int:
    if given in names:
        return names.index(given)
    if given.isdecimal() and 1 <= int(given) <= width:
        return int(given) - 1
    raise UserError(f"--columns names {given!r}; the columns are {_listed(names) or f'numbered from 1 to {width}'}.")


def _find_axis(axis: str, names: Sequence[str]) -> int:
    words = [_words(name) for name in names]
    found = [i for i, of in enumerate(words) if axis in of and {*of} - {axis} <= BESIDE]
    named = [i for i in found if {*words[i]} & ACCELERATION]
    chosen = named or found
    if len(chosen) != 1:
        seen = f"{len(chosen)} columns may be" if chosen else "no column is clearly"
        raise UserError(f"{seen} the acceleration along {axis}; the columns are {_listed(names)}. {_ASK}")
    return chosen[0]


def _find_time(names: Sequence[str], axes: Sequence[int]) -> int | None:
    words = [_words(name) for name in names]
    found = [i for i, of in enumerate(words) if i not in axes and {*of} & TIME and {*of} <= BESIDE_TIME]
    found = found or [i for i, of in enumerate(words) if i not in axes and of == ["date"]]
    if len(found) > 1:
        raise UserError(f"{len(found)} columns may be the time; the columns are {_listed(names)}. {_ASK}")
    return found[0] if found else None


def _words(name: str) -> list[str]:
    """Split a column's name into lower-case words, without units in brackets: AccX, acc_x, `x-axis (g)`."""
    bare = re.sub(r"[(\[].*?[)\]]", " ", name)
    parts = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", bare)
    return [
        word
        for part in parts
        for word in re.sub(rf"^({'|'.join(ACCELERATION)})([xyz])$", r"\1 \2", part.lower()).split()
    ]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(repr(name[:30]) for name in names[:SHOWN]) + more


def _encoding(head: bytes) -> str:
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return "utf8" if error.start > len(head) - 4 else "latin-1"
    return "utf8"


def _lines(head: bytes) -> list[str]:
    """Return the first complete lines (a table of one line ends without a line break)."""
    lines = head.decode(_encoding(head), "replace").removeprefix("\ufeff").splitlines()
    complete = lines if head.endswith(b"\n") or len(lines) < 2 else lines[:-1]
    return complete[:LINES]


def _split(line: str, delimiter: str) -> list[str]:
    return [field.strip() for field in next(csv.reader([line], delimiter=delimiter), [])]


def _first_row(lines: Sequence[str]) -> tuple[int, str] | None:
    """Return the number of the first line that holds three numbers, and its delimiter."""
    for number, line in enumerate(lines):
        for delimiter in DELIMITERS:
            fields = _split(line, delimiter)
            if sum(bool(_NUMBER.fullmatch(field)) for field in fields) >= 3:
                return number, delimiter
    return None


def _names(lines: Sequence[str], delimiter: str, width: int) -> list[str]:
    """Return the last line with as many words as there are columns, none of them a number; else an empty list."""
    split = (_split(line, delimiter) for line in reversed(lines))
    return next((names for names in split if len(names) == width and not any(map(_NUMBER.fullmatch, names))), [])


def _decimal(fields: Sequence[str], delimiter: str) -> str:
    return "," if delimiter != "," and any("," in field for field in fields) else "."


def _zone(text: str) -> str:
    """Normalise Z, +01, +0100 or +01:00 to UTC or +01:00."""
    digits = re.sub(r"\D", "", text).ljust(4, "0")
    return f"{text[0]}{digits[:2]}:{digits[2:4]}" if text[:1] in ("+", "-") else text.replace("Z", "UTC")
