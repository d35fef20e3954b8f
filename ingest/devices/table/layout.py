"""The layout of a text table: delimiter, decimal mark, columns and form of the stamps, from its first lines."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ingest.devices.table.actigraph_export import ExportHeader, is_export, read_export_header
from ingest.devices.table.columns import ASK, Columns, find_columns, words_of
from ingest.devices.table.plain_text import with_single_spaces
from ingest.devices.table.sensors import refuse_alternating_names
from ingest.devices.table.stamp_forms import TIME_OF_DAY, find_form
from ingest.devices.table.text_times import matches
from ingest.settings import TableSettings
from pipeline.errors import UserError

DELIMITERS = ",;\t| "
LINES = 150
"""The first row of numbers must be among this many lines."""
FOLLOWING = 4
"""Lines after the first row, half of which are rows too: a line of settings may hold numbers as well."""
MARK_BYTES = 1 << 16
ANY_BYTES = "latin-1"
"""An encoding in which every byte is valid."""
COMMENTS = ("#", "%", "//")

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
NULL_CELLS = {"", "na", "n/a", "#n/a", "nan", "null", "none", "-"}

COMPACT_FORMS = {r"(19|20)\d{12}(\.\d+)?": "%Y%m%d%H%M%S.%f", r"(19|20)\d{15}": "%Y%m%d%H%M%S%f"}
"""Dates that are written as one number."""
ROUNDED = re.compile(r"\d([.,]\d{1,5})?[eE]\+?\d\d")
"""A large number as spreadsheets show it."""

NUMBER = re.compile(r"[-+]?(\d+[.,]?\d*|[.,]\d+)([eE][-+]?\d+)?")
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_GROUPED = re.compile(r"[-+]?[1-9]\d{0,2}[.,]\d{3}")
_GROUPS = r"[-+]?\d{1,3}(([., ']\d{3})+[.,]\d+|([., ']\d{3}){2,})"
_TWO_MARKS = re.compile(_GROUPS)
THOUSANDS = rf"^\s*({_GROUPS}|[-+]?[1-9]\d{{0,2}}[, ']\d{{3}})\s*$"
HAS_THOUSANDS = (
    "the values have marks of thousands, as in 1,024 or 1.024,5. Export the table again without them: a mark may also "
    "be that of decimals."
)
_DATE = re.compile(r"\d+([-/.])\d+\1\d+")
_ZONE = re.compile(r"(Z|UTC|GMT|[-+]\d\d(:?\d\d)?)\s*$")


@dataclass(frozen=True)
class Layout:
    """How a text table is written.

    skip: lines before the rows. width: number of columns. names: of the columns; empty where the table has none. form:
    of stamps that are text; empty where they are numbers. date: the column of the date, where stamps lack it. zone: the
    first stamp's offset from UTC, as in +01:00, or UTC; empty where stamps do not state it.
    """

    delimiter: str
    decimal: str
    encoding: str
    skip: int
    width: int
    columns: Columns
    names: tuple[str, ...] = ()
    form: str = ""
    zone: str = ""
    date: int | None = None
    export: ExportHeader | None = None


def is_table(head: bytes) -> bool:
    """Return whether a file with this head is text with rows of at least three numbers."""
    return is_export(head) or (b"\0" not in head and _first_row(_lines(head)) is not None)


def read_layout(head: bytes, settings: TableSettings) -> Layout:
    """Find the layout of a text table in its first bytes; raises UserError with a question where it is unclear."""
    if 3 * head.count(b"\0") > len(head):
        raise UserError(
            "expected text in UTF-8, found UTF-16 without a byte order mark (or a binary file). Save it as UTF-8."
        )
    lines = _lines(head)
    export = read_export_header(lines) if is_export(head) else None
    found = _first_row(lines)
    if found is None:
        raise UserError(
            "expected rows of numbers (separated by commas, semicolons, tabs, bars or spaces), found none in the "
            "first lines. If the table is not a recording, leave it out (files whose names begin with _ are ignored)."
        )
    skip, delimiter, width = found
    rows = [cells for line in lines[skip:] if len(cells := _split(line, delimiter)) == width]
    names = _names(lines[:skip], delimiter, rows)
    columns = _columns(lines[0], names, rows[0], export, settings)
    refuse_alternating_names({place: [row[place] for row in rows] for place in range(width)}, names, columns)
    values = [cells[axis] for cells in rows for axis in columns.axes]
    layout = Layout(delimiter, _decimal(values), _encoding(head), skip, width, columns, tuple(names), export=export)
    if columns.time is None:
        if settings.time_format is not None:
            raise UserError(f"--time-format is given, but the table has no column that is clearly the time. {ASK}")
        return layout
    return _with_stamps(layout, columns.time, rows, settings)


def _columns(
    first: str, names: Sequence[str], row: Sequence[str], export: ExportHeader | None, settings: TableSettings
) -> Columns:
    if export and not names and not settings.named and (len(row) == 3 or not NUMBER.fullmatch(row[0])):
        return Columns(0 if len(row) > 3 else None, (len(row) - 3, len(row) - 2, len(row) - 1))
    if not names and not settings.named and first.startswith(GENEACTIV) and len(row) >= GENEACTIV_COLUMNS:
        return Columns(0, (1, 2, 3))
    return find_columns(names, len(row), settings)


def _with_stamps(layout: Layout, time: int, rows: Sequence[Sequence[str]], settings: TableSettings) -> Layout:
    """Add the form of the stamps, where they are text, and their zone."""
    stamps = [cells[time] for cells in rows if cells[time]]
    if not stamps:
        return layout
    are_numbers = 2 * sum(bool(NUMBER.fullmatch(stamp)) for stamp in stamps) >= len(stamps)
    if settings.time_format is None and are_numbers:
        return replace(layout, form=form_of_numbers(stamps))
    date = None
    if TIME_OF_DAY.fullmatch(stamps[0]):
        date = next((place for place, name in enumerate(layout.names) if words_of(name) == ["date"]), None)
    if date is not None:
        stamps = [f"{cells[date]} {cells[time]}" for cells in rows if cells[time]]
    form = find_form(stamps, settings, layout.export.order if layout.export else "")
    return replace(layout, form=form, zone=zone_of(stamps, form), date=date)


def form_of_numbers(stamps: Sequence[str]) -> str:
    """Return the form of dates written as one number; empty where they are no dates."""
    if (
        len(stamps) > FOLLOWING
        and all(ROUNDED.fullmatch(stamp) for stamp in stamps)
        and 10 * len({*stamps}) < len(stamps)
    ):
        raise UserError(
            f"the stamps are rounded, as spreadsheets show large numbers ({stamps[0]}): export them with all digits."
        )
    fitting = (form for digits, form in COMPACT_FORMS.items() if all(re.fullmatch(digits, stamp) for stamp in stamps))
    form = next(fitting, "")
    return form if form and matches([*stamps], form) == len(stamps) else ""


def zone_of(stamps: Sequence[str], form: str) -> str:
    """Return the zone of the first stamp that has the form: UTC or +01:00; empty where the form has none."""
    first = next((stamp for stamp in stamps if matches([stamp], form)), "")
    found = _ZONE.search(first) if form.endswith("%z") else None
    if not found:
        return "UTC" if "%z" in form else ""
    digits = re.sub(r"\D", "", found[1]).ljust(4, "0")
    return f"{found[1][0]}{digits[:2]}:{digits[2:4]}" if found[1][0] in "+-" else "UTC"


def find_decimal(chunks: Iterable[bytes], layout: Layout) -> str:
    """Return the decimal mark of the first field that has one; raises UserError where it is one of thousands."""
    fence = re.escape(layout.delimiter.encode())
    field = re.compile(rb"[\n" + fence + rb"] *-?\d*([.,])\d+ *(?=[\r\n" + fence + rb"])")
    for chunk in chunks:
        if mark := field.search(chunk):
            begin = chunk.rfind(b"\n", 0, mark.start() + 1) + 1
            lines = chunk[begin : begin + MARK_BYTES].decode(ANY_BYTES).splitlines()[:-1]
            rows = [cells for line in lines if len(cells := _split(line, layout.delimiter)) == layout.width]
            _decimal([cells[axis] for cells in rows for axis in layout.columns.axes])
            return mark[1].decode()
    return layout.decimal


def _decimal(values: Sequence[str]) -> str:
    """Return the decimal mark of the first values; raises UserError where they have marks of thousands."""
    marked = [value for value in values if "," in value or "." in value]
    is_large = any(_INTEGER.fullmatch(value) and abs(int(value)) > 1 for value in values)
    is_grouped = bool(marked) and is_large and all(_GROUPED.fullmatch(value) for value in marked)
    if is_grouped or any(_TWO_MARKS.fullmatch(value) for value in values):
        raise UserError(HAS_THOUSANDS)
    return "," if any("," in value for value in values) else "."


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
    line = with_single_spaces(line) if delimiter == " " else line
    return [field.strip() for field in next(csv.reader([line], delimiter=delimiter), [])]


def _numbers(cells: Sequence[str]) -> int:
    return sum(bool(NUMBER.fullmatch(cell) or _TWO_MARKS.fullmatch(cell)) for cell in cells)


def _first_row(lines: Sequence[str]) -> tuple[int, str, int] | None:
    """Return the number of the first line that holds three numbers, as those after it, its delimiter and its width."""
    found = None
    for number, line in enumerate(lines):
        if line.lstrip().startswith(COMMENTS):
            continue
        for delimiter in DELIMITERS:
            cells = _split(line, delimiter)
            if _numbers(cells) < 3:
                continue
            after = [_split(other, delimiter) for other in lines[number + 1 : number + 1 + FOLLOWING]]
            found = found or (number, delimiter, len(cells))
            if any(_are_names(other, len(cells)) for other in after):
                continue
            if 2 * sum(len(other) == len(cells) and _numbers(other) >= 3 for other in after) >= len(after):
                return number, delimiter, len(cells)
    return found


def _names(lines: Sequence[str], delimiter: str, rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the last line of names of the columns; an empty list where there is none.

    Programs leave out the name of an empty last column, of a first one that counts rows, or of a date that a space
    separates from its time. Raises UserError where a name is missing otherwise.
    """
    width = len(rows[0])
    lines = [line.lstrip("#% ") for line in lines] if delimiter == " " else lines
    split = [cells for line in reversed(lines) if _are_names(cells := _split(line, delimiter), width)]
    if len(split) > 1 and {*split[0]} <= UNIT_CELLS:
        split = split[1:]
    names = next((cells for cells in split if len(cells) == width), split[0] if split else [])
    if names:
        names[0] = names[0].lstrip("#% ")
    if not names or len(names) == width:
        return names
    if not any(cells[-1] for cells in rows):
        return [*names, ""]
    if all(_INTEGER.fullmatch(cells[0]) for cells in rows) and {b - a for a, b in _pairs_of_first(rows)} <= {1}:
        return ["", *names]
    if delimiter == " " and (place := _unnamed_date(rows[0])) is not None:
        return [*names[:place], "date", *names[place:]]
    raise UserError(f"the line of names has {len(names)} names for {width} columns. Complete it. {ASK}")


def _unnamed_date(row: Sequence[str]) -> int | None:
    """Return the column of the date that is followed by a time of day."""
    pairs = enumerate(itertools.pairwise(row))
    return next((p for p, (date, time) in pairs if _DATE.fullmatch(date) and TIME_OF_DAY.fullmatch(time)), None)


def _pairs_of_first(rows: Sequence[Sequence[str]]) -> Iterable[tuple[int, int]]:
    numbers = [int(cells[0]) for cells in rows]
    return itertools.pairwise(numbers)


def _are_names(cells: Sequence[str], width: int) -> bool:
    """Return whether cells may be names: no number, and at least three with a letter that do not say `no value`."""
    named = [cell for cell in cells if cell.lower() not in NULL_CELLS and any(map(str.isalpha, cell))]
    return len(cells) in (width, width - 1) and len(named) >= 3 and not any(map(NUMBER.fullmatch, cells))
