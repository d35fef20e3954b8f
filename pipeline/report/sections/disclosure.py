"""Which counts, shares, quantiles and ids a page may show: the rules of disclosure, in one place (docs/report.md).

The usual page is for readers who have access to the store. It shows the short ids of single recordings and exact
counts, except in cross tables, whose small cells describe their members. A page for release shows no ids, hides
every count of 1 to 4, and rounds the others to multiples of 5, so that no difference of two counts reveals a hidden
one (without rounding, further cells would have to be hidden).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.identity import SHORT_ID

MIN_GROUP = 5
"""Smaller groups of participants or recordings are not described."""
HIDDEN = f"under {MIN_GROUP}"
IDS_SHOWN = 5
"""How many recordings are listed beside a count."""


def coarse(count: int) -> str:
    """Hide a count of 1 to 4 and round any other to the nearest 5."""
    return HIDDEN if 0 < count < MIN_GROUP else f"{_rounded(count):,}"


def _rounded(count: int) -> int:
    return MIN_GROUP * round(count / MIN_GROUP)


@dataclass(frozen=True)
class Disclosure:
    """How a page shows counts, shares, quantiles and ids."""

    for_release: bool = False

    def count(self, count: int) -> str:
        """Return a count of recordings, participants or person-days as text."""
        return coarse(count) if self.for_release else f"{count:,}"

    def share(self, part: int, total: int) -> str:
        """Return a part of a total in percent.

        A page for release uses the rounded counts, and shows `-` where the part or the rest is hidden.
        """
        if not total:
            return "-"
        if self.for_release:
            return "-" if HIDDEN in (coarse(part), coarse(total - part)) else f"{_rounded(part) / _rounded(total):.0%}"
        return "under 0.1%" if 0 < part / total < 0.001 else f"{part / total:.1%}"

    def count_and_share(self, part: int, total: int) -> str:
        """Return a count with its share in small print, for a cell of a table."""
        share = self.share(part, total)
        return self.count(part) if part == 0 or share == "-" else f"{self.count(part)} [{share}]"

    def bins(self, counts_B: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the bars of a histogram; a page for release drops bars of under 5 and rounds the others."""
        if not self.for_release:
            return counts_B
        return np.where(counts_B < MIN_GROUP, 0, MIN_GROUP * np.round(counts_B / MIN_GROUP)).astype(np.int64)

    def quantile(self, values: NDArray[np.float64], at: float) -> float:
        """Return a quantile of the finite values; NaN if there are none, or, for release, under 5 beyond it."""
        known = values[np.isfinite(values)]
        if not known.size or (self.for_release and known.size * min(at, 1 - at) < MIN_GROUP):
            return float("nan")
        return float(np.quantile(known, at))

    def median_and_range(self, values: NDArray[np.float64], form: str = ",.1f") -> str:
        """Return the median, with the 5th and 95th percentiles in small print, for a cell of a table."""
        low, middle, high = (self.quantile(values, at) for at in (0.05, 0.5, 0.95))
        return as_text(middle, form) + (f" [{as_text(low, form)} to {as_text(high, form)}]" if np.isfinite(low) else "")

    def short_ids(self, ids: Iterable[str]) -> str:
        """List the first few recordings by short id; for release, none."""
        listed = list(ids)
        if self.for_release or not listed:
            return ""
        more = f" and {len(listed) - IDS_SHOWN:,} more" if len(listed) > IDS_SHOWN else ""
        return " ".join(name[:SHORT_ID] for name in listed[:IDS_SHOWN]) + more


def as_text(value: float, form: str = ",.1f") -> str:
    """Format a figure; `-` if it is not finite."""
    return format(value, form) if np.isfinite(value) else "-"
