"""The data that the sections are made from."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.report.analysis.cohort import CohortColumns
from pipeline.report.analysis.comparison import Comparison
from pipeline.report.analysis.coverage import Coverage
from pipeline.report.sections.disclosure import Disclosure


@dataclass(frozen=True)
class ReportData:
    """A cohort, its coverage of the hours of the day, the rules of disclosure, and the comparison if there is one.

    processing: the settings of the signal steps, as stored in the store's attributes.
    """

    cohort: CohortColumns
    coverage: Coverage
    disclosure: Disclosure
    comparison: Comparison | None
    processing: dict[str, object]
