"""How long the device was worn, by day and by recording."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.pages import html
from pipeline.pages.figures import CONTROL, OURS
from pipeline.report.analysis.cohort import Float
from pipeline.report.sections.data import Findings
from pipeline.report.sections.drawing import Part, histogram, picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEAST_HOURS_A_DAY = (1, 10, 16, 20)
LEAST_DAYS = (2, 3, 5, 7)


def wear_section(found: Findings) -> list[str]:
    cohort, tell = found.cohort, found.tell
    hours_D, inner_D = cohort.day["wear_seconds"] / 3600, cohort.inner_D
    days_N = cohort.wear_days_N

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2, width_ratios=(1.3, 1))
        histogram(
            left,
            [
                Part(hours_D[inner_D], "days between a recording's first and last"),
                Part(hours_D[~inner_D], "first and last days", CONTROL, filled=False),
            ],
            tell, "hours worn", title="Wear of a person-day", counted="person-days", at=np.linspace(0, 24, 49),
        )  # fmt: skip
        left.set_xticks(range(0, 25, 4))
        histogram(right, [Part(days_N, colour=OURS)], tell, "days worn", title="Wear of a recording")

    rows = [
        *(_at_least(found, "person-days", least, "h", hours_D) for least in LEAST_HOURS_A_DAY),
        *(_at_least(found, "recordings", least, "days", days_N) for least in LEAST_DAYS),
    ]
    inner = hours_D[inner_D]
    rows += [
        ["hours worn of a day between first and last", tell.typical(inner)],
        ["days worn of a recording", tell.typical(days_N)],
    ]
    return [
        html.seen(
            "how many hours of each person-day the device was worn, and how many days of each recording add up. In the "
            "table, brackets hold shares; for hours and days worn, where nine of ten lie."
        ),
        picture(draw, 3.3, "Histograms of hours worn by person-day and days worn by recording"),
        html.table(rows),
        html.explained(
            "A person-day runs from midnight to midnight, so a recording's first and last day are cut by handing the "
            "device out and giving it back. Worn is every second that is measured, or idle by the device's own word, "
            "and not part of a still stretch of over 90 minutes. Training by default takes days worn for an hour.",
            "Non-wear is a rule, not an observation: a sound sleeper may count as not wearing, and a device carried in "
            "a bag as worn. Days worn all 24 hours are plausible for a device that is never taken off, and for one "
            "that lies in a vibrating place.",
        ),
    ]


def _at_least(found: Findings, what: str, least: int, unit: str, values: Float) -> list[str]:
    """A row with how many reach a limit."""
    return [f"{what} worn {least} {unit} or more", found.tell.of(int((values >= least).sum()), values.size)]
