"""How much people move: ENMO and motion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.pages import html
from pipeline.report.analysis.cohort import Float
from pipeline.report.sections.data import Findings
from pipeline.report.sections.disclosure import number
from pipeline.report.sections.drawing import Part, histogram, picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WHOLE_DAY_H = 16
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


def movement_section(found: Findings) -> list[str]:
    cohort, tell, day = found.cohort, found.tell, found.cohort.day
    long_D = day["wear_seconds"] >= WHOLE_DAY_H * 3600
    enmo_D, enmo_N = day["enmo_mg"][long_D], cohort.enmo_mg_N
    with np.errstate(invalid="ignore", divide="ignore"):
        motion_D = 1000 * (day["motion_sum_g"] / day["eligible_seconds"])[long_D]

    def draw(drawn: Figure) -> None:
        days, recordings, motion = drawn.subplots(1, 3)
        histogram(days, [Part(enmo_D)], tell, "ENMO (mg)", title="ENMO of a day", counted="person-days")
        histogram(recordings, [Part(enmo_N)], tell, "ENMO (mg)", title="ENMO of a recording")
        histogram(
            motion, [Part(motion_D)], tell, "motion (mg)", title="Motion of a day", counted="person-days", log=True
        )

    def row(name: str, values: Float) -> list[str]:
        known = int(np.isfinite(values).sum())
        return [name, tell.count(known), *(number(tell.quantile(values, at)) for at in QUANTILES)]

    rows = [
        row(f"ENMO of a day worn {WHOLE_DAY_H} h or more (mg)", enmo_D),
        row("ENMO of a recording (mg)", enmo_N),
        row(f"motion of a day worn {WHOLE_DAY_H} h or more (mg)", motion_D),
    ]
    return [
        html.seen(
            f"mean ENMO and mean motion of person-days worn for {WHOLE_DAY_H} hours or more, and mean ENMO of "
            "recordings. In the table, the share in the head lies below the figure."
        ),
        picture(draw, 3.1, "Histograms of ENMO by person-day and by recording, and of motion by person-day"),
        html.table(rows, ["", "known", *(f"{at:.0%}" for at in QUANTILES)]),
        html.explained(
            "ENMO is how far the acceleration exceeds one g; its mean over worn time is the usual figure of how much "
            "a person moves, and in adults mostly between 15 and 50 mg. Motion is the spread within a second, and does "
            "not depend on calibration: by it windows are weighed when training draws them.",
            "ENMO takes calibration errors and sensor noise for movement, most where people are still. It differs "
            "between wrists, between filters and between ways to fill non-wear, so compare means of other cohorts only "
            "where they were made alike.",
        ),
    ]
