"""A recording's days, one below the other: how much moved in every minute, and below it what was known of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ingest.inspect.recording import Day, Inspected
from pipeline.inspect.day import by_minute
from pipeline.pictures import OURS, STATE_COLOURS, new_figure, style
from pipeline.states import BAD, CLIPPED, GAP, IDLE, MEASURED, NAMES, NONWEAR

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW_IN, AROUND_IN = 1.0, 1.7
BANDS = ((MEASURED, IDLE, GAP), (NONWEAR,), (CLIPPED,), (BAD,))
"""States by the band in which they stand; in one band they exclude each other, and are stacked."""
BAND, SPACE = 0.12, 0.03
"""Of the height of a day's motion."""
SHOWN_QUANTILE = 0.999
"""Rarer motion goes beyond the picture's edge."""


def draw_recording(found: Inspected, title: str) -> Figure:
    """A row a day: mean motion of each minute in mg; below it states, as high as their share of the minute."""
    minutes_D = [1000 * by_minute(day.motion_S) for day in found.days]
    measured = np.concatenate([minutes[np.isfinite(minutes)] for minutes in minutes_D])
    most = max(float(np.quantile(measured, SHOWN_QUANTILE)), 1.0) if measured.size else 1.0
    with style():
        figure = new_figure(AROUND_IN + ROW_IN * max(1, len(found.days)))
        rows: Any = figure.subplots(max(1, len(found.days)), 1, sharex=True, squeeze=False)
        for axes, day, minutes in zip(rows[:, 0], found.days, minutes_D, strict=True):
            _draw_day(axes, day, minutes, most)
        figure.suptitle(title, x=0.01, ha="left", fontsize=11)
        last = rows[-1, 0]
        last.set_xlim(0, 24)
        last.set_xticks(range(0, 25, 3), [f"{hour}:00" for hour in range(0, 25, 3)])
        last.set_xlabel("clock of the device")
        figure.supylabel("motion, mean of each minute (mg)", fontsize=10)
        _draw_legend(figure)
    return figure


def _draw_day(axes: Axes, day: Day, minutes: Any, most: float) -> None:
    hours = np.arange(minutes.size + 1) / 60
    axes.stairs(np.nan_to_num(np.minimum(minutes, most)), hours, fill=True, color=OURS, linewidth=0)
    for band, bits in enumerate(BANDS):
        bottom_M = np.full(minutes.size, -most * (band + 1) * (BAND + SPACE))
        for bit in bits:
            top_M = bottom_M + most * BAND * ((day.state_S & bit) != 0).reshape(-1, 60).mean(axis=1)
            axes.stairs(top_M, hours, baseline=bottom_M, fill=True, color=STATE_COLOURS[bit], linewidth=0)
            bottom_M = top_M
    axes.set_ylim(-most * (len(BANDS) * (BAND + SPACE) + SPACE), most * 1.05)
    axes.set_yticks([0, most], ["0", f"{most:.0f}"])
    axes.grid(axis="y", visible=False)
    worn = day.figures["wear_seconds"] / 3600
    axes.set_title(f"{day.date}   worn {worn:.1f} h", fontsize=9, pad=2)


def _draw_legend(figure: Figure) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(color=STATE_COLOURS[bit], label=NAMES[bit]) for bits in BANDS for bit in bits]
    figure.legend(handles=handles, ncols=len(handles), loc="outside lower left", fontsize=9)
