"""A recording's days, one below the other: the motion of every minute, and below it the states of its seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ingest.inspect.recording import Day, Inspected
from pipeline.grid import SECONDS_PER_DAY
from pipeline.inspect.day import mean_of_each
from pipeline.pages.figures import OURS, STATE_COLOURS, new_figure, style
from pipeline.store.states import BAD, CLIPPED, GAP, IDLE, MEASURED, NAMES, NONWEAR

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Float = NDArray[Any]

ROW_IN, AROUND_IN = 1.0, 1.7
BANDS = ((MEASURED, IDLE, GAP), (NONWEAR,), (CLIPPED,), (BAD,))
"""The states shown in each band; those of one band exclude each other and are stacked."""
BAND, SPACE = 0.12, 0.03
"""Shares of the height of a day's motion."""
SHOWN_QUANTILE = 0.999
"""Larger motion is cut off."""
BINS_S, MAX_BINS = (1, 10, 60), 1440
TICKS_S, MAX_TICKS = (60, 120, 300, 600, 900, 1800, 3600, 10_800), 9


def draw_recording(found: Inspected, title: str) -> Figure:
    """One row per day: mean motion of each minute in mg, and below it states, as high as their share of the minute.

    A short recording within one day is drawn alone, in shorter steps.
    """
    first, last = _shown(found.days)
    step = next(step for step in BINS_S if (last - first) / step <= MAX_BINS)
    motion_D = [1000 * mean_of_each(step, day.motion_S[first:last]) for day in found.days]
    measured = np.concatenate([motion_B[np.isfinite(motion_B)] for motion_B in motion_D])
    most = max(float(np.quantile(measured, SHOWN_QUANTILE)), 1.0) if measured.size else 1.0
    ticks_s = next(step for step in TICKS_S if (last - first) / step < MAX_TICKS)
    with style():
        figure = new_figure(AROUND_IN + ROW_IN * max(1, len(found.days)))
        rows: Any = figure.subplots(max(1, len(found.days)), 1, sharex=True, squeeze=False)
        edges_h = np.arange(first, last + 1, step) / 3600
        for axes, day, motion_B in zip(rows[:, 0], found.days, motion_D, strict=True):
            share = {bit: share_of_each(step, (day.state_S[first:last] & bit) != 0) for bits in BANDS for bit in bits}
            _draw_day(axes, day, edges_h, motion_B, share, most)
        figure.suptitle(title, x=0.01, ha="left", fontsize=11)
        bottom = rows[-1, 0]
        bottom.set_xlim(first / 3600, last / 3600)
        ticks = range(first, last + 1, ticks_s)
        bottom.set_xticks([tick / 3600 for tick in ticks], [f"{tick // 3600}:{tick // 60 % 60:02d}" for tick in ticks])
        clock = "clock of the device" if found.figures.shift_hours is None else "local time"
        bottom.set_xlabel(f"{clock}; motion is the mean of {'a minute' if step == 60 else f'{step} s'}")
        figure.supylabel("motion (mg)", fontsize=10)
        _draw_legend(figure)
    return figure


def _shown(days: list[Day]) -> tuple[int, int]:
    """First and last second of the day to draw: all of it, or of a single day the part with data, to full ticks."""
    touched = np.flatnonzero(days[0].state_S) if len(days) == 1 else np.empty(0)
    if not touched.size:
        return 0, SECONDS_PER_DAY
    begin, end = int(touched[0]), int(touched[-1]) + 1
    step = next(step for step in TICKS_S if (end - begin) / step < MAX_TICKS - 2)
    return begin // step * step, min(-(-end // step) * step, SECONDS_PER_DAY)


def _draw_day(axes: Axes, day: Day, edges_h: Float, motion_B: Float, share: dict[int, Float], most: float) -> None:
    axes.stairs(np.nan_to_num(np.minimum(motion_B, most)), edges_h, fill=True, color=OURS, linewidth=0)
    for band, bits in enumerate(BANDS):
        bottom_B = np.full(motion_B.size, -most * (band + 1) * (BAND + SPACE))
        for bit in bits:
            top_B = bottom_B + most * BAND * share[bit]
            axes.stairs(top_B, edges_h, baseline=bottom_B, fill=True, color=STATE_COLOURS[bit], linewidth=0)
            bottom_B = top_B
    axes.set_ylim(-most * (len(BANDS) * (BAND + SPACE) + SPACE), most * 1.05)
    axes.set_yticks([0, most], ["0", f"{most:.0f}"])
    axes.grid(axis="y", visible=False)
    worn_h = day.figures["wear_seconds"] / 3600
    worn = f"{worn_h:.1f} h" if worn_h >= 1 else f"{worn_h * 60:.0f} min"
    axes.set_title(f"{day.date}   worn {worn}", fontsize=9, pad=2)


def share_of_each(step: int, flag_S: NDArray[np.bool_]) -> Float:
    """Share of each `step` seconds in which a flag is set."""
    return flag_S.reshape(-1, step).mean(axis=1)


def _draw_legend(figure: Figure) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(color=STATE_COLOURS[bit], label=NAMES[bit]) for bits in BANDS for bit in bits]
    figure.legend(handles=handles, ncols=len(handles), loc="outside lower left", fontsize=9)
