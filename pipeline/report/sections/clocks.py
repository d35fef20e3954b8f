"""Sample rates, and how steady the devices' clocks are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.pages import html
from pipeline.report.sections.data import ReportData
from pipeline.report.sections.drawing import Distribution, histogram, picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RATES_SHOWN = 12


def clocks_section(data: ReportData) -> list[str]:
    cohort, disclosure, figures = data.cohort, data.disclosure, data.cohort.figure
    nominal_N, rate_N = figures["nominal_rate_hz"], figures["rate_hz"]
    with np.errstate(invalid="ignore", divide="ignore"):
        off_N = 100 * (rate_N / nominal_N - 1)

    def draw(figure: Figure) -> None:
        left, middle, right = figure.subplots(1, 3)
        rate, drift = Distribution(off_N), Distribution(figures["rate_drift_ppm"])
        scatter = Distribution(figures["clock_residual_ms"])
        histogram(left, [rate], disclosure, "deviation from nominal (%)", title="Sample rate")
        histogram(middle, [drift], disclosure, "range of the rate (ppm)", title="Drift", log=True)
        histogram(right, [scatter], disclosure, "scatter of time stamps (ms)", title="Time stamps", log=True)

    nominal, count = np.unique(nominal_N[np.isfinite(nominal_N)], return_counts=True)
    rows = []
    for hz in nominal[np.argsort(-count, kind="stable")][:RATES_SHOWN]:
        members_N = nominal_N == hz
        share = disclosure.count_and_share(int(members_N.sum()), len(cohort.ids))
        rows.append([f"{hz:g} Hz", share, disclosure.median_and_range(rate_N[members_N], ",.2f")])
    return [
        html.shows(
            "How far the measured sample rate of each recording is from the nominal rate in its header (left), how "
            "much the rate varies within a recording (middle), and how far the device's time stamps scatter around the "
            "line fitted to them (right). The table gives medians, with the 5th and 95th percentiles below."
        ),
        picture(draw, 3.1, "Histograms of the sample rate, its drift, and the scatter of time stamps"),
        html.table(rows, ["nominal rate", "recordings", "measured rate (Hz)"]),
        html.explained(
            "Devices sample a few percent faster or slower than their nominal rate, depending on temperature. Ingest "
            "resamples to 30 Hz from the measured rate. Two peaks in the sample rate usually mean two makes or batches "
            "of devices.",
            "Nothing in a signal shows whether the device's clock was set correctly. Old firmware rounds time stamps "
            "to whole seconds, which alone causes about 20 ms of scatter and most of the drift of such a recording.",
        ),
    ]
