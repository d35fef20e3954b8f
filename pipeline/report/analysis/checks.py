"""What to check first: the rules of quality (`pipeline/store/quality.py`), and the recordings that break them worst."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.report.analysis.cohort import CohortColumns, Float, Int
from pipeline.store.quality import RULES, Rule, Unit, show


@dataclass(frozen=True)
class Check:
    """One check of all accepted recordings.

    failed: indices of the recordings that fail it, the worst first. value_N: the checked value; NaN where the check has
    none to show.
    """

    title: str
    why: str
    failed: Int
    value_N: Float
    unit: Unit = ""

    def shown(self, index: int) -> str:
        """The value of a recording with its unit; empty where there is none."""
        value = float(self.value_N[index])
        return show(value, self.unit) if np.isfinite(value) else ""


def check_all(cohort: CohortColumns) -> list[Check]:
    """Every check, in the order of the page."""
    with np.errstate(invalid="ignore", divide="ignore"):
        clipped_N = cohort.sum_by_recording(cohort.day["clipped_seconds"]) / cohort.sum_by_recording(
            cohort.day["measured_seconds"]
        )
        figures = cohort.figure | {"enmo_mg": cohort.enmo_mg_N, "clipped_share": clipped_N}
        checks = [_check(rule, rule.value(figures)) for rule in RULES]
    same = Check(
        "same signal as another recording",
        "one file under two names, perhaps as two people",
        np.flatnonzero(cohort.copied_N),
        np.full(len(cohort.ids), np.nan),
    )
    return [*checks, same]


def _check(rule: Rule, value_N: Float) -> Check:
    """The recordings whose value breaks a rule; those without a value pass."""
    failed = np.flatnonzero(rule.is_broken(value_N))
    worst_first = failed[np.argsort(-rule.severity(value_N[failed]), kind="stable")]
    return Check(rule.heading, rule.cause, worst_first, value_N, rule.unit)
