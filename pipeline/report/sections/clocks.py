"""Sample rates, and how steady the devices' clocks are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.pages import html
from pipeline.report.sections.data import Findings
from pipeline.report.sections.drawing import Part, histogram, picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RATES_SHOWN = 12


def clocks_section(found: Findings) -> list[str]:
    cohort, tell, figure = found.cohort, found.tell, found.cohort.figure
    nominal_N, rate_N = figure["nominal_rate_hz"], figure["rate_hz"]
    with np.errstate(invalid="ignore", divide="ignore"):
        off_N = 100 * (rate_N / nominal_N - 1)

    def draw(drawn: Figure) -> None:
        rate, drift, residual = drawn.subplots(1, 3)
        histogram(rate, [Part(off_N)], tell, "true rate off nominal (%)", title="Sample rate")
        histogram(
            drift, [Part(figure["rate_drift_ppm"])], tell, "spread of the rate (ppm)", title="Drift within", log=True
        )
        histogram(
            residual, [Part(figure["clock_residual_ms"])], tell, "scatter of the stamps (ms)", title="Clock", log=True
        )

    nominal, count = np.unique(nominal_N[np.isfinite(nominal_N)], return_counts=True)
    rows = []
    for hz in nominal[np.argsort(-count, kind="stable")][:RATES_SHOWN]:
        of_it = nominal_N == hz
        rows.append([f"{hz:g} Hz", tell.of(int(of_it.sum()), len(cohort.ids)), tell.typical(rate_N[of_it], ",.2f")])
    return [
        html.seen(
            "how far the true sample rate lies from the one in the header, how much it wanders within a recording, and "
            "how the device's time stamps scatter about the line fitted to them. Brackets hold where nine of ten lie."
        ),
        picture(draw, 3.1, "Histograms of sample rate against nominal, drift of the rate, and scatter of time stamps"),
        html.table(rows, ["rate in the header", "recordings", "true rate (Hz)"]),
        html.explained(
            "Devices sample a few percent off their nominal rate, and the rate follows temperature. The true one is "
            "used to come to 30 Hz, so the store's seconds are the device's seconds. Two humps in the rate are two "
            "makes or two batches of devices.",
            "All times are the device's own: whether its clock was set right nobody can tell from the signal. Old "
            "firmware stamps whole seconds, which scatter by some 20 ms without any fault, and most of such a "
            "recording's drift is that scatter.",
        ),
    ]
