"""The recordings to check first: how many fail each check, and which fail the most."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.identity import SHORT_ID
from pipeline.pages import html
from pipeline.report.analysis.checks import Check, check_all
from pipeline.report.sections.data import ReportData
from pipeline.report.sections.disclosure import IDS_SHOWN

WORST_SHOWN = 10


def outliers_section(data: ReportData) -> list[str]:
    disclosure, checks = data.disclosure, check_all(data.cohort)
    accepted = len(data.cohort.ids)
    failed_N = np.zeros(accepted, np.int64)
    for check in checks:
        failed_N[check.failed] += 1
    passed = int((failed_N == 0).sum())
    rows = [
        [
            f"{check.title} [{check.why}]",
            disclosure.count_and_share(check.failed.size, accepted),
            *([] if disclosure.for_release else [_worst_of_check(data, check)]),
        ]
        for check in checks
        if check.failed.size
    ]
    head = ["check", "recordings", *([] if disclosure.for_release else ["worst first"])]
    none = [check.title for check in checks if not check.failed.size]
    return [
        html.shows(
            "How many accepted recordings fail each quality check"
            + ("." if disclosure.for_release else f", and the worst {IDS_SHOWN} of each by short id.")
        ),
        html.paragraph(
            f"{disclosure.count(passed)} recordings ({disclosure.share(passed, accepted)}) pass every check."
        ),
        *([html.table(rows, head)] if rows else []),
        *([html.paragraph(f"No recording fails: {'; '.join(none)}.")] if none else []),
        *_repeated_failures(data, checks, failed_N),
        html.explained(
            "A failed check is a reason to inspect a recording, not a verdict: it removes nothing from the store. To "
            "see a person-day, run `persondays inspect STORE --slot N --picture day.png`; to leave participants or "
            "days out of training, set `data.where`. Whoever holds the key can find the file of a short id "
            "(`persondays whois`).",
            "The limits are fixed and the same for every cohort. In a large cohort some very active, very still or "
            "ill participants fail a check although their recording is fine, and a recording that passes every check "
            "can still be wrong.",
        ),
    ]


def _worst_of_check(data: ReportData, check: Check) -> str:
    """The worst recordings of a check and their values."""
    worst = check.failed[:IDS_SHOWN]
    values = [check.shown(index) for index in worst]
    pairs = (
        f"{name[:SHORT_ID]} {value}".strip() for name, value in zip(data.cohort.ids_of(worst), values, strict=True)
    )
    return ", ".join(pair.replace(" ", "\N{NO-BREAK SPACE}") for pair in pairs)


def _repeated_failures(data: ReportData, checks: list[Check], failed_N: NDArray[np.int64]) -> list[str]:
    """The recordings that fail several checks, with the most failures first."""
    several = np.flatnonzero(failed_N > 1)
    if not several.size:
        return []
    total = f"Recordings that fail several checks: {data.disclosure.count(several.size)}."
    if data.disclosure.for_release:
        return [html.paragraph(total)]
    worst = several[np.argsort(-failed_N[several], kind="stable")][:WORST_SHOWN]
    rows = [
        [name[:SHORT_ID], "; ".join(check.title for check in checks if index in check.failed)]
        for name, index in zip(data.cohort.ids_of(worst), worst, strict=True)
    ]
    return [html.paragraph(f"{total} The most failures first:"), html.table(rows, ["recording", "failed checks"])]
