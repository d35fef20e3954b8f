"""Grouping of the reasons for rejection: reasons that differ only in numbers are one group.

"it spans 73 days" and "it spans 98 days" are in one group. Its text keeps the numbers that all its reasons share,
and leaves out the others and all dates.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

NUMBER = re.compile(r"0x[0-9a-f]+|\b[0-9a-f]{2}(?: [0-9a-f]{2})+\b|\d+(?:[-.,:T]\d+)*")
"""A hexadecimal number, a sequence of bytes, or a number, date or time."""
DATE = re.compile(r"\d{4}-\d\d")
PLACEHOLDER = "…"


@dataclass(frozen=True)
class ReasonGroup:
    """A reason, and the sorted keyed ids of the recordings rejected for it."""

    text: str
    recordings: list[str]


def group_reasons(rejected: Iterable[tuple[str, str | None]], keep_numbers_from: int = 1) -> list[ReasonGroup]:
    """Group pairs of keyed id and reason, the largest group first.

    Groups of fewer than `keep_numbers_from` recordings lose all their numbers.
    """
    members: dict[tuple[str, ...], list[tuple[str, list[str]]]] = defaultdict(list)
    for recording, reason in rejected:
        text = reason or "no reason given"
        members[tuple(NUMBER.split(text))].append((recording, NUMBER.findall(text)))
    found = []
    for (first, *rest), group in members.items():
        columns = zip(*(numbers for _, numbers in group), strict=True)
        kept = [_common(values) if len(group) >= keep_numbers_from else PLACEHOLDER for values in columns]
        text = first + "".join(number + part for number, part in zip(kept, rest, strict=True))
        found.append(ReasonGroup(text, sorted(recording for recording, _ in group)))
    return sorted(found, key=lambda reason: (-len(reason.recordings), reason.text))


def _common(values: tuple[str, ...]) -> str:
    """Return the number if all values are equal and it is not a date, else the placeholder."""
    return values[0] if len(set(values)) == 1 and not DATE.match(values[0]) else PLACEHOLDER
