"""Ways in which programs write text tables: each is read, or refused with the true reason."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest

from ingest.settings import TableSettings
from pipeline.errors import UserError
from tests.ingest.devices.tables import iso, movement, read, seconds, text, times, values
from tests.ingest.devices.test_table_exports import VENDOR

SECOND_N = seconds(50, 120)
STAMPS = iso(SECOND_N)
X_CN = movement(SECOND_N)
BASE = text(X_CN, STAMPS, "time,x,y,z")
ROWS = BASE.splitlines(keepends=True)
Row = Callable[[int, list[str]], list[str]]


def rewritten(row: Row, delimiter: str = ",") -> bytes:
    """Return the table with other cells in its rows (0: names)."""
    split = [line.decode().rstrip("\n").split(",") for line in ROWS]
    return "\n".join([*(delimiter.join(row(i, cells)) for i, cells in enumerate(split)), ""]).encode()


def with_rows(place: int, *rows: bytes) -> bytes:
    """Return the table with other lines after so many."""
    return b"".join([*ROWS[:place], *rows, *ROWS[place:]])


def quoted(cells: list[str]) -> list[str]:
    return [f'"{cell}"' for cell in cells]


UNICODE = b"\xff\xfe" + BASE.replace(b",", b"\t").replace(b"\n", b"\r\n").decode().encode("utf-16-le")

READ = {
    "every cell quoted": rewritten(lambda _, cells: quoted(cells)),
    "quoted decimal commas": rewritten(
        lambda _, cells: [cells[0], *quoted([cell.replace(".", ",") for cell in cells[1:]])]
    ),
    "semicolons and decimal commas": rewritten(
        lambda _, cells: [cell.replace(".", ",") for cell in cells], delimiter=";"
    ),
    "the separator stated": b"sep=;\r\n" + BASE.replace(b",", b";").replace(b"\n", b"\r\n"),
    "byte order mark": b"\xef\xbb\xbf" + BASE,
    "carriage returns": BASE.replace(b"\n", b"\r"),
    "tabs": BASE.replace(b",", b"\t"),
    "Unicode text of a spreadsheet": UNICODE,
    "Unicode text, high bytes first": b"\xfe\xff" + UNICODE[2:].decode("utf-16-le").encode("utf-16-be"),
    "Unicode text below a preamble": b"\xff\xfe" + "Ger\u00e4t \u2603\n".encode("utf-16-le") + UNICODE[2:],
    "spaces": BASE.replace(b",", b" "),
    "spaces and quotes": rewritten(lambda i, cells: [f'"{cells[0]}"', *cells[1:]], delimiter=" "),
    "spaces between aligned columns": b"".join(
        b"  " + line.replace(b",", b"   ").replace(b"  -", b" -").replace(b"\n", b" \r\n") for line in ROWS
    ),
    "spaces below names in a comment": b"# time x y z\n"
    + b"".join(ROWS[1:]).replace(b",", b" ").replace(b" 10:", b"T10:"),
    "spaces after commas": BASE.replace(b",", b", "),
    "empty columns": rewritten(lambda _, cells: [cells[0], "", *cells[1:], "", ""]),
    "comments with numbers": b"# range, 8, 16, 100\n% x\n" + BASE,
    "settings of as many cells": b"Range,8,16,100\nRate,50,1,2\n" + BASE,
    "names in a comment": b"# " + BASE,
    "row numbers without a name": rewritten(lambda i, cells: ['""' if not i else f'"{i}"', *cells]),
    "row numbers beside a shorter header": rewritten(lambda i, cells: [f'"{i}"', *cells] if i else quoted(cells)),
}


@pytest.mark.parametrize("case", READ)
def test_ways_of_writing_rows(case: str) -> None:
    made = read(READ[case])
    assert (made.samples, made.damaged_blocks) == (SECOND_N.size, 0)
    assert np.abs(times(made) - SECOND_N).max() < 0.001
    assert np.abs(values(made) - X_CN).max() < 0.0003


@pytest.mark.parametrize("has_names", [True, False])
def test_rows_without_values_are_no_names(has_names: bool) -> None:
    empty = [ROWS[i].split(b",")[0] + b",NA,null,NaN\n" for i in range(1, 40)]
    made = read(b"".join([*ROWS[:has_names], *empty, *ROWS[40:]]))
    assert (made.samples, made.damaged_blocks) == (SECOND_N.size - 39, 0)
    assert np.abs(times(made) - SECOND_N[39:]).max() < 0.001


def test_rows_of_other_kinds_are_counted_once_each() -> None:
    stamp = ROWS[3000].split(b",")[0]
    made = read(with_rows(3000, b"# paused\n", ROWS[0], stamp + b",None,-,--\n"))
    assert made.damaged_blocks == 3
    assert np.abs(times(made) - SECOND_N).max() < 0.021


REFUSED = {
    "UTF-16 without a mark": (BASE.decode().encode("utf-16-le"), "found UTF-16 without a byte order mark"),
    "thousands": (
        rewritten(lambda i, cells: [cells[0], *(f'"{3000 * float(c):,.1f}"' if i else c for c in cells[1:])]),
        "marks of thousands",
    ),
    "thousands of integers": (
        rewritten(lambda i, cells: [cells[0], *(f'"{3000 * float(c):,.0f}"' if i else c for c in cells[1:])]),
        "marks of thousands",
    ),
    "thousands after rows without": (
        with_rows(3000, b'2024-03-04 10:00:59.970,"1,012.5",0.1,0.2\n'),
        "marks of thousands",
    ),
    "thousands with a point, after rows without": (
        "\n".join(
            ["time;x;y;z"]
            + [
                f"{stamp};" + ";".join(f"{(1 if i < 3000 else 3000) * value:,.0f}".replace(",", ".") for value in row)
                for i, (stamp, row) in enumerate(zip(STAMPS, X_CN.T.tolist(), strict=True))
            ]
        ).encode(),
        "marks of thousands",
    ),
    "a name too few": (rewritten(lambda i, cells: [*cells, "7"] if i else cells), "has 4 names for 5 columns"),
    "a table with other columns after it": (with_rows(3000, b"time,z,y,x\n"), "followed by another one"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_is_refused_with_its_reason(case: str) -> None:
    data, reason = REFUSED[case]
    with pytest.raises(UserError, match=re.escape(reason)):
        read(data)


def test_rows_without_stamps_of_two_tables_in_one_file_are_refused() -> None:
    half = text(X_CN[:, :3000], header="x,y,z")
    with pytest.raises(UserError, match=r"followed by another one.*Write a file for each"):
        read(half + half, TableSettings(rate_hz=50))
    export = VENDOR.format(form="M/d/yyyy", date="3/4/2024").encode() + text(X_CN[:, :3000])
    with pytest.raises(UserError, match="followed by another one"):
        read(export + export.replace(b"10:00:00", b"15:00:00"))


def test_a_clock_of_another_century_is_named_as_the_reason() -> None:
    with pytest.raises(UserError, match="the clock was never set"):
        read(BASE.replace(b"2024-", b"2124-"))


def test_stamps_of_full_minutes_need_seconds() -> None:
    with pytest.raises(UserError, match=r"do not advance.*with seconds and fractions"):
        read(text(X_CN, [stamp[:16] for stamp in STAMPS], "time,x,y,z"))
