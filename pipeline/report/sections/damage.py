"""What is missing or damaged: states of all seconds, gaps, clipping, blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.pages import html
from pipeline.report.sections.data import Findings
from pipeline.report.sections.drawing import Part, histogram, picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STATES = {
    "measured": "measured_seconds",
    "idle sleep [the device stored nothing because nothing moved]": "idle_seconds",
    "gap [inside a recording, and neither]": "gap_seconds",
    "clipped [a sample on the device's rail]": "clipped_seconds",
    "non-wear [still for over 90 minutes]": "nonwear_seconds",
    "bad [never drawn for training]": "bad_seconds",
    "worn [measured or idle, not non-wear]": "wear_seconds",
    "may be drawn [measured, worn, not bad]": "eligible_seconds",
}
FAULTS = {
    "gaps": ("gaps", ",.0f"),
    "time lost in gaps (s)": ("gap_total_s", ",.1f"),
    "samples on the rail [clipped]": ("clipped_ticks", ",.0f"),
    "impossible values": ("impossible_samples", ",.0f"),
    "damaged blocks [left out]": ("damaged_blocks", ",.0f"),
    "blocks told twice [left out]": ("duplicate_blocks", ",.0f"),
    "blocks that run backwards [left out]": ("backward_blocks", ",.0f"),
    "stamps that the others contradict [not used]": ("mended_stamps", ",.0f"),
}


def damage_section(found: Findings) -> list[str]:
    cohort, tell, figure = found.cohort, found.tell, found.cohort.figure
    hours = {state: float(np.nansum(cohort.day[column])) / 3600 for state, column in STATES.items()}
    recorded = hours["measured"] + sum(hours[state] for state in list(STATES)[1:3])
    states = [
        [state, f"{value:,.1f}", f"{value / recorded:.2%}" if recorded else "-"] for state, value in hours.items()
    ]
    faults = []
    for what, (name, form) in FAULTS.items():
        any_of_it = figure[name] > 0
        faults.append(
            [what, tell.of(int(any_of_it.sum()), len(cohort.ids)), tell.typical(figure[name][any_of_it], form)]
        )

    def draw(drawn: Figure) -> None:
        gap, clipped, damaged = drawn.subplots(1, 3)
        clipped_N = cohort.sum_of(cohort.day["clipped_seconds"])
        histogram(gap, [Part(_some(figure["gap_total_s"]))], tell, "lost in gaps (s)", title="Gaps", log=True)
        histogram(clipped, [Part(_some(clipped_N))], tell, "clipped seconds", title="Clipping", log=True)
        histogram(damaged, [Part(_some(figure["damaged_blocks"]))], tell, "damaged blocks", title="Damage", log=True)

    return [
        html.seen(
            "how much time is in each state over all person-days, and how often each kind of damage occurs; the "
            "pictures show the recordings that have any of it."
        ),
        picture(draw, 3.1, "Histograms of time lost in gaps, clipped seconds and damaged blocks"),
        html.table(states, ["seconds that are", "hours", "of recorded time"]),
        html.table(faults, ["damage", "recordings with any", "median of those"]),
        html.explained(
            "Nothing is mended by guessing: damaged blocks are left out, gaps stay gaps, and seconds at their edges "
            "are bad, so no window that is drawn crosses them. Clipped seconds are kept and flagged; only half a "
            "second on the rail makes a second bad.",
            "A state's hours may overlap (a clipped second is also measured). A device that recorded nothing for hours "
            "and noted it as idle sleep shows no gap. Recordings that were damaged as a whole are not here: they are "
            "among the rejected.",
        ),
    ]


def _some(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return values[values > 0]
