"""Why recordings were rejected, alike reasons together: their numbers differ from recording to recording.

"it spans 73 days" and "it spans 98 days" are one reason. A number that all of a group share is kept, one that
differs is left out, and a date is left out always.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

NUMBER = re.compile(r"0x[0-9a-f]+|\b[0-9a-f]{2}(?: [0-9a-f]{2})+\b|\d+(?:[-.,:T]\d+)*")
"""A hexadecimal number, a row of bytes, or a number, date or time."""
DATE = re.compile(r"\d{4}-\d\d")
LEFT_OUT = "…"


@dataclass(frozen=True)
class Reason:
    """A reason and the keyed ids of those it befell, sorted."""

    text: str
    recordings: list[str]


def group(rejected: Iterable[tuple[str, str | None]], keep_numbers_from: int = 1) -> list[Reason]:
    """Reasons with their recordings, the most frequent first; `rejected` are pairs of keyed id and reason.

    Groups smaller than `keep_numbers_from` lose all their numbers.
    """
    members: dict[tuple[str, ...], list[tuple[str, list[str]]]] = defaultdict(list)
    for recording, reason in rejected:
        text = reason or "no reason is given"
        members[tuple(NUMBER.split(text))].append((recording, NUMBER.findall(text)))
    found = []
    for (first, *rest), alike in members.items():
        columns = zip(*(numbers for _, numbers in alike), strict=True)
        kept = [_common(values) if len(alike) >= keep_numbers_from else LEFT_OUT for values in columns]
        text = first + "".join(number + part for number, part in zip(kept, rest, strict=True))
        found.append(Reason(text, sorted(recording for recording, _ in alike)))
    return sorted(found, key=lambda reason: (-len(reason.recordings), reason.text))


def _common(values: tuple[str, ...]) -> str:
    """The number that all have in one place of the text."""
    return values[0] if len(set(values)) == 1 and not DATE.match(values[0]) else LEFT_OUT
