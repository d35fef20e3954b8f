"""Which hours of the day are covered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.pages import html
from pipeline.pages.figures import FAINT, STATE_COLOURS
from pipeline.report.analysis.coverage import CONDITIONS, HOURS
from pipeline.report.sections.data import Findings
from pipeline.store.states import GAP, MEASURED, NONWEAR

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = (STATE_COLOURS[MEASURED], STATE_COLOURS[NONWEAR], STATE_COLOURS[GAP], FAINT)


def hours_section(found: Findings) -> list[str]:
    coverage, tell = found.coverage, found.tell
    missing = (
        [
            html.box(
                "missing",
                [
                    f"The states of {tell.count(coverage.missing)} sampled person-days are not in storage, though "
                    "their rows are. Run `persondays verify`."
                ],
            )
        ]
        if coverage.missing
        else []
    )
    if not coverage.read:
        return [*missing, html.paragraph("No states could be read, so nothing is known about the hours of the day.")]
    share_KH = coverage.share_KH
    worn_H = share_KH[0]
    best, worst = int(worn_H.argmax()), int(worn_H.argmin())
    which = "all" if coverage.read == coverage.total else "a random sample"
    return [
        html.seen(
            f"what each hour of the device's clock is made of, over {tell.count(coverage.read)} of "
            f"{tell.count(coverage.total)} person-days ({which})."
        ),
        *missing,
        _draw(share_KH),
        html.paragraph(
            f"Covered best is {_clock(best)} (worn for {worn_H[best]:.1%} of the hour), least {_clock(worst)} "
            f"({worn_H[worst]:.1%}). Over the whole day: "
            + ", ".join(
                f"{name} {share:.1%}"
                for name, share in zip(CONDITIONS, coverage.seconds_KH.sum(1) / coverage.seconds_KH.sum(), strict=True)
            )
            + "."
        ),
        html.explained(
            "Not recorded is what lies before a recording's start and after its end: the clock hours at which people "
            "are given the device show as steps. A bias by hour becomes a bias of what training sees: where nights are "
            "missing, little sleep is drawn.",
            "The clock is the device's. One that is set to UTC, or crosses a change of clocks, blurs the hours."
            + (
                ""
                if which == "all"
                else " The sample is the same at every run; a share is uncertain by about a percent."
            ),
        ),
    ]


def _draw(share_KH: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> str:
    from pipeline.report.sections.drawing import picture

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        below_H = np.zeros(HOURS)
        for share_H, name, colour in zip(100 * share_KH, CONDITIONS, COLOURS, strict=True):
            axes.bar(np.arange(HOURS) + 0.5, share_H, 0.92, below_H, color=colour, label=name)
            below_H = below_H + share_H
        axes.set_xlim(0, HOURS)
        axes.set_xticks(range(0, 25, 3), [f"{hour}:00" for hour in range(0, 25, 3)])
        axes.set_ylim(0, 100)
        axes.set_xlabel("clock of the device")
        axes.set_ylabel("% of the hour")
        axes.legend(ncols=len(CONDITIONS), loc="lower left", bbox_to_anchor=(-0.01, 1.0), handlelength=1.2)

    return picture(draw, 3.2, "Share of each hour of the day that is worn, non-wear, gap or not recorded")


def _clock(hour: int) -> str:
    return f"{hour}:00 to {hour + 1}:00"
