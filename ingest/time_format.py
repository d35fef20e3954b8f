"""Formats of times that are written as text: strptime's directives, checked and split into steps for a parser.

Directives: Y y m b B d j H I M S f p z, a and A (a weekday, which is not used), and the combinations F T D R.
"""

from __future__ import annotations

from enum import IntEnum
from functools import cache


class Step(IntEnum):
    """What comes next in a text."""

    LITERAL = 0
    SPACE = 1
    YEAR = 2
    SHORT_YEAR = 3
    MONTH = 4
    MONTH_NAME = 5
    DAY = 6
    DAY_OF_YEAR = 7
    HOUR = 8
    HOUR_OF_12 = 9
    MINUTE = 10
    SECOND = 11
    FRACTION = 12
    HALF = 13
    ZONE = 14
    WEEKDAY = 15


COMBINED = {"F": "%Y-%m-%d", "T": "%H:%M:%S", "D": "%m/%d/%y", "R": "%H:%M"}
DIRECTIVES = {
    "Y": Step.YEAR,
    "y": Step.SHORT_YEAR,
    "m": Step.MONTH,
    "b": Step.MONTH_NAME,
    "B": Step.MONTH_NAME,
    "d": Step.DAY,
    "j": Step.DAY_OF_YEAR,
    "H": Step.HOUR,
    "I": Step.HOUR_OF_12,
    "M": Step.MINUTE,
    "S": Step.SECOND,
    "f": Step.FRACTION,
    "p": Step.HALF,
    "z": Step.ZONE,
    "a": Step.WEEKDAY,
    "A": Step.WEEKDAY,
}
EXAMPLE = "%d.%m.%Y %H:%M:%S.%f"


@cache
def steps_of(form: str) -> tuple[tuple[Step, int], ...]:
    """Return the steps of a format, each with the byte of a literal (else 0).

    Raises ValueError for a directive that is not known or comes twice, and where no date or no hour results.
    """
    for name, parts in COMBINED.items():
        form = form.replace(f"%{name}", parts)
    found: list[tuple[Step, int]] = []
    letters = iter(form)
    for letter in letters:
        if letter.isspace():
            found += [(Step.SPACE, 0)] if not found or found[-1][0] != Step.SPACE else []
        elif letter != "%" or (name := next(letters, "")) == "%":
            found += [(Step.LITERAL, byte) for byte in letter.encode()]
        elif name in DIRECTIVES:
            found.append((DIRECTIVES[name], 0))
        else:
            raise ValueError(f"expected directives such as {EXAMPLE}, found %{name}")
    _check([step for step, _ in found])
    return tuple(found)


def _check(steps: list[Step]) -> None:
    kinds = {
        "year": (Step.YEAR, Step.SHORT_YEAR),
        "month": (Step.MONTH, Step.MONTH_NAME, Step.DAY_OF_YEAR),
        "day": (Step.DAY, Step.DAY_OF_YEAR),
        "hour": (Step.HOUR, Step.HOUR_OF_12),
    }
    for name, kind in kinds.items():
        if (number := sum(step in kind for step in steps)) != 1:
            raise ValueError(f"expected one directive for the {name}, found {number}; as in {EXAMPLE}")
    if (Step.HOUR_OF_12 in steps) != (Step.HALF in steps):
        raise ValueError("expected %I and %p (AM or PM), or %H without them")
    for step in (Step.MINUTE, Step.SECOND, Step.FRACTION, Step.ZONE):
        if steps.count(step) > 1:
            raise ValueError(f"expected one directive for the {step.name.lower()}, found {steps.count(step)}")
