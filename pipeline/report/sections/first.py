"""What to look at first: the checks, and the recordings that fail most of them."""

from __future__ import annotations

import numpy as np

from pipeline.identity import SHORT_ID
from pipeline.pages import html
from pipeline.report.analysis.checks import Check, check_all
from pipeline.report.sections.data import Findings
from pipeline.report.sections.disclosure import NAMED

WORST = 10


def first_section(found: Findings) -> list[str]:
    tell, checks = found.tell, check_all(found.cohort)
    accepted = len(found.cohort.ids)
    failed_N = np.zeros(accepted, np.int64)
    for check in checks:
        failed_N[check.failed] += 1
    passed = int((failed_N == 0).sum())
    rows = [
        [f"{check.title} [{check.why}]", tell.of(check.failed.size, accepted), *_names(found, check)]
        for check in checks
        if check.failed.size
    ]
    none = [check.title for check in checks if not check.failed.size]
    head = ["check", "recordings", *([] if tell.for_release else ["worst first"])]
    return [
        html.seen(
            "checks of every accepted recording, how many fail each, "
            + ("without naming any." if tell.for_release else "and the worst of them by the first digits of their ids.")
        ),
        html.paragraph(f"{tell.count(passed)} recordings ({tell.share(passed, accepted)}) pass all checks."),
        *([html.table(rows, head)] if rows else []),
        *([html.paragraph(f"No recording fails: {'; '.join(none)}.")] if none else []),
        *_worst(found, checks, failed_N),
        html.explained(
            "A check is a reason to look, not a verdict: nothing is left out of the store because of it. Look at a "
            "recording's days with `persondays inspect STORE --slot N --picture day.png`, and leave people or days out "
            "of training with `--where`. Whoever holds the key finds the file behind an id (`persondays whois`).",
            "The limits are fixed and the same for every cohort. In a large one, some recordings of active, still or "
            "ill people fail a check and are right; what passes all checks can still be wrong.",
        ),
    ]


def _names(found: Findings, check: Check) -> list[str]:
    """A cell with the worst recordings and their figures; for release no cell."""
    if found.tell.for_release:
        return []
    worst = check.failed[:NAMED]
    ids = found.cohort.named(worst)
    values = [check.shown(index) for index in worst]
    pairs = (f"{name[:SHORT_ID]} {value}".strip() for name, value in zip(ids, values, strict=True))
    return [", ".join(pair.replace(" ", "\N{NO-BREAK SPACE}") for pair in pairs)]


def _worst(found: Findings, checks: list[Check], failed_N: np.ndarray[tuple[int], np.dtype[np.int64]]) -> list[str]:
    """The recordings that fail several checks, most first."""
    several = np.flatnonzero(failed_N > 1)
    if not several.size:
        return []
    if found.tell.for_release:
        return [html.paragraph(f"Recordings that fail several checks: {found.tell.count(several.size)}.")]
    worst = several[np.argsort(-failed_N[several], kind="stable")][:WORST]
    rows = [
        [name[:SHORT_ID], "; ".join(check.title for check in checks if index in check.failed)]
        for name, index in zip(found.cohort.named(worst), worst, strict=True)
    ]
    return [
        html.paragraph(f"Recordings that fail several checks: {several.size:,}. Those that fail most:"),
        html.table(rows, ["recording", "fails"]),
    ]
