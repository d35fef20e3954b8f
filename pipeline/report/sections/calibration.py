"""How recordings were calibrated, and the error at rest before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.pages import html
from pipeline.pages.figures import CONTROL, OURS
from pipeline.report.analysis.cohort import AXES
from pipeline.report.sections.data import ReportData
from pipeline.report.sections.drawing import Distribution, histogram, picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OUTCOMES = {
    "own": "own [from the recording's own still moments]",
    "given": "given [from a file of coefficients by device]",
    "none": "none [values kept as recorded]",
}


def calibration_section(data: ReportData) -> list[str]:
    cohort, disclosure, figures = data.cohort, data.disclosure, data.cohort.figure
    before_N, after_N = figures["error_before_mg"], figures["error_after_mg"]
    own_N = cohort.calibration.where("own")
    calibrated_N = own_N | cohort.calibration.where("given")
    gain_N = 100 * np.stack([figures[f"gain_{axis}"] - 1 for axis in AXES])
    offset_N = 1000 * np.stack([figures[f"offset_{axis}_g"] for axis in AXES])

    def draw(figure: Figure) -> None:
        errors, gains, offsets = figure.subplots(1, 3, width_ratios=(1.5, 1, 1))
        after = Distribution(after_N[calibrated_N], "after", OURS)
        before = Distribution(before_N[calibrated_N], "before", CONTROL, filled=False)
        histogram(errors, [after, before], disclosure, "error at rest (mg)", title="Calibrated recordings", log=True)
        gain, offset = (Distribution(values_N[:, own_N].ravel()) for values_N in (gain_N, offset_N))
        histogram(gains, [gain], disclosure, "gain error (%)", title="Gains", counted="axes")
        histogram(offsets, [offset], disclosure, "offset (mg)", title="Offsets", counted="axes")

    rows = []
    for name, count in cohort.calibration.counts.items():
        members_N = cohort.calibration.where(name)
        rows.append(
            [
                OUTCOMES.get(name, name),
                disclosure.count_and_share(count, len(cohort.ids)),
                *(disclosure.median_and_range(values_N[members_N]) for values_N in (before_N, after_N)),
                disclosure.median_and_range(figures["still_windows"][members_N], ",.0f"),
            ]
        )
    return [
        html.shows(
            "The error at rest, which is the mean distance of the measured acceleration from 1 g, before and after "
            "calibration (left), and the gains and offsets of each axis found by calibration (middle, right). The "
            "table gives medians, with the 5th and 95th percentiles below."
        ),
        picture(draw, 3.3, "Histograms of the error at rest before and after calibration, of gains and of offsets"),
        html.table(rows, ["calibration", "recordings", "error before (mg)", "error after (mg)", "still windows"]),
        html.explained(
            "At rest a sensor should measure 1 g in every orientation. Still moments in many orientations therefore "
            "give the gain and offset of each axis (van Hees 2014). A remaining error below about 10 mg is noise. "
            "Without calibration, an error of 20 mg is as large as the mean ENMO of most people.",
            "Calibration none is not a fault: short recordings and still participants provide too few orientations, so "
            "it is not evenly spread over participants. The error after calibration is measured on the same still "
            "moments that the calibration was fitted to.",
        ),
    ]
