"""The layout of a table: delimiter, columns of acceleration and time, from the first lines or from the user.

Nothing is guessed. Where several columns might be an axis, or none, the error asks the user: a gyroscope's x is a
column named x too.
"""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ingest.devices.table.actigraph_export import ExportHeader, is_export, read_export_header
from ingest.settings import AXIS_NAMES, TableSettings
from pipeline.errors import UserError

DELIMITERS = ",;\t|"
LINES = 150
"""The first row of numbers must be among this many lines."""

ACCELERATION = {"a", "acc", "accel", "accelerometer", "acceleration"}
BESIDE = {
    *ACCELERATION,
    "axis",
    "raw",
    "value",
    "data",
    "wrist",
    "left",
    "right",
    "calibrated",
    "g",
    "mg",
    "m",
    "s",
    "cal",
    "ln",
    "wr",
}
"""Words that may name a column of acceleration beside its axis; others mean something else (linear, gyro, mag)."""
TIME = {"time", "timestamp", "datetime", "stamp", "ts", "t", "epoch"}
BESIDE_TIME = {*TIME, "date", "unix", "utc", "sample", "s", "ms", "us", "ns", "sec", "seconds", "local", "cal"}
SHOWN = 12
GENEACTIV, GENEACTIV_COLUMNS = "Device Type,GENEActiv", 4
"""GENEActiv's own export has 100 lines of header, and rows of time, x, y, z, light, button and temperature."""
UNIT_CELLS = {
    "",
    "ms",
    "s",
    "us",
    "ns",
    "g",
    "mg",
    "m/(s^2)",
    "m/s2",
    "m/s^2",
    "m/s²",
    "deg/s",
    "unitless",
    "u",
    "local",
}
"""Cells of a row of units, as Shimmer writes below the names."""

_NUMBER = re.compile(r"[-+]?(\d+[.,]?\d*|[.,]\d+)([eE][-+]?\d+)?")
_ISO = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d([.,]\d{1,9})?)?\s*(?P<zone>Z|[-+]\d\d(:?\d\d)?)?")


@dataclass(frozen=True)
class Columns:
    """Positions of the columns, from 0; time is None where there is no such column."""

    time: int | None
    axes: tuple[int, int, int]
    where: tuple[int, str] | None = None
    """A column, and its value in the rows to read."""

    @property
    def places(self) -> list[int]:
        """All positions: time, if it exists, and the axes."""
        return [*([] if self.time is None else [self.time]), *self.axes]


@dataclass(frozen=True)
class Layout:
    """How a text table is written.

    skip: lines before the rows. width: number of columns. is_text_time: stamps are ISO 8601, else numbers; `to_iso` are
    patterns and replacements that turn other dates into it; date: the column of the date, where stamps lack it.
    zone: the first stamp's offset from UTC, as in +01:00, or UTC; empty where stamps do not state it.
    """

    delimiter: str
    decimal: str
    encoding: str
    skip: int
    width: int
    columns: Columns
    is_text_time: bool = False
    zone: str = ""
    to_iso: tuple[tuple[str, str], ...] = ()
    date: int | None = None
    export: ExportHeader | None = None


def is_table(head: bytes) -> bool:
    """Return whether a file with this head is text with rows of at least three numbers."""
    return is_export(head) or (b"\0" not in head and _first_row(_lines(head)) is not None)


def read_layout(head: bytes, settings: TableSettings) -> Layout:
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
    rows = [cells for line in lines[skip:] if len(cells := _split(line, delimiter)) >= 3]
    row = rows[0]
    names = _names(lines[:skip], delimiter, len(row))
    if export and not names and not settings.named and (len(row) == 3 or not _NUMBER.fullmatch(row[0])):
        columns = Columns(0 if len(row) > 3 else None, (len(row) - 3, len(row) - 2, len(row) - 1))
    elif not names and not settings.named and lines[0].startswith(GENEACTIV) and len(row) >= GENEACTIV_COLUMNS:
        columns = Columns(0, (1, 2, 3))
    else:
        columns = find_columns(names, len(row), settings)
    decimal = _decimal([cells[axis] for cells in rows for axis in columns.axes if axis < len(cells)], delimiter)
    _refuse_two_sensors(rows, names, columns)
    layout = Layout(delimiter, decimal, encoding, skip, len(row), columns, export=export)
    if columns.time is None or _NUMBER.fullmatch(row[columns.time]):
        return layout
    stamps = [cells[columns.time] for cells in rows if columns.time < len(cells)]
    date = None
    if _TIME_OF_DAY.fullmatch(stamps[0]):
        date = next((place for place, name in enumerate(names) if _words(name) == ["date"]), None)
    if date is not None:
        stamps = [f"{cells[date]} {cells[columns.time]}" for cells in rows if max(date, columns.time) < len(cells)]
    to_iso = _to_iso(stamps, export.is_day_first if export else settings.dayfirst)
    stamp = _ISO.fullmatch(_in_iso(stamps[0], to_iso))
    if not stamp:
        raise UserError(
            "expected numbers or times as in 2024-05-06T10:00:00.000 (ISO 8601) in the time column, found neither. "
            "Convert the column, or name another one with --columns time=NAME,x=NAME,y=NAME,z=NAME."
        )
    return replace(layout, is_text_time=True, zone=_zone(stamp["zone"] or ""), to_iso=to_iso, date=date)


_TIME_OF_DAY = re.compile(r"\d\d?:\d\d(:\d\d([.,:]\d{1,9})?)?")
_PAD = (r"(^|[-/. T])(\d)([-/.:])", r"\g<1>0\2\3")
_DATE = re.compile(r"(\d\d?)[-/.](\d\d?)[-/.](\d{4})[ T].*")
_MILLISECONDS = (r"(:\d\d:\d\d):(\d{1,9})$", r"\1.\2")
_COMPACT = (r"^(\d{4})(\d\d)(\d\d)[T ](\d\d):?(\d\d):?(\d\d)", r"\1-\2-\3T\4:\5:\6")


def _to_iso(stamps: Sequence[str], is_day_first: bool | None) -> tuple[tuple[str, str], ...]:
    """Return the replacements that turn stamps into ISO 8601; raises UserError where a date has two readings."""
    steps: list[tuple[str, str]] = []
    if any(re.search(_MILLISECONDS[0], stamp) for stamp in stamps):
        steps.append(_MILLISECONDS)
    if re.match(_COMPACT[0], stamps[0]):
        steps.append(_COMPACT)
    dates = [found for stamp in stamps if (found := _DATE.fullmatch(stamp))]
    if dates:
        if any(int(date[1]) > 12 for date in dates):
            is_day_first = True
        elif any(int(date[2]) > 12 for date in dates):
            is_day_first = False
        if is_day_first is None:
            raise UserError(
                f"is {stamps[0][:10]} a date with the day or the month first? State --dayfirst or --no-dayfirst."
            )
        order = r"\3-\2-\1T" if is_day_first else r"\3-\1-\2T"
        steps += [_PAD, _PAD, (r"^(\d\d)[-/.](\d\d)[-/.](\d{4})[ T]", order)]
    return tuple(steps)


def _in_iso(stamp: str, to_iso: Sequence[tuple[str, str]]) -> str:
    for pattern, replacement in to_iso:
        stamp = re.sub(pattern, replacement, stamp)
    return stamp


FEW_NAMES, OFTEN = 8, 0.25
"""A column of at most so many names that changes in over this share of the rows names the sensor of each row."""


def _refuse_two_sensors(rows: Sequence[Sequence[str]], names: Sequence[str], columns: Columns) -> None:
    """Raise UserError where a column of few names changes from row to row: rows of several sensors take turns."""
    if columns.where:
        return
    for place in range(len(rows[0])):
        cells = [row[place] for row in rows if place < len(row)]
        kinds = {*cells}
        is_named = place not in columns.places and not any(_NUMBER.fullmatch(cell) or not cell for cell in kinds)
        changes = sum(a != b for a, b in itertools.pairwise(cells))
        if is_named and 2 <= len(kinds) <= FEW_NAMES and changes > OFTEN * len(cells):
            name = names[place] if names else f"{place + 1}"
            raise UserError(
                f"are these rows of several sensors? The column {name[:30]!r} changes from row to row between "
                f"{len(kinds)} values. Read one with --where-column {name[:30]}=VALUE, or write a file for each."
            )


def find_decimal(chunks: Iterable[bytes], delimiter: str) -> str | None:
    """Return the decimal mark of the first field that has one; None in a table of integers."""
    fence = re.escape(delimiter.encode())
    field = re.compile(rb"[\n" + fence + rb"] *-?\d*([.,])\d+ *(?=[\r\n" + fence + rb"])")
    found = next((mark for chunk in chunks if (mark := field.search(chunk))), None)
    return found[1].decode() if found else None


def find_columns(names: Sequence[str], width: int, settings: TableSettings) -> Columns:
    """Find the columns by the names of a header (or by their number, without one), or as the user stated them.

    Raises UserError where that is ambiguous.
    """
    given = settings.named
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
    if settings.where_column is None:
        return Columns(time, (x, y, z))
    column, _, value = settings.where_column.partition("=")
    return Columns(time, (x, y, z), (_place(column, names, width, "--where-column"), value))


_ASK = "State the columns: --columns time=NAME,x=NAME,y=NAME,z=NAME (names, or numbers from 1)."


def _place(given: str, names: Sequence[str], width: int, flag: str = "--columns") -> int:
    if given in names:
        return names.index(given)
    if given.isdecimal() and 1 <= int(given) <= width:
        return int(given) - 1
    raise UserError(f"{flag} names {given!r}; the columns are {_listed(names) or f'numbered from 1 to {width}'}.")


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
    found = found or [i for i, of in enumerate(words) if of[:1] == ["header"] and {*of[1:]} & TIME]
    if len(found) > 1:
        raise UserError(f"{len(found)} columns may be the time; the columns are {_listed(names)}. {_ASK}")
    return found[0] if found else None


def _words(name: str) -> list[str]:
    """Split a column's name into lower-case words, without units in brackets: AccX, acc_x, `x-axis (g)`."""
    bare = re.sub(r"[(\[].*?[)\]]", " ", re.sub(r"^Shimmer_[0-9A-Za-z]+_", "", name))
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
    split = [_split(line, delimiter) for line in reversed(lines)]
    split = [[*cells, ""] if len(cells) == width - 1 else cells for cells in split]
    if len(split) > 1 and len(split[0]) == width and {*split[0]} <= UNIT_CELLS and len(split[1]) == width:
        split = split[1:]
    return next((names for names in split if len(names) == width and not any(map(_NUMBER.fullmatch, names))), [])


def _decimal(fields: Sequence[str], delimiter: str) -> str:
    return "," if delimiter != "," and any("," in field for field in fields) else "."


def _zone(text: str) -> str:
    """Normalise Z, +01, +0100 or +01:00 to UTC or +01:00."""
    digits = re.sub(r"\D", "", text).ljust(4, "0")
    return f"{text[0]}{digits[:2]}:{digits[2:4]}" if text[:1] in ("+", "-") else text.replace("Z", "UTC")
