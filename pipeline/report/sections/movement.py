"""How much participants move: ENMO and motion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.pages import html
from pipeline.report.analysis.cohort import Float
from pipeline.report.sections.data import ReportData
from pipeline.report.sections.disclosure import as_text
from pipeline.report.sections.drawing import Distribution, histogram, picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MIN_WEAR_H = 16
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


def movement_section(data: ReportData) -> list[str]:
    cohort, disclosure, day = data.cohort, data.disclosure, data.cohort.day
    long_D = day["wear_seconds"] >= MIN_WEAR_H * 3600
    enmo_D, enmo_N = day["enmo_mg"][long_D], cohort.enmo_mg_N
    with np.errstate(invalid="ignore", divide="ignore"):
        motion_D = 1000 * (day["motion_sum_g"] / day["eligible_seconds"])[long_D]

    def draw(figure: Figure) -> None:
        left, middle, right = figure.subplots(1, 3)
        days, recordings, motion = (Distribution(values) for values in (enmo_D, enmo_N, motion_D))
        histogram(left, [days], disclosure, "mean ENMO (mg)", title="ENMO per day", counted="person-days")
        histogram(middle, [recordings], disclosure, "mean ENMO (mg)", title="ENMO per recording")
        title = "Motion per day"
        histogram(right, [motion], disclosure, "mean motion (mg)", title=title, counted="person-days", log=True)

    def row(name: str, values: Float) -> list[str]:
        known = int(np.isfinite(values).sum())
        return [name, disclosure.count(known), *(as_text(disclosure.quantile(values, at)) for at in QUANTILES)]

    rows = [
        row(f"mean ENMO of days worn for at least {MIN_WEAR_H} h (mg)", enmo_D),
        row("mean ENMO of recordings (mg)", enmo_N),
        row(f"mean motion of days worn for at least {MIN_WEAR_H} h (mg)", motion_D),
    ]
    return [
        html.shows(
            f"Mean ENMO of person-days worn for at least {MIN_WEAR_H} hours (left) and of recordings (middle), and "
            "mean motion of the same person-days (right, on a logarithmic axis). The table gives their percentiles."
        ),
        picture(draw, 3.1, "Histograms of ENMO per person-day and per recording, and of motion per person-day"),
        html.table(rows, ["", "known", *(f"{at:.0%}" for at in QUANTILES)]),
        html.explained(
            "ENMO (Euclidean norm minus one) is the acceleration in excess of gravity. Its mean over worn time is the "
            "usual measure of overall activity, mostly 15 to 50 mg in adults. Motion is the standard deviation of the "
            "acceleration within a second; it hardly depends on calibration, and training draws windows in proportion "
            "to it.",
            "ENMO counts calibration error and sensor noise as movement, most of all in still participants. It depends "
            "on the wrist, the filter and the treatment of non-wear, so compare cohorts only if these are the same.",
        ),
    ]
