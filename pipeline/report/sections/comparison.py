"""Our figures beside a cohort's published ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.pages import html
from pipeline.pages.figures import CONTROL, INK
from pipeline.report.analysis.cohort import Float
from pipeline.report.analysis.comparison import Agreement, Comparison, crossed
from pipeline.report.analysis.published import FIELDS
from pipeline.report.sections.data import Findings
from pipeline.report.sections.disclosure import Disclosure, coarse, number
from pipeline.report.sections.drawing import cloud, level, picture, reach

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FEWEST_FOR_RELEASE, FEWEST_DRAWN_FOR_RELEASE = 10, 500
MEASURES = {"enmo_mg": ("ENMO", "mg"), "wear_days": ("wear", "days")}
FLAGS = {
    "good_calibration": ("calibrated", "good calibration"),
    "good_wear": ("worn 3 days or more", "good wear time"),
}


def comparison_section(found: Findings) -> list[str]:
    comparison, tell = found.comparison, found.tell
    assert comparison is not None
    measures = [name for name in MEASURES if name in comparison.theirs]
    flags = [name for name in FLAGS if name in comparison.theirs]
    rows = [
        ("people compared", tell.count(comparison.people)),
        ("in the published table only", tell.count(comparison.only_published)),
        ("in the store only", tell.count(comparison.only_stored)),
        ("in both, with several recordings [left out]", tell.count(comparison.repeated)),
    ]
    return [
        html.seen(
            "our figures of each person beside the published ones, for people with one accepted recording. Left: one "
            "against the other, equal on the line. Right: by how much they differ, with the mean difference and the "
            "limits between which 95% of differences would lie if they were normally distributed. Darker means more "
            "people."
        ),
        html.table(rows),
        *(part for name in measures for part in _measure(comparison, name, tell)),
        *(part for name in flags for part in _flag(comparison, name)),
        html.explained(
            "UK Biobank's values were made from the same files by another program (Doherty 2017). Its ENMO (field "
            "90012) is taken after that program's own filter, in 5-second epochs, after its own calibration, and the "
            "time not worn is filled with the mean of the same time of day; ours is over worn time only, from 30 Hz. "
            "Who takes the device off at night therefore has a higher ENMO here. Non-wear is 60 still minutes there "
            "and 90 here, so wear (field 90051) is rather longer here. Good calibration (90016) means under 10 mg of "
            "error left, with coefficients of the recording itself or of another of the same device; good wear time "
            "(90015) asks for 72 hours, and for wear in every hour of the day.",
            "A high correlation comes from people differing much, not from methods agreeing: look at the limits. "
            "People with several recordings are left out, because keyed ids do not tell which one a published value "
            "is about. Counts in the cross tables are rounded to 5, those under 5 hidden.",
        ),
    ]


def _measure(comparison: Comparison, name: str, tell: Disclosure) -> list[str]:
    """Picture and figures of one measure."""
    ours_M, theirs_M = comparison.ours[name], comparison.theirs[name]
    title, unit = MEASURES[name]
    agreement = Agreement.of(ours_M, theirs_M)
    heading = f"{title}, beside field {FIELDS[name]}"
    if agreement is None or (tell.for_release and agreement.n < FEWEST_FOR_RELEASE):
        return [html.paragraph(f"{heading}: too few people have both values.")]
    low, high = agreement.limits
    form = ",.2f"
    drawn = not tell.for_release or agreement.n >= FEWEST_DRAWN_FOR_RELEASE
    return [
        _draw(ours_M, theirs_M, agreement, title, unit, tell)
        if drawn
        else html.paragraph(f"{title}: too few people for a picture from which nobody can be told."),
        html.table(
            [
                [
                    heading,
                    tell.count(agreement.n),
                    number(agreement.r, ".3f"),
                    f"{agreement.bias:+{form}} {unit}",
                    f"{low:+{form}} to {high:+{form}} {unit}",
                ]
            ],
            ["", "people", "correlation", "mean difference (ours - theirs)", "limits of agreement"],
        ),
    ]


def _draw(ours_M: Float, theirs_M: Float, agreement: Agreement, title: str, unit: str, tell: Disclosure) -> str:
    both_M = np.isfinite(ours_M) & np.isfinite(theirs_M)
    ours_M, theirs_M = ours_M[both_M], theirs_M[both_M]
    mean_M, difference_M = (ours_M + theirs_M) / 2, ours_M - theirs_M

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        low, high = _window(np.concatenate([ours_M, theirs_M]))
        cloud(left, theirs_M, ours_M, tell, (low, high, low, high), f"published ({unit})")
        left.plot([low, high], [low, high], color=INK, linewidth=1)
        left.set_ylabel(f"ours ({unit})")
        left.set_title(f"{title}: ours against published")
        bottom, top = _window(difference_M, *agreement.limits)
        cloud(right, mean_M, difference_M, tell, (low, high, bottom, top), f"mean of both ({unit})")
        level(right, 0, "", CONTROL)
        level(right, agreement.bias, f"mean {agreement.bias:+.2f}")
        for value in agreement.limits:
            level(right, value, f"{value:+.2f}", dashed=True)
        right.set_ylabel(f"ours - published ({unit})")
        right.set_title(f"{title}: differences (Bland-Altman)")

    return picture(draw, 4.2, f"{title}: ours against published values, and their differences against their means")


def _window(values: Float, *shown: float) -> tuple[float, float]:
    """Where nearly all values lie, and all of `shown`, with a little room."""
    low, high = reach(values)
    low, high = min(low, *shown, high), max(high, *shown, low)
    room = 0.06 * (high - low) or 1.0
    return low - room, high + room


def _flag(comparison: Comparison, name: str) -> list[str]:
    """A 2 x 2 table of one flag."""
    ours, theirs = FLAGS[name]
    counts = crossed(comparison.ours[name], comparison.theirs[name])
    rows = [
        [f"ours: {answer}{ours}", *(coarse(int(count)) for count in row)]
        for answer, row in zip(("", "not "), counts, strict=True)
    ]
    head = ["", *(f"published: {answer}{theirs}" for answer in ("", "not "))]
    return [html.table(rows, [f"field {FIELDS[name]}", *head[1:]])]
