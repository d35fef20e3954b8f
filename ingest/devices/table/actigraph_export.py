"""The header of ActiGraph's own csv exports: ten lines with start and rate, which the rows do not state.

The rows follow without gaps from the start: idle sleep is filled in, in full seconds, with the last value before it or
with zeros.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.errors import UserError

BEGINNING = b"------------ Data "
MAKER = b"ActiGraph"
RATES_HZ = (1.0, 1000.0)
"""Rates of worn accelerometers."""

CENTURY = 2000
BUDDHIST, FIRST_BUDDHIST = 543, 2400
"""Thai computers write years from 543 BC; no recorder stamps the year 2400."""

_FIRST = re.compile(
    r"-+ Data .*?ActiGraph (?P<device>\S+).*?Firmware v?(?P<firmware>\S+).*?date format (?P<date>\S+)"
    r".*?at (?P<rate>\d+(\.\d+)?) ?Hz"
)


@dataclass(frozen=True)
class ExportHeader:
    """The contents of the header."""

    device: str
    firmware: str
    serial: str
    start: np.datetime64
    rate_hz: float
    order: str
    """Of day, month and year in its dates, as in dmy."""


def is_export(head: bytes) -> bool:
    """Return whether a file with this head is an ActiGraph export."""
    first = head[:500].removeprefix(b"\xef\xbb\xbf").partition(b"\n")[0]
    return first.startswith(BEGINNING) and MAKER in first


def read_export_header(lines: Sequence[str]) -> ExportHeader:
    """Parse the header in the first lines; raises UserError when rate or start is missing."""
    first = _FIRST.search(lines[0])
    values = {name: _after(lines, name) for name in ("Serial Number:", "Start Time", "Start Date")}
    if not first or not values["Start Time"] or not values["Start Date"]:
        raise UserError(
            "expected an ActiGraph export that begins with its rate, Start Time and Start Date; some are missing. "
            "Export raw data again, with the header."
        )
    if not RATES_HZ[0] <= float(first["rate"]) <= RATES_HZ[1]:
        raise UserError(
            f"expected 1 to 1000 rows per second in an ActiGraph export, found {first['rate']}. Export raw data again."
        )
    try:
        start = _start(values["Start Date"], values["Start Time"], first["date"])
    except ValueError:
        raise UserError(
            f"expected the start of an ActiGraph export in the form {first['date']} and hh:mm:ss, as its first line "
            "states; found another. Export it again."
        ) from None
    return ExportHeader(
        f"{MAKER.decode()} {first['device']}",
        first["firmware"],
        values["Serial Number:"],
        start,
        float(first["rate"]),
        _order(first["date"]),
    )


def _after(lines: Sequence[str], name: str) -> str:
    return next((line[len(name) :].strip(" ,;\t") for line in lines[:10] if line.startswith(name)), "")


def _order(form: str) -> str:
    return "".join(part[0].lower() for part in re.findall(r"[A-Za-z]+", form))


def _start(date: str, time: str, form: str) -> np.datetime64:
    """Parse date and time of day as an instant of the device's clock; raises ValueError."""
    parts = dict(zip(_order(form), re.findall(r"\d+", date), strict=True))
    if not re.fullmatch(r"\d?\d:\d\d:\d\d", time):
        raise ValueError
    year = int(parts["y"])
    year += CENTURY if year < 100 else -BUDDHIST if year > FIRST_BUDDHIST else 0
    day = f"{year:04d}-{int(parts['m']):02d}-{int(parts['d']):02d}" if {*parts} == set("ymd") else ""
    return np.datetime64(f"{day}T{time.zfill(8)}", "us")
