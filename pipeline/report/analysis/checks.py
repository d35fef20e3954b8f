"""What to look at first: plain checks of a recording's figures, and the recordings that fail them worst.

Limits are fixed (`pipeline/store/quality.py`), not drawn from the cohort, so that a recording is judged alike in
every store, and a cohort that is strange as a whole shows as such.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.report.analysis.cohort import Cohort, Float, Int
from pipeline.store.quality import (
    ENMO_RANGE_MG,
    LONG_GAP_H,
    MANY_BLOCKS,
    MOST_ERROR_MG,
    MOST_RATE_OFF,
    MOST_RESIDUAL_MS,
    MUCH_CLIPPED,
    WORN_LITTLE_H,
)


@dataclass(frozen=True)
class Check:
    """One check of all accepted recordings.

    failed: indices of the recordings that fail it, the worst first. value_N: the figure it looks at, shown by `form`.
    """

    title: str
    why: str
    failed: Int
    value_N: Float
    form: str


def check_all(cohort: Cohort) -> list[Check]:
    """Every check, in the order of the page."""
    return list(_checks(cohort))


def _checks(cohort: Cohort) -> Iterator[Check]:
    figure, enmo_N = cohort.figure, cohort.enmo_mg_N
    with np.errstate(invalid="ignore", divide="ignore"):
        rate_N = figure["rate_hz"] / figure["nominal_rate_hz"] - 1
        clipped_N = cohort.sum_of(cohort.day["clipped_seconds"]) / cohort.sum_of(cohort.day["measured_seconds"])
    worn_N, gap_N = figure["wear_hours"], figure["gap_total_s"] / 3600
    low, high = ENMO_RANGE_MG
    yield _beyond(
        f"ENMO over {high} mg",
        "rarely a person's mean: a loose or shaken device, a wrong scale",
        enmo_N,
        high,
        "{:,.0f} mg",
    )
    yield _beyond(
        f"ENMO under {low} mg",
        "hardly any movement for a person: a device on a table, or a scale too small",
        enmo_N, low, "{:,.1f} mg", below=True,
    )  # fmt: skip
    yield _beyond(
        f"over {MOST_ERROR_MG} mg off one g at rest",
        "after calibration, where there was one: a damaged sensor, or too few still moments",
        figure["error_after_mg"], MOST_ERROR_MG, "{:,.0f} mg",
    )  # fmt: skip
    yield _beyond(
        f"worn under {WORN_LITTLE_H} h", "never worn, given back at once, or misread",
        worn_N, WORN_LITTLE_H, "{:,.1f} h", below=True,
    )  # fmt: skip
    yield _beyond(
        f"gaps of over {LONG_GAP_H} h in all", "an empty battery, lost blocks, a clock that was set", gap_N, LONG_GAP_H,
        "{:,.1f} h",
    )  # fmt: skip
    yield _beyond(
        f"over {MUCH_CLIPPED:.0%} of the seconds clipped", "a small range, or a broken axis", clipped_N, MUCH_CLIPPED,
        "{:.1%}",
    )  # fmt: skip
    yield _beyond("impossible values", "beyond what the device can measure", figure["impossible_samples"], 0, "{:,.0f}")
    yield _beyond(
        f"over {MANY_BLOCKS} damaged blocks", "a bad copy or worn memory", figure["damaged_blocks"], MANY_BLOCKS,
        "{:,.0f}",
    )  # fmt: skip
    yield _beyond(
        f"rate over {MOST_RATE_OFF:.0%} off", "the clock or the header is wrong", rate_N, MOST_RATE_OFF, "{:+.1%}",
        size_N=np.abs(rate_N),
    )  # fmt: skip
    yield _beyond(
        f"clock scatters by over {MOST_RESIDUAL_MS} ms", "its stamps fit no steady rate", figure["clock_residual_ms"],
        MOST_RESIDUAL_MS, "{:,.0f} ms",
    )  # fmt: skip
    yield Check(
        "same signal as another recording",
        "one file under two names, perhaps as two people",
        np.flatnonzero(cohort.copied_N),
        np.full(len(cohort.ids), np.nan),
        "",
    )


def _beyond(
    title: str, why: str, value_N: Float, limit: float, form: str, *, below: bool = False, size_N: Float | None = None
) -> Check:
    """The recordings whose value (or its size) lies beyond a limit; those without a value pass."""
    order_N = value_N if size_N is None else size_N
    with np.errstate(invalid="ignore"):
        failed = np.flatnonzero(order_N < limit if below else order_N > limit)
    worst_first = failed[np.argsort(order_N[failed] if below else -order_N[failed], kind="stable")]
    return Check(title, why, worst_first, value_N, form)
