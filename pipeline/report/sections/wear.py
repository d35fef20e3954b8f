"""How long devices were worn, by person-day and by recording."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.pages import html
from pipeline.pages.figures import CONTROL
from pipeline.report.analysis.cohort import Float
from pipeline.report.sections.data import ReportData
from pipeline.report.sections.drawing import Distribution, histogram, picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MIN_HOURS = (1, 10, 16, 20)
MIN_DAYS = (2, 3, 5, 7)


def wear_section(data: ReportData) -> list[str]:
    cohort, disclosure = data.cohort, data.disclosure
    hours_D, inner_D = cohort.day["wear_seconds"] / 3600, cohort.inner_D
    days_N = cohort.wear_days_N

    def draw(figure: Figure) -> None:
        by_day, by_recording = figure.subplots(1, 2, width_ratios=(1.3, 1))
        distributions = [
            Distribution(hours_D[inner_D], "days in between"),
            Distribution(hours_D[~inner_D], "first and last days", CONTROL, filled=False),
        ]
        title, half_hours = "Wear time per person-day", np.linspace(0, 24, 49)
        histogram(by_day, distributions, disclosure, "hours worn", title=title, counted="person-days", at=half_hours)
        by_day.set_xticks(range(0, 25, 4))
        histogram(by_recording, [Distribution(days_N)], disclosure, "days worn", title="Wear time per recording")

    rows = [
        *(_at_least(data, "person-days", limit, "h", hours_D) for limit in MIN_HOURS),
        *(_at_least(data, "recordings", limit, "days", days_N) for limit in MIN_DAYS),
        ["hours worn per person-day, first and last days left out", disclosure.median_and_range(hours_D[inner_D])],
        ["days worn per recording", disclosure.median_and_range(days_N)],
    ]
    return [
        html.shows(
            "How many hours of each person-day the device was worn (left), and how many days that makes for each "
            "recording (right). The table counts the person-days and recordings that reach common limits, with their "
            "share below; the last two rows are medians, with the 5th and 95th percentiles below."
        ),
        picture(draw, 3.3, "Histograms of hours worn per person-day and days worn per recording"),
        html.table(rows),
        html.explained(
            "A person-day runs from midnight to midnight, so the first and last days of a recording are short. A "
            "second counts as worn if it was measured, or if the device noted that it saw no movement (idle sleep), "
            "unless it is part of more than 90 still minutes. By default, training uses days with at least one hour of "
            "wear.",
            "Non-wear is inferred, not observed: deep sleep can look like non-wear, and a device carried in a bag "
            "looks worn. A day worn for all 24 hours may be a participant who never takes the device off, or a device "
            "lying on something that vibrates.",
        ),
    ]


def _at_least(data: ReportData, what: str, limit: int, unit: str, values: Float) -> list[str]:
    """A row that counts the values that reach a limit."""
    reached = int((values >= limit).sum())
    return [f"{what} worn for at least {limit} {unit}", data.disclosure.count_and_share(reached, values.size)]
