"""What the page's sections are made from."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.report.cohort import Cohort
from pipeline.report.comparison import Comparison
from pipeline.report.coverage import Coverage
from pipeline.report.disclosure import Disclosure


@dataclass(frozen=True)
class Findings:
    """A cohort, how its days cover the clock, how it compares with published values, and what may be told."""

    cohort: Cohort
    coverage: Coverage
    tell: Disclosure
    comparison: Comparison | None
    processing: dict[str, object]
    """Settings of the signal steps, as the store has them."""
