"""What is missing or damaged: the states of all seconds, gaps, clipping and damaged blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.pages import html
from pipeline.report.analysis.cohort import Float
from pipeline.report.sections.data import ReportData
from pipeline.report.sections.drawing import Distribution, histogram, picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STATES = {
    "measured": "measured_seconds",
    "idle sleep [not stored, because the device saw no movement]": "idle_seconds",
    "gap [inside a recording, neither measured nor idle]": "gap_seconds",
    "clipped [a sample at the limit of the device's range]": "clipped_seconds",
    "non-wear [part of more than 90 still minutes]": "nonwear_seconds",
    "bad [never drawn for training]": "bad_seconds",
    "worn [measured or idle, and not non-wear]": "wear_seconds",
    "eligible for training [measured, worn and not bad]": "eligible_seconds",
}
RECORDED = ("measured_seconds", "idle_seconds", "gap_seconds")
FAULTS = {
    "gaps": ("gaps", ",.0f"),
    "time lost in gaps (s)": ("gap_total_s", ",.1f"),
    "clipped samples": ("clipped_ticks", ",.0f"),
    "impossible values": ("impossible_samples", ",.0f"),
    "damaged blocks [dropped]": ("damaged_blocks", ",.0f"),
    "duplicate blocks [dropped]": ("duplicate_blocks", ",.0f"),
    "blocks out of order [dropped]": ("backward_blocks", ",.0f"),
    "time stamps that contradict the others [ignored]": ("mended_stamps", ",.0f"),
}


def damage_section(data: ReportData) -> list[str]:
    cohort, disclosure, figures = data.cohort, data.disclosure, data.cohort.figure
    hours = {column: float(np.nansum(cohort.day[column])) / 3600 for column in STATES.values()}
    recorded = sum(hours[column] for column in RECORDED)
    states = [
        [state, f"{hours[column]:,.1f}", f"{hours[column] / recorded:.2%}" if recorded else "-"]
        for state, column in STATES.items()
    ]
    faults = []
    for fault, (name, form) in FAULTS.items():
        affected = _positive(figures[name])
        share = disclosure.count_and_share(affected.size, len(cohort.ids))
        faults.append([fault, share, disclosure.median_and_range(affected, form)])

    def draw(figure: Figure) -> None:
        left, middle, right = figure.subplots(1, 3)
        values = (
            figures["gap_total_s"],
            cohort.sum_by_recording(cohort.day["clipped_seconds"]),
            figures["damaged_blocks"],
        )
        gaps, clipped, damaged = (Distribution(_positive(value_N)) for value_N in values)
        histogram(left, [gaps], disclosure, "time lost in gaps (s)", title="Gaps", log=True)
        histogram(middle, [clipped], disclosure, "clipped seconds", title="Clipping", log=True)
        histogram(right, [damaged], disclosure, "damaged blocks", title="Damage", log=True)

    return [
        html.shows(
            "The time lost in gaps, the clipped seconds and the damaged blocks of the recordings that have any. The "
            "first table adds up the hours in each state over all person-days. The second counts the recordings with "
            "each fault; its last column gives the median of these, with the 5th and 95th percentiles below."
        ),
        picture(draw, 3.1, "Histograms of time lost in gaps, clipped seconds and damaged blocks per recording"),
        html.table(states, ["state of a second", "hours", "of recorded time"]),
        html.table(faults, ["fault", "recordings affected", "amount in these"]),
        html.explained(
            "Ingest does not fill in anything: damaged blocks are dropped and gaps stay gaps. Seconds next to a gap "
            "are bad, so no window for training spans a gap. Clipped seconds are kept and flagged; a second is bad "
            "when half of it or more is clipped.",
            "States overlap: a clipped second is also measured. A device that loses data and records it as idle "
            "sleep shows no gap. Recordings that cannot be read at all are among the rejected ones.",
        ),
    ]


def _positive(values: Float) -> Float:
    return values[values > 0]
