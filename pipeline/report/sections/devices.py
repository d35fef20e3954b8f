"""Devices, and where on the body they were worn."""

from __future__ import annotations

import numpy as np

from pipeline.pages import html
from pipeline.report.analysis.cohort import Category
from pipeline.report.sections.data import Findings
from pipeline.report.sections.disclosure import LEAST, coarse, number

SHOWN = 12
OTHERS = "others"


def devices_section(found: Findings) -> list[str]:
    cohort, tell = found.cohort, found.tell
    each_S = np.bincount(cohort.serial_N)
    several = int((each_S > 1).sum())
    return [
        html.seen(
            "which devices were used and where they were worn, each with the middle of its recordings' figures; last, "
            "how often the two go together."
        ),
        _table(found, cohort.device, "device"),
        _table(found, cohort.location, "worn at"),
        html.paragraph(
            f"By their serial numbers these are {tell.count(each_S.size)} devices, {tell.count(several)} of which made "
            "more than one recording."
        ),
        *_crossed(found),
        html.explained(
            "Devices differ in range, noise and rate, and wrists in how much they move. What differs between the rows "
            "here may therefore be the devices and not the people.",
            "Location is what somebody typed or a default, and often wrong or not given. Counts in the cross table are "
            f"rounded to {LEAST}, and those under {LEAST} hidden, because a cell of few describes them.",
        ),
    ]


def _table(found: Findings, category: Category, what: str) -> str:
    """A row a value: recordings, own calibration, and medians of rate, wear and ENMO."""
    cohort, tell = found.cohort, found.tell
    own_N, wear_N, enmo_N = cohort.outcome.where("own"), cohort.wear_days_N, cohort.enmo_mg_N
    rows = []
    counts = category.counts
    for name, count in list(counts.items())[:SHOWN]:
        if tell.for_release and count < LEAST:
            continue
        of_it = category.where(name)
        rows.append(
            [
                name,
                tell.of(count, len(cohort.ids)),
                tell.share(int(own_N[of_it].sum()), count),
                *(
                    number(tell.quantile(values[of_it], 0.5), form)
                    for values, form in ((cohort.figure["rate_hz"], ",.2f"), (wear_N, ",.1f"), (enmo_N, ",.1f"))
                ),
            ]
        )
    left = len(counts) - len(rows)
    if left:
        few = sum(list(counts.values())[len(rows) :])
        rows.append([f"{left:,} {OTHERS}", tell.of(few, len(cohort.ids)), *[""] * 4])
    return html.table(rows, [what, "recordings", "own calibration", "rate (Hz)", "days worn", "ENMO (mg)"])


def _crossed(found: Findings) -> list[str]:
    """Device by location, where there are several of both; counts are coarse on every page."""
    device, location = found.cohort.device, found.cohort.location
    if min(len(device.names), len(location.names)) < 2:
        return []
    rows_, columns = list(device.counts)[:SHOWN], list(location.counts)[:SHOWN]
    rows = [
        [row, *(coarse(int((device.where(row) & location.where(column)).sum())) for column in columns)] for row in rows_
    ]
    return [html.table(rows, ["device \\ worn at", *columns])]
