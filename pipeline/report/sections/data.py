"""What the page's sections are made from."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.report.analysis.cohort import Cohort
from pipeline.report.analysis.comparison import Comparison
from pipeline.report.analysis.coverage import Coverage
from pipeline.report.sections.disclosure import Disclosure


@dataclass(frozen=True)
class Findings:
    """A cohort, how its days cover the clock, how it compares with published values, and what may be told."""

    cohort: Cohort
    coverage: Coverage
    tell: Disclosure
    comparison: Comparison | None
    processing: dict[str, object]
    """Settings of the signal steps, as the store has them."""
