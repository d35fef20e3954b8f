"""A table of published values with a row for each participant: UK Biobank's accelerometer fields.

Fields (biobank.ndph.ox.ac.uk/ukb/field.cgi?id=...): 90012 overall acceleration average (mg), 90051 wear duration
overall (days), 90016 good calibration, 90015 good wear time. Errors quote no cell of the table, not even of its
first line, which describes a participant if the table has no header.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.errors import UserError

Float = NDArray[np.float64]

FIELDS = {"enmo_mg": 90012, "wear_days": 90051, "good_calibration": 90016, "good_wear": 90015}
FLAGS = ("good_calibration", "good_wear")
YES, NO = ("1", "1.0", "yes", "true"), ("0", "0.0", "no", "false")
NULLS = ["", "NA", "NaN", "nan", "null", "NULL", "."]
BLOCK_BYTES = 1 << 25


@dataclass(frozen=True)
class Published:
    """The eids of P participants who have any value, and the values by name of FIELDS, each float64 (P,).

    Flags are 0 or 1; absent values are NaN.
    """

    eids: list[str]
    values: dict[str, Float]


def read_published(path: Path) -> Published:
    """Read a table separated by commas, tabs or semicolons.

    Raises UserError when the table cannot be read, has no eid column or none of the fields, lists a participant
    twice, or has text where numbers are expected.
    """
    delimiter, head = _head(path)
    columns = {name: column for name, field in FIELDS.items() if (column := _column(head, field)) is not None}
    eid = next((name for name in head if re.fullmatch(r"(participant\.)?([nf][._])?eid", name, re.IGNORECASE)), None)
    if eid is None or not columns:
        raise UserError(
            f"{path}: expected a column eid and at least one of the fields {', '.join(map(str, FIELDS.values()))}, "
            f"written like 90012-0.0, p90012 or 90012_0_0; among its {len(head):,} columns there is "
            f"{'no eid' if eid is None else 'none of the fields'}. Export them with a header line."
        )
    table = _read(path, delimiter, [eid, *columns.values()])
    values = {name: _numbers(path, table[column], column, name in FLAGS) for name, column in columns.items()}
    has_any = np.any([np.isfinite(value) for value in values.values()], axis=0) & np.asarray(pc.is_valid(table[eid]))
    eids = [name.strip() for name in table[eid].filter(pa.array(has_any)).to_pylist()]
    twice = len(eids) - len(set(eids))
    if twice:
        raise UserError(f"{path}: expected one row for each participant, found {twice:,} repeated rows.")
    return Published(eids, {name: value[has_any] for name, value in values.items()})


def _column(head: list[str], field: int) -> str | None:
    """Find the column of a field's first instance, as UK Biobank's tools, R and Stata spell it."""
    spelling = rf"(participant\.)?([pxfn][._]?)?{field}([-._]i?0([._]a?0)?)?"
    return next((name for name in head if re.fullmatch(spelling, name, re.IGNORECASE)), None)


def _head(path: Path) -> tuple[str, list[str]]:
    """Return the delimiter and the column names in the first line."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            line = file.readline()
    except OSError as error:
        raise UserError(f"cannot read the table {path}: {error.strerror}.") from None
    if not line.strip() or "\0" in line:
        raise UserError(f"{path}: expected a table as text (CSV), found {'other data' if line.strip() else 'nothing'}.")
    delimiter = max(",\t;", key=line.count)
    return delimiter, next(csv.reader([line], delimiter=delimiter))


def _read(path: Path, delimiter: str, columns: list[str]) -> pa.Table:
    """Read some columns as text."""
    import pyarrow.csv

    try:
        return pyarrow.csv.read_csv(
            path,
            pyarrow.csv.ReadOptions(block_size=BLOCK_BYTES),
            pyarrow.csv.ParseOptions(delimiter=delimiter),
            pyarrow.csv.ConvertOptions(
                include_columns=columns,
                column_types=dict.fromkeys(columns, pa.string()),
                null_values=NULLS,
                strings_can_be_null=True,
            ),
        )
    except (pa.ArrowInvalid, KeyError):
        raise UserError(
            f"{path}: cannot be read as a table. Expected UTF-8, and as many cells in each line as there are names in "
            "the first. Export it again."
        ) from None


def _numbers(path: Path, column: pa.ChunkedArray, name: str, flag: bool) -> Float:
    """Convert a column of numbers, or of yes and no for a flag, to float64; empty cells become NaN."""
    text = pc.utf8_lower(pc.utf8_trim_whitespace(column))
    if flag:
        yes, no = (pc.is_in(text, value_set=pa.array(words)) for words in (YES, NO))
        known = pc.or_(pc.or_(yes, no), pc.is_null(text))
        numbers = pc.if_else(pc.is_null(text), float("nan"), pc.cast(yes, pa.float64()))
        if not pc.all(known).as_py():
            raise UserError(f"{path}: expected 1 and 0, or yes and no, in the column {name}; found other values.")
    else:
        try:
            numbers = pc.fill_null(pc.cast(text, pa.float64()), float("nan"))
        except pa.ArrowInvalid:
            raise UserError(f"{path}: expected numbers in the column {name}, found text.") from None
    found: Float = np.asarray(numbers, dtype=np.float64)
    return found
