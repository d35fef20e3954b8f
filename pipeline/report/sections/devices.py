"""Which devices were used, and where on the body they were worn."""

from __future__ import annotations

import numpy as np

from pipeline.pages import html
from pipeline.report.analysis.cohort import Categorical
from pipeline.report.sections.data import ReportData
from pipeline.report.sections.disclosure import MIN_GROUP, as_text, coarse

ROWS_SHOWN = 12


def devices_section(data: ReportData) -> list[str]:
    cohort, disclosure = data.cohort, data.disclosure
    recordings_S = np.bincount(cohort.serial_N)
    several = int((recordings_S > 1).sum())
    return [
        html.shows(
            "The recordings of each device model and of each place on the body, with the medians of their sample rate, "
            "wear time and ENMO; then how often each device was worn at each place."
        ),
        _table(data, cohort.device, "device"),
        _table(data, cohort.location, "worn on"),
        html.paragraph(
            f"By serial number these are {disclosure.count(recordings_S.size)} devices, of which "
            f"{disclosure.count(several)} made several recordings."
        ),
        *_cross_table(data),
        html.explained(
            "Devices differ in range, noise and sample rate, and the dominant wrist moves more than the other. A "
            "difference between two rows may therefore come from the devices rather than the participants.",
            "The place is what somebody typed, or a default: it is often wrong or missing. Counts in the last table "
            f"are rounded to {MIN_GROUP}, and counts under {MIN_GROUP} are hidden, because a small cell describes its "
            "members.",
        ),
    ]


def _table(data: ReportData, property_: Categorical, title: str) -> str:
    """A row for each value: recordings, share with own calibration, and medians of rate, wear and ENMO."""
    cohort, disclosure = data.cohort, data.disclosure
    own_N, wear_N, enmo_N = cohort.calibration.where("own"), cohort.wear_days_N, cohort.enmo_mg_N
    medians = ((cohort.figure["rate_hz"], ",.2f"), (wear_N, ",.1f"), (enmo_N, ",.1f"))
    rows, counts = [], property_.counts
    for name, count in list(counts.items())[:ROWS_SHOWN]:
        if disclosure.for_release and count < MIN_GROUP:
            continue
        members_N = property_.where(name)
        rows.append(
            [
                name,
                disclosure.count_and_share(count, len(cohort.ids)),
                disclosure.share(int(own_N[members_N].sum()), count),
                *(as_text(disclosure.quantile(values_N[members_N], 0.5), form) for values_N, form in medians),
            ]
        )
    others = list(counts.values())[len(rows) :]
    if others:
        rows.append([f"{len(others):,} others", disclosure.count_and_share(sum(others), len(cohort.ids)), *[""] * 4])
    return html.table(rows, [title, "recordings", "own calibration", "rate (Hz)", "days worn", "ENMO (mg)"])


def _cross_table(data: ReportData) -> list[str]:
    """Devices by place, if there are several of both; every page hides and rounds these counts."""
    device, location = data.cohort.device, data.cohort.location
    if min(len(device.names), len(location.names)) < 2:
        return []
    devices, locations = list(device.counts)[:ROWS_SHOWN], list(location.counts)[:ROWS_SHOWN]
    rows = [
        [name, *(coarse(int((device.where(name) & location.where(place)).sum())) for place in locations)]
        for name in devices
    ]
    return [html.table(rows, ["device \\ worn on", *locations])]
