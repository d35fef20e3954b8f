"""The columns of a table: which hold the axes and the time, by their names or as the user states.

Nothing is guessed. Where several columns might be an axis, or none, the error asks the user: a gyroscope's x is a
column named x too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ingest.settings import AXIS_NAMES, TableSettings
from pipeline.errors import UserError

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
SENSOR = {
    *("sensor", "device", "watch", "location", "position", "placement", "side", "limb", "body", "bodypart"),
    *("subject", "participant", "person", "patient", "user", "id", "pid"),
}
"""Words that name a column of sensors or people."""
BESIDE_SENSOR = {*SENSOR, "name", "number", "nr", "no", "code", "type", "part"}
SHOWN = 12


@dataclass(frozen=True)
class Columns:
    """Positions of the columns, from 0; time is None where there is no such column."""

    time: int | None
    axes: tuple[int, int, int]
    where: tuple[int, str] | None = None
    """A column, and its value in the rows to read."""
    kinds: tuple[int, ...] = ()
    """Columns that name a sensor or a person, by their own names: all rows to read have one value there."""

    @property
    def places(self) -> list[int]:
        """All positions: time, if it exists, and the axes."""
        return [*([] if self.time is None else [self.time]), *self.axes]


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
            f"expected 3 columns (x, y, z) or 4 (time first) in a table without names, found {width}. {ASK}"
        )
    x, y, z = axes
    if len({x, y, z, time}) < 4:
        raise UserError(f"--columns names one column twice. {ASK}")
    where = None
    if settings.where_column is not None:
        column, _, value = settings.where_column.partition("=")
        where = (_place(column, names, width, "--where-column"), value)
    used = {x, y, z, time, where[0] if where else None}
    words = {place: {*words_of(name)} for place, name in enumerate(names) if place not in used}
    kinds = tuple(place for place, of in words.items() if of & SENSOR and of <= BESIDE_SENSOR)
    return Columns(time, (x, y, z), where, kinds)


ASK = "State the columns: --columns time=NAME,x=NAME,y=NAME,z=NAME (names, or numbers from 1)."


def _place(given: str, names: Sequence[str], width: int, flag: str = "--columns") -> int:
    if given in names:
        return names.index(given)
    if given.isdecimal() and 1 <= int(given) <= width:
        return int(given) - 1
    raise UserError(f"{flag} names {given!r}; the columns are {listed(names) or f'numbered from 1 to {width}'}.")


def _find_axis(axis: str, names: Sequence[str]) -> int:
    words = [words_of(name) for name in names]
    found = [i for i, of in enumerate(words) if axis in of and {*of} - {axis} <= BESIDE]
    named = [i for i in found if {*words[i]} & ACCELERATION]
    chosen = named or found
    if len(chosen) != 1:
        seen = f"{len(chosen)} columns may be" if chosen else "no column is clearly"
        raise UserError(f"{seen} the acceleration along {axis}; the columns are {listed(names)}. {ASK}")
    return chosen[0]


def _find_time(names: Sequence[str], axes: Sequence[int]) -> int | None:
    words = [words_of(name) for name in names]
    found = [i for i, of in enumerate(words) if i not in axes and {*of} & TIME and {*of} <= BESIDE_TIME]
    found = found or [i for i, of in enumerate(words) if i not in axes and of == ["date"]]
    found = found or [i for i, of in enumerate(words) if of[:1] == ["header"] and {*of[1:]} & TIME]
    if len(found) > 1:
        raise UserError(f"{len(found)} columns may be the time; the columns are {listed(names)}. {ASK}")
    return found[0] if found else None


def words_of(name: str) -> list[str]:
    """Split a column's name into lower-case words, without units in brackets: AccX, acc_x, `x-axis (g)`."""
    bare = re.sub(r"[(\[].*?[)\]]", " ", re.sub(r"^Shimmer_[0-9A-Za-z]+_", "", name))
    parts = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", bare)
    return [
        word
        for part in parts
        for word in re.sub(rf"^({'|'.join(ACCELERATION)})([xyz])$", r"\1 \2", part.lower()).split()
    ]


def listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(repr(name[:30]) for name in names[:SHOWN]) + more
