"""A picture of a person-day: the three axes, motion, ENMO and the states of its seconds over the device's clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.grid import AXES, FILL, SECONDS_PER_DAY, TICKS_PER_SECOND
from pipeline.numerics.enmo import enmo
from pipeline.pages.figures import AXIS_COLOURS, CONTROL, INK, OURS, STATE_COLOURS, new_figure, style
from pipeline.store.person_day import PersonDay
from pipeline.store.states import MEASURED, NAMES, eligible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Float = NDArray[np.float32]

BIN_S = 15
"""Seconds per column of the overview: about one pixel of the picture."""
CLOSE_UP_S = 10


def envelope(signal_CT: NDArray[np.int16], counts_per_g: float, seconds: int = BIN_S) -> tuple[Float, Float]:
    """Return the lowest and highest value of each axis in each interval of `seconds`, in g.

    Two float32 arrays of shape (3, T / (30 seconds)), of measured ticks only; NaN where none is measured.
    """
    x_CBt = signal_CT.reshape(AXES, -1, seconds * TICKS_PER_SECOND)
    measured_CBt = x_CBt != FILL
    low_CB = np.where(measured_CBt, x_CBt, np.iinfo(np.int16).max).min(2)
    high_CB = x_CBt.max(2)
    empty_CB = ~measured_CBt.any(2)
    low, high = (np.where(empty_CB, np.nan, values_CB / counts_per_g) for values_CB in (low_CB, high_CB))
    return low.astype(np.float32), high.astype(np.float32)


def runs(flag_S: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the first second and the length of every run of a flag."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flag_S, [False])).astype(np.int8)))
    return [(int(first), int(stop - first)) for first, stop in edges.reshape(-1, 2)]


def by_minute(values_S: Float) -> Float:
    """Return the mean of each minute over its seconds with a value; NaN where there are none."""
    return mean_of_each(60, values_S)


def mean_of_each(step: int, values_S: Float) -> Float:
    """Return the mean of each `step` seconds over those with a value; NaN where there are none."""
    values_Bs = values_S.reshape(-1, step)
    counts_B = np.isfinite(values_Bs).sum(1)
    sums_B = np.nansum(values_Bs, 1, dtype=np.float64)
    return np.where(counts_B > 0, sums_B / np.maximum(counts_B, 1), np.nan).astype(np.float32)


def busiest(motion_S: Float, state_S: NDArray[np.uint8], seconds: int = CLOSE_UP_S) -> int | None:
    """Return the first second of the eligible interval of `seconds` with the most motion; None if there is none."""
    mask_S = eligible(state_S)
    motion = np.convolve(np.where(mask_S, motion_S, 0), np.ones(seconds), "valid")
    complete = np.convolve(mask_S, np.ones(seconds), "valid") > seconds - 0.5
    return int(np.argmax(np.where(complete, motion, -1))) if complete.any() else None


def draw_day(day: PersonDay, facts: dict[str, Any], counts_per_g: float) -> Figure:
    """Draw a person-day; `facts` come from `pipeline.inspect.totals.describe_day`."""
    with style():
        figure = new_figure(10.2)
        parts: Any = figure.subfigures(2, 1, height_ratios=(8.2, 2.2))
        overview, close_up = parts
        panels = overview.subplots(6, 1, sharex=True, height_ratios=(1, 1, 1, 1.5, 1.2, 1.7))
        where = ", ".join(str(value) for value in (facts["device"], facts["location"]) if value)
        panels[0].set_title(
            f"Day {(facts['day_index'] or 0) + 1} of recording {facts['recording']}"
            f"{f' ({where})' if where else ''}, slot {facts['slot']}\n"
            f"worn for {facts['wear_hours']:.1f} h, eligible for training for {facts['eligible_hours']:.1f} h"
        )
        _draw_axes(panels[:3], day, counts_per_g)
        _draw_motion(panels[3], day)
        _draw_enmo(panels[4], day, counts_per_g)
        _draw_states(panels[5], day.state_S)
        panels[5].set_xlim(0, 24)
        panels[5].set_xticks(range(0, 25, 3), [f"{hour}:00" for hour in range(0, 25, 3)])
        panels[5].set_xlabel("time of day (device clock)")
        _draw_close_up(close_up.subplots(), day, counts_per_g)
    return figure


def _draw_axes(panels: Any, day: PersonDay, counts_per_g: float) -> None:
    low_CB, high_CB = envelope(day.signal_CT, counts_per_g)
    hours = (np.arange(low_CB.shape[1]) + 0.5) * BIN_S / 3600
    widest = np.nanmax(np.abs([low_CB, high_CB])) if np.isfinite(low_CB).any() else 1.0
    for axes, (name, colour), low, high in zip(panels, AXIS_COLOURS.items(), low_CB, high_CB, strict=True):
        axes.fill_between(hours, low, high, color=colour, linewidth=0.4, edgecolor=colour)
        axes.set_ylim(-1.05 * widest, 1.05 * widest)
        axes.set_ylabel(f"{name} (g)")


def _draw_motion(axes: Axes, day: PersonDay) -> None:
    """Draw every second as a dot, and the mean of each minute as a line."""
    shown_S = np.where(day.motion_S > 0, day.motion_S, np.nan)
    axes.plot(np.arange(SECONDS_PER_DAY) / 3600, shown_S, ",", color=CONTROL, alpha=0.4, rasterized=True)
    minutes = by_minute(day.motion_S)
    hours = (np.arange(minutes.size) + 0.5) / 60
    axes.plot(hours, np.where(minutes > 0, minutes, np.nan), color=OURS, linewidth=0.9)
    axes.set_yscale("log")
    axes.set_ylabel("motion (g)")
    axes.annotate(
        "dots: seconds; line: mean of each minute", (0.005, 0.93), xycoords="axes fraction", fontsize=8, va="top"
    )


def _draw_enmo(axes: Axes, day: PersonDay, counts_per_g: float) -> None:
    minutes = 1000 * by_minute(np.where(day.state_S & MEASURED, enmo(day.signal_CT, counts_per_g), np.nan))
    hours = (np.arange(minutes.size) + 0.5) / 60
    axes.fill_between(hours, 0, np.nan_to_num(minutes), step="mid", color=OURS, linewidth=0)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("ENMO (mg)")


def _draw_states(axes: Axes, state_S: NDArray[np.uint8]) -> None:
    """Draw a row for each state, with its total time on the right; short runs are drawn at least a pixel wide."""
    for row, bit in enumerate(NAMES):
        flag_S = (state_S & bit) != 0
        spans = [(first / 3600, length / 3600) for first, length in runs(flag_S)]
        colour = STATE_COLOURS[bit]
        axes.broken_barh(spans, (row - 0.36, 0.72), facecolors=colour, edgecolors=colour, linewidth=0.7)
        axes.annotate(
            _duration(int(flag_S.sum())),
            (1.01, row),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=9,
            color=INK,
        )
    axes.set_yticks(range(len(NAMES)), list(NAMES.values()))
    axes.set_ylim(len(NAMES) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)


def _duration(seconds: int) -> str:
    if seconds >= 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds} s"


def _draw_close_up(axes: Axes, day: PersonDay, counts_per_g: float) -> None:
    start = busiest(day.motion_S, day.state_S)
    if start is None:
        axes.set_axis_off()
        axes.set_title(f"this day has no {CLOSE_UP_S} eligible seconds in a row")
        return
    ticks = slice(start * TICKS_PER_SECOND, (start + CLOSE_UP_S) * TICKS_PER_SECOND)
    seconds = np.arange(CLOSE_UP_S * TICKS_PER_SECOND) / TICKS_PER_SECOND
    for values, (name, colour) in zip(day.signal_CT[:, ticks], AXIS_COLOURS.items(), strict=True):
        axes.plot(seconds, values / counts_per_g, color=colour, linewidth=1.2, label=name)
    clock = f"{start // 3600}:{start // 60 % 60:02d}:{start % 60:02d}"
    axes.set_title(f"The {CLOSE_UP_S} s with the most motion, from {clock}")
    axes.set_xlim(0, CLOSE_UP_S)
    axes.set_xlabel("time (s)")
    axes.set_ylabel("acceleration (g)")
    axes.legend(ncols=3, loc="upper right", bbox_to_anchor=(1, 1.22))
