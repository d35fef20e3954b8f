"""What may be told about few people: the rule of the page, in one place (docs/report.md).

The usual page is for those who may see the store. It names single recordings by short ids and counts exactly,
except in cross tables, where a cell of few is a description of them. A page for release names nobody at all,
and every count of 1 to 4 is hidden and every other one rounded to 5, so that no difference of two counts
gives a hidden one back (hiding alone would need further cells hidden; rounding does not).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.identity import SHORT_ID

LEAST = 5
"""Fewer people or recordings than this are few."""
HIDDEN = f"under {LEAST}"
NAMED = 5
"""Recordings named beside a count."""


def coarse(number: int) -> str:
    """A count of which no single member can be told: hidden below 5, else to the nearest 5."""
    return HIDDEN if 0 < number < LEAST else f"{_rounded(number):,}"


def _rounded(number: int) -> int:
    return LEAST * round(number / LEAST)


@dataclass(frozen=True)
class Disclosure:
    """How a page tells counts, shares, quantiles and names."""

    for_release: bool = False

    def count(self, number: int) -> str:
        """A count of recordings, people or person-days."""
        return coarse(number) if self.for_release else f"{number:,}"

    def share(self, part: int, whole: int) -> str:
        """A part of a whole in percent; for release of the rounded counts, and `-` where either side is hidden."""
        if not whole:
            return "-"
        if self.for_release:
            return "-" if HIDDEN in (coarse(part), coarse(whole - part)) else f"{_rounded(part) / _rounded(whole):.0%}"
        return "under 0.1%" if 0 < part / whole < 0.001 else f"{part / whole:.1%}"

    def of(self, part: int, whole: int) -> str:
        """A count with its share small beside it, for a cell of a table."""
        share = self.share(part, whole)
        return self.count(part) if part == 0 or share == "-" else f"{self.count(part)} [{share}]"

    def bins(self, counts_B: NDArray[np.int64]) -> NDArray[np.int64]:
        """The bars of a histogram; for release those of few are left out and the others rounded."""
        if not self.for_release:
            return counts_B
        return np.where(counts_B < LEAST, 0, LEAST * np.round(counts_B / LEAST)).astype(np.int64)

    def quantile(self, values: NDArray[np.float64], at: float) -> float:
        """A quantile of the finite values; NaN where there is none, for release also where under 5 lie beyond it."""
        known = values[np.isfinite(values)]
        if not known.size or (self.for_release and known.size * min(at, 1 - at) < LEAST):
            return float("nan")
        return float(np.quantile(known, at))

    def names(self, ids: Iterable[str]) -> str:
        """The first few recordings by their short ids; for release none."""
        listed = list(ids)
        if self.for_release or not listed:
            return ""
        more = f" and {len(listed) - NAMED:,} more" if len(listed) > NAMED else ""
        return " ".join(name[:SHORT_ID] for name in listed[:NAMED]) + more

    def typical(self, values: NDArray[np.float64], form: str = ",.1f") -> str:
        """The median, with where nine of ten lie, for a cell of a table."""
        low, middle, high = (self.quantile(values, at) for at in (0.05, 0.5, 0.95))
        return number(middle, form) + (f" [{number(low, form)} to {number(high, form)}]" if np.isfinite(low) else "")


def number(value: float, form: str = ",.1f") -> str:
    """A figure as text; `-` where there is none."""
    return format(value, form) if np.isfinite(value) else "-"
