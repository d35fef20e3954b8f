"""Calibration: its outcome, and the error at rest before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.pages import html
from pipeline.pages.figures import CONTROL, OURS
from pipeline.report.analysis.cohort import AXES
from pipeline.report.sections.data import Findings
from pipeline.report.sections.drawing import Part, histogram, picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OUTCOMES = {
    "own": "own [from its own still moments]",
    "given": "given [coefficients of the device from elsewhere]",
    "none": "none [kept as it is]",
}


def calibration_section(found: Findings) -> list[str]:
    cohort, tell, figure = found.cohort, found.tell, found.cohort.figure
    before_N, after_N = figure["error_before_mg"], figure["error_after_mg"]
    own_N = cohort.outcome.where("own")
    calibrated_N = own_N | cohort.outcome.where("given")
    gain_N = 100 * np.stack([figure[f"gain_{axis}"] - 1 for axis in AXES])
    offset_N = 1000 * np.stack([figure[f"offset_{axis}_g"] for axis in AXES])

    def draw(drawn: Figure) -> None:
        errors, gains, offsets = drawn.subplots(1, 3, width_ratios=(1.5, 1, 1))
        histogram(
            errors,
            [
                Part(after_N[calibrated_N], "after", OURS),
                Part(before_N[calibrated_N], "before", CONTROL, filled=False),
            ],
            tell, "mean distance from one g at rest (mg)", title="Error of those calibrated", log=True,
        )  # fmt: skip
        histogram(gains, [Part(gain_N[:, own_N].ravel())], tell, "gain off 1 (%)", title="Gains found", counted="axes")
        histogram(
            offsets, [Part(offset_N[:, own_N].ravel())], tell, "offset (mg)", title="Offsets found", counted="axes"
        )

    rows = []
    for name, count in cohort.outcome.counts.items():
        of_it = cohort.outcome.where(name)
        rows.append(
            [
                OUTCOMES.get(name, name),
                tell.of(count, len(cohort.ids)),
                *(tell.typical(values[of_it]) for values in (before_N, after_N)),
                tell.typical(figure["still_windows"][of_it], ",.0f"),
            ]
        )
    head = ["outcome", "recordings", "error before (mg)", "error after (mg)", "still windows"]
    return [
        html.seen(
            "how many recordings were calibrated and from what, and how far from one g the device reads at rest. "
            "Brackets hold shares, and where nine of ten recordings lie."
        ),
        picture(draw, 3.3, "Histograms of the error at rest before and after calibration, of gains and of offsets"),
        html.table(rows, head),
        html.explained(
            "At rest a device should read one g whichever way it lies. From still moments in many orientations follow "
            "each axis's gain and offset (after van Hees 2014); below some 10 mg the rest is noise. Without "
            "calibration an error of 20 mg is as large as most people's mean ENMO.",
            "Outcome none is a flag, not a fault: short recordings and quiet people give too few orientations, so it "
            "leans towards certain people. The error after is measured on the moments the fit was made from.",
        ),
    ]
