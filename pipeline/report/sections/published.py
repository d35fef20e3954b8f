"""The store's values compared with the published values of the same participants."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.pages import html
from pipeline.pages.figures import CONTROL, INK
from pipeline.report.analysis.cohort import Float
from pipeline.report.analysis.comparison import Agreement, Comparison, cross_table
from pipeline.report.analysis.published import FIELDS
from pipeline.report.sections.data import ReportData
from pipeline.report.sections.disclosure import Disclosure, as_text, coarse
from pipeline.report.sections.drawing import axis_limits, horizontal_line, picture, scatter

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MIN_PAIRS_FOR_RELEASE, MIN_PAIRS_DRAWN_FOR_RELEASE = 10, 500
MARGIN = 0.06
"""Room around the values of a plot, as a share of their range."""
MEASURES = {"enmo_mg": ("ENMO", "mg"), "wear_days": ("wear", "days")}
FLAGS = {
    "good_calibration": ("calibrated", "good calibration"),
    "good_wear": ("worn for 3 days or more", "good wear time"),
}


def published_section(data: ReportData) -> list[str]:
    comparison, disclosure = data.comparison, data.disclosure
    assert comparison is not None
    rows = [
        ("participants compared", disclosure.count(comparison.participants)),
        ("only in the published table", disclosure.count(comparison.only_published)),
        ("only in the store", disclosure.count(comparison.only_stored)),
        ("in both, with several recordings [left out]", disclosure.count(comparison.repeated)),
    ]
    return [
        html.shows(
            "The store's values and the published values of participants who have one accepted recording. Left: one "
            "against the other; values on the line are equal. Right: their difference against their mean, with the "
            "mean difference (solid) and the 95% limits of agreement (dashed), between which 95% of normally "
            "distributed differences lie. A darker area holds more participants."
        ),
        html.table(rows),
        *(piece for name in MEASURES if name in comparison.theirs for piece in _measure(comparison, name, disclosure)),
        *(_flag(comparison, name) for name in FLAGS if name in comparison.theirs),
        html.explained(
            "UK Biobank's values come from the same files, but from another program (Doherty 2017). Its ENMO (field "
            "90012) is computed with that program's own filter and calibration, in epochs of 5 seconds, and replaces "
            "time not worn by the mean of the same time on other days. Ours covers worn time only, at 30 Hz, so it is "
            "higher for participants who take the device off at night. Non-wear is 60 still minutes there and 90 here, "
            "so our wear (field 90051) is slightly longer. Good calibration (90016) there means an error under 10 mg, "
            "with coefficients of the recording itself or of another recording of the device; good wear time (90015) "
            "means 72 hours of wear, and wear in every hour of the day.",
            "A high correlation shows that participants differ, not that the methods agree: judge by the limits of "
            "agreement. Participants with several recordings are left out, because keyed ids do not show which one was "
            "published. Counts in the two-by-two tables are rounded to 5, and counts under 5 are hidden.",
        ),
    ]


def _measure(comparison: Comparison, name: str, disclosure: Disclosure) -> list[str]:
    """The picture and the agreement of one measure."""
    ours_M, theirs_M = comparison.ours[name], comparison.theirs[name]
    title, unit = MEASURES[name]
    agreement = Agreement.of(ours_M, theirs_M)
    heading = f"{title}, and field {FIELDS[name]}"
    if agreement is None or (disclosure.for_release and agreement.n < MIN_PAIRS_FOR_RELEASE):
        return [html.paragraph(f"{heading}: too few participants have both values.")]
    low, high = agreement.limits
    row = [
        heading,
        disclosure.count(agreement.n),
        as_text(agreement.r, ".3f"),
        f"{agreement.bias:+,.2f} {unit}",
        f"{low:+,.2f} to {high:+,.2f} {unit}",
    ]
    head = ["", "participants", "correlation", "mean difference (ours - published)", "limits of agreement"]
    if disclosure.for_release and agreement.n < MIN_PAIRS_DRAWN_FOR_RELEASE:
        drawn = html.paragraph(f"{title}: too few participants for a picture that identifies nobody.")
    else:
        drawn = _draw(ours_M, theirs_M, agreement, title, unit, disclosure)
    return [drawn, html.table([row], head)]


def _draw(ours_M: Float, theirs_M: Float, agreement: Agreement, title: str, unit: str, disclosure: Disclosure) -> str:
    """Draw ours against published, and a Bland-Altman plot."""
    both_M = np.isfinite(ours_M) & np.isfinite(theirs_M)
    ours_M, theirs_M = ours_M[both_M], theirs_M[both_M]
    mean_M, difference_M = (ours_M + theirs_M) / 2, ours_M - theirs_M

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        low, high = _window(np.concatenate([ours_M, theirs_M]))
        scatter(left, theirs_M, ours_M, disclosure, (low, high, low, high), f"published ({unit})")
        left.plot([low, high], [low, high], color=INK, linewidth=1)
        left.set_ylabel(f"ours ({unit})")
        left.set_title(f"{title}: ours against published")
        bottom, top = _window(difference_M, *agreement.limits)
        scatter(right, mean_M, difference_M, disclosure, (low, high, bottom, top), f"mean of both ({unit})")
        horizontal_line(right, 0, "", CONTROL)
        horizontal_line(right, agreement.bias, f"mean {agreement.bias:+.2f}")
        for value in agreement.limits:
            horizontal_line(right, value, f"{value:+.2f}", dashed=True)
        right.set_ylabel(f"ours - published ({unit})")
        right.set_title(f"{title}: differences (Bland-Altman)")

    return picture(draw, 4.2, f"{title}: ours against published values, and their differences against their means")


def _window(values: Float, *shown: float) -> tuple[float, float]:
    """Return the limits of an axis that holds nearly all values and all of `shown`."""
    low, high = axis_limits(values)
    low, high = min(low, *shown, high), max(high, *shown, low)
    room = MARGIN * (high - low) or 1.0
    return low - room, high + room


def _flag(comparison: Comparison, name: str) -> str:
    """The two-by-two table of a flag."""
    ours, theirs = FLAGS[name]
    counts = cross_table(comparison.ours[name], comparison.theirs[name])
    rows = [
        [f"ours: {answer}{ours}", *(coarse(int(count)) for count in row)]
        for answer, row in zip(("", "not "), counts, strict=True)
    ]
    return html.table(rows, [f"field {FIELDS[name]}", *(f"published: {answer}{theirs}" for answer in ("", "not "))])
