"""Which hours of the day the recordings cover."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.pages import html
from pipeline.pages.figures import FAINT, STATE_COLOURS
from pipeline.report.analysis.coverage import CONDITIONS, HOURS
from pipeline.report.sections.data import ReportData
from pipeline.report.sections.drawing import picture
from pipeline.store.states import GAP, MEASURED, NONWEAR

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = (STATE_COLOURS[MEASURED], STATE_COLOURS[NONWEAR], STATE_COLOURS[GAP], FAINT)


def hours_section(data: ReportData) -> list[str]:
    coverage, disclosure = data.coverage, data.disclosure
    warning = (
        f"The states of {disclosure.count(coverage.missing)} sampled person-days are missing from the store, although "
        "its table lists them. Run `persondays verify`."
    )
    missing = [html.box("missing", [warning])] if coverage.missing else []
    if not coverage.read:
        return [*missing, html.paragraph("No states could be read, so the coverage of the hours is unknown.")]
    sampled = coverage.read != coverage.total
    return [
        html.shows(
            "What each hour of the device's clock consists of: time worn, non-wear, gaps inside a recording, and time "
            f"outside it. Based on {disclosure.count(coverage.read)} of {disclosure.count(coverage.total)} person-days"
            f"{' (a random sample)' if sampled else ''}."
        ),
        *missing,
        _draw(coverage.share_KH),
        html.paragraph(_summary(coverage.share_KH, coverage.seconds_KH)),
        html.explained(
            "Not recorded is the time before a recording starts and after it ends; steps in it show at which hours "
            "devices are handed out and collected. A model trained on this store inherits the bias: if nights are "
            "missing, it sees little sleep.",
            "Hours are those of the device's clock; devices set to UTC and daylight saving changes blur them."
            + (
                " A share is accurate to about one percentage point. Every run draws the same sample."
                if sampled
                else ""
            ),
        ),
    ]


def _summary(share_KH: NDArray[np.float64], seconds_KH: NDArray[np.int64]) -> str:
    worn_H = share_KH[0]
    best, worst = int(worn_H.argmax()), int(worn_H.argmin())
    shares = zip(CONDITIONS, seconds_KH.sum(1) / seconds_KH.sum(), strict=True)
    return (
        f"Devices were worn most from {_clock(best)} ({worn_H[best]:.1%} of the time) and least from {_clock(worst)} "
        f"({worn_H[worst]:.1%}). Over the whole day: {', '.join(f'{name} {share:.1%}' for name, share in shares)}."
    )


def _draw(share_KH: NDArray[np.float64]) -> str:
    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        below_H = np.zeros(HOURS)
        for share_H, name, colour in zip(100 * share_KH, CONDITIONS, COLOURS, strict=True):
            axes.bar(np.arange(HOURS) + 0.5, share_H, 0.92, below_H, color=colour, label=name)
            below_H = below_H + share_H
        axes.set_xlim(0, HOURS)
        axes.set_xticks(range(0, 25, 3), [f"{hour}:00" for hour in range(0, 25, 3)])
        axes.set_ylim(0, 100)
        axes.set_xlabel("time of day (device clock)")
        axes.set_ylabel("% of the hour")
        axes.legend(ncols=len(CONDITIONS), loc="lower left", bbox_to_anchor=(-0.01, 1.0), handlelength=1.2)

    return picture(draw, 3.2, "Share of each hour of the day that is worn, non-wear, gap or not recorded")


def _clock(hour: int) -> str:
    return f"{hour}:00 to {hour + 1}:00"
